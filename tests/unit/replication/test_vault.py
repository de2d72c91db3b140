"""The files of replication: what a start finds after whatever happened."""

from __future__ import annotations

from pathlib import Path

import pytest

from piranha.config.store import ChangedMeanwhileError, ConfigurationStore, RefusedTextError, digest_of
from piranha.replication.agreement import Agreement, Take
from piranha.replication.generation import Copy, Generation, Lineage, successor
from piranha.replication.vault import Vault

NODE = "0" * 16


def world(folder: Path) -> tuple[Vault, Lineage]:
    config = folder / "lvs.cf"
    config.write_text("# 1\n")
    vault = Vault(config, folder, ConfigurationStore(config, folder))
    lineage = Agreement.first(NODE, "# 1\n")
    vault.store(Take(lineage=lineage, text="# 1\n", writes=False), over=())
    return vault, lineage


def take(lineage: Lineage, text: str, *copies: str) -> Take:
    head = Generation(
        term=0,
        counter=lineage.head.counter + 1,
        node=NODE,
        digest=digest_of(text),
        parents=(lineage.head.chain,),
        copies=tuple(Copy(digest=digest_of(copy), name="lb2", term=0, counter=0) for copy in copies),
    )
    texts = {digest_of(copy): copy for copy in copies}
    return Take(lineage=successor(lineage, head), text=text, copies=texts)


def test_a_take_is_the_text_as_it_is_and_the_former_one_is_a_version(tmp_path: Path) -> None:
    vault, lineage = world(tmp_path)
    change = take(lineage, "serial_no = 3\n# kept \udcff\n", "copy\n")
    vault.store(change, over=(digest_of("# 1\n"),))
    assert (tmp_path / "lvs.cf").read_bytes() == b"serial_no = 3\n# kept \xff\n"
    assert vault.recover() == change.lineage
    assert vault.copies(change.lineage) == {digest_of("copy\n"): "copy\n"}
    assert vault.former() == (digest_of(change.text), digest_of("# 1\n"))
    vault.store(take(change.lineage, "# 3\n"), over=(digest_of(change.text),))
    assert not list((tmp_path / "replication" / "copies").iterdir())


def test_a_text_with_errors_or_over_another_edit_changes_nothing(tmp_path: Path) -> None:
    vault, lineage = world(tmp_path)
    with pytest.raises(RefusedTextError):
        vault.store(take(lineage, "virtual {\n"), over=(digest_of("# 1\n"),))
    (tmp_path / "lvs.cf").write_text("# an edit\n")
    with pytest.raises(ChangedMeanwhileError):
        vault.store(take(lineage, "# 2\n"), over=(digest_of("# 1\n"),))
    assert (tmp_path / "lvs.cf").read_text() == "# an edit\n"
    assert vault.recover() == lineage
    assert not (tmp_path / "replication" / "next.json").exists()


@pytest.mark.parametrize("is_there", [True, False])
def test_a_start_completes_what_reached_the_file_and_drops_the_rest(tmp_path: Path, is_there: bool) -> None:
    vault, lineage = world(tmp_path)
    change = take(lineage, "# 2\n")
    vault._prepare(change.lineage)
    if is_there:
        (tmp_path / "lvs.cf").write_text("# 2\n")
    assert vault.recover() == (change.lineage if is_there else lineage)
    assert not (tmp_path / "replication" / "next.json").exists()
    assert vault.recover() == (change.lineage if is_there else lineage)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\x00", b"{}", b"[" * 90_000])
def test_a_damaged_history_begins_anew(tmp_path: Path, content: bytes) -> None:
    vault, _ = world(tmp_path)
    (tmp_path / "replication" / "head.json").write_bytes(content)
    assert vault.recover() is None


def test_a_damaged_copy_counts_as_lost(tmp_path: Path) -> None:
    vault, lineage = world(tmp_path)
    change = take(lineage, "# 2\n", "copy\n")
    vault.store(change, over=(digest_of("# 1\n"),))
    (path,) = (tmp_path / "replication" / "copies").iterdir()
    path.write_text("forged\n")
    assert vault.copies(change.lineage) == {}
