"""Two directors over real TLS and real files: both have the same configuration, whatever is done to them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.replication.hosts import Node, free_port, made, paired, text_of, until

from piranha.base.errors import PiranhaError


def both(first: Node, second: Node, text: str) -> bool:
    return (
        first.text == second.text == text
        and first.director.reading.text == second.director.reading.text == text
        and first.state == second.state == "in step"
    )


async def test_a_change_on_either_side_is_in_force_on_the_other_within_a_second(tmp_path: Path) -> None:
    async with paired(tmp_path) as (first, second):
        took: list[float] = []
        for number, (here, there) in enumerate([(first, second), (second, first)] * 5):
            text = first.text.replace("# first", "# first and").replace("serial_no = 1", f"serial_no = {number}1")
            before = there.told
            await here.edit(text)
            took.append(await until(lambda text=text: both(first, second, text)))  # type: ignore[misc]
            assert there.told == before + 1, "pulse of the one that takes it is told"
        assert sorted(took)[len(took) // 2] < 1.0
        print(f"convergence: median {sorted(took)[len(took) // 2] * 1000:.0f} ms, worst {max(took) * 1000:.0f} ms")


async def test_what_was_changed_while_the_other_was_away_comes_when_it_returns(tmp_path: Path) -> None:
    async with paired(tmp_path) as (first, second):
        await second.stop()
        await until(lambda: first.state == "alone")
        text = first.text.replace("# first", "# later")
        await first.edit(text)
        second.start()
        await until(lambda: both(first, second, text))
        assert second.host.view()["conflicts"] == []


async def test_an_edit_made_while_lvsd_was_down_is_an_edit(tmp_path: Path) -> None:
    async with paired(tmp_path) as (first, second):
        await second.stop()
        text = second.text.replace("# first", "# by hand, lvsd down")
        second.paths.config.write_text(text)
        second.start()
        await until(lambda: both(first, second, text))


async def test_of_two_edits_apart_the_active_ones_stays_and_the_other_is_shown_and_resolved(tmp_path: Path) -> None:
    async with paired(tmp_path) as (first, second):
        await second.stop()
        first.assume("backup", 4)
        second.role = ("active", 4)
        ours, theirs = (first.text.replace("# first", f"# {word}") for word in ("ours", "theirs"))
        await first.edit(ours)
        second.paths.config.write_text(theirs)
        second.start()
        await until(lambda: both(first, second, theirs))
        for node in (first, second):
            (conflict,) = node.host.view()["conflicts"]
            assert conflict["director"] == "lb1"
            assert node.host.conflict(conflict["id"][:6])["theirs"] == ours
            assert any("piranha config conflicts" in sentence for sentence in node.host.view()["problems"])
        await second.host.resolve(conflict["id"], theirs=True)
        await until(lambda: both(first, second, ours))
        assert first.host.conflicts()["conflicts"] == second.host.conflicts()["conflicts"] == []


async def test_a_conflict_outlives_both_directors(tmp_path: Path) -> None:
    port = free_port()
    async with paired(tmp_path, (text_of(port, comment="one"), text_of(port, comment="another"))) as (first, second):
        (conflict,) = first.host.conflicts()["conflicts"]
        kept = first.host.conflict(conflict["id"])["theirs"]
        await first.stop()
        await second.stop()
        first.start()
        second.start()
        await until(lambda: first.state == second.state == "in step")
        for node in (first, second):
            assert node.host.conflict(conflict["id"])["theirs"] == kept
        with pytest.raises(PiranhaError, match="no conflict has an id"):
            await first.host.resolve("ffff", theirs=False)
        await first.host.resolve(conflict["id"], theirs=False)
        await until(lambda: not second.host.conflicts()["conflicts"])
        assert not list(second.paths.state.glob("replication/copies/*"))


async def test_an_edit_that_is_not_loaded_is_kept_beside_what_comes(tmp_path: Path) -> None:
    async with paired(tmp_path) as (first, second):
        second.paths.config.write_text("half an edit {\n")
        text = first.text.replace("# first", "# second")
        await first.edit(text)
        await until(lambda: both(first, second, text))
        for node in (first, second):
            (conflict,) = node.host.conflicts()["conflicts"]
            assert node.host.conflict(conflict["id"])["theirs"] == "half an edit {\n"
            assert conflict["director"] == "lb2, not loaded"


async def test_a_text_that_the_receiver_finds_wrong_is_refused_on_both_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with paired(tmp_path) as (first, second):
        before = second.text
        first.director.reading = await_usable(first, "no_such_directive = 1\n")
        first.host.noticed()
        await until(lambda: bool(second.host.view()["problems"]) and bool(first.host.view()["problems"]))
        (there,) = second.host.view()["problems"]
        (here,) = first.host.view()["problems"]
        assert there.startswith("the configuration of lb1 is refused here: line 7:")
        assert here.startswith("lb2 refuses this configuration: line 7:")
        assert second.text == second.director.reading.text == before
        with pytest.raises(PiranhaError, match="refuses"):
            await first.host.push()
        good = before.replace("# first", "# mended")
        await first.edit(good)
        await until(lambda: both(first, second, good))
        assert first.host.view()["problems"] == second.host.view()["problems"] == []


def await_usable(node: Node, line: str) -> object:
    """A reading that a newer version would accept, and this one does not."""
    import dataclasses

    from piranha.config.store import digest_of

    text = node.text + line
    return dataclasses.replace(node.director.reading, text=text, digest=digest_of(text))


async def test_a_full_disk_refuses_until_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with paired(tmp_path) as (first, second):
        before = second.text
        full = second.paths.state / "replication" / "copies"
        monkeypatch.setattr(
            "piranha.replication.vault.Vault._prepare", _only_for(full.parent, "piranha.replication.vault")
        )
        text = first.text.replace("# first", "# more")
        await first.edit(text)
        await until(lambda: any("No space left" in sentence for sentence in first.host.view()["problems"]))
        assert second.text == before
        monkeypatch.undo()
        await until(lambda: both(first, second, text))


def _only_for(folder: Path, module: str) -> object:
    """`Vault._prepare`, which fails in one folder as a full disk does."""
    import errno
    import importlib

    real = importlib.import_module(module).Vault._prepare

    def prepare(vault: object, lineage: object) -> None:
        if vault._folder == folder:  # type: ignore[attr-defined]
            raise OSError(errno.ENOSPC, "No space left on device")
        real(vault, lineage)

    return prepare


@pytest.mark.parametrize("way", ["push", "pull"])
async def test_a_person_forces_one_text_on_both(tmp_path: Path, way: str) -> None:
    async with paired(tmp_path) as (first, second):
        ours = first.text.replace("# first", "# ours")
        broken = await_usable(second, "no_such_directive = 1\n")
        second.director.reading = broken  # type: ignore[assignment]
        second.host.noticed()
        await until(lambda: bool(first.host.view()["problems"]))
        if way == "push":
            await first.edit(ours)
            outcome = await first.host.push()
        else:
            outcome = await second.host.pull()
        assert outcome["state"] == "in step"
        await until(lambda: first.text == second.text and first.state == second.state == "in step")
        assert "no_such_directive" not in first.text
        assert first.text == ours or way == "pull"


async def test_nothing_is_forced_on_a_director_that_is_away(tmp_path: Path) -> None:
    first, _ = made(tmp_path)
    first.start()
    try:
        await until(lambda: first.state == "alone")
        with pytest.raises(PiranhaError, match="not reached"):
            await first.host.push()
    finally:
        await first.stop()


async def test_without_a_pair_there_is_no_replication_and_pairing_begins_it(tmp_path: Path) -> None:
    first, second = made(tmp_path)
    (first.paths.etc / "pair.key").unlink()
    first.start()
    second.start()
    try:
        await until(lambda: "the pair has no key" in first.host.view()["why"])
        assert first.state == "off"
        with pytest.raises(PiranhaError, match="there is no replication"):
            await first.host.push()
        first.pair_with(second)
        first.host.noticed()
        await until(lambda: first.state == second.state == "in step")
    finally:
        await first.stop()
        await second.stop()


async def test_the_key_changes_on_both_and_each_keeps_the_former_one(tmp_path: Path) -> None:
    async with paired(tmp_path) as (first, second):
        assert await first.host.change_key() == {"key_id": 2, "peer": "lb2"}
        assert first.key_ids() == second.key_ids() == [1, 2]
        assert (first.told, second.told) == (1, 1)
        assert (await second.host.change_key())["key_id"] == 3
        assert first.key_ids() == second.key_ids() == [2, 3]
        assert first.state == second.state == "in step", "the link needs no new session for it"
