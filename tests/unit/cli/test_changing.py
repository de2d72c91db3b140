"""`piranha config …` and `piranha events` against a real API."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path

import pytest
from tests.unit.director_world import LISTING, World

from piranha.cli.main import run

WLC = LISTING.replace("scheduler = rr", "scheduler = wlc")


async def piranha(world: World, *words: str) -> int:
    return await asyncio.to_thread(run, [*words, "--socket", str(world.socket)])


async def test_a_file_is_tried_and_applied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = tmp_path / "new.cf"
    new.write_text(WLC)
    async with World(tmp_path).running() as world:
        assert await piranha(world, "config", "apply", "--dry-run", str(new)) == 0
        assert "edit tcp 10.0.0.100:80 scheduler rr -> wlc" in capsys.readouterr().out
        assert world.config.read_text() == LISTING
        assert await piranha(world, "config", "apply", str(new), "-m", "try wlc") == 0
        out, err = capsys.readouterr()
        assert out == "edit tcp 10.0.0.100:80 scheduler rr -> wlc\n"
        assert err == "version 2, serial 8 in force, 1 change to the table\n"
        assert await piranha(world, "config", "history") == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.rpartition("  ")[2] for line in lines] == ["try wlc", "in force at start"]
        assert await piranha(world, "config", "diff") == 0
        assert "+    scheduler = wlc\n" in capsys.readouterr().out
        assert await piranha(world, "config", "rollback", "1") == 0
        assert world.plane.snapshot()[0].service.scheduler == "rr"
        assert await piranha(world, "config", "rollback", "99") == 1
        assert "there is no version 99" in capsys.readouterr().err


async def test_errors_are_listed_and_nothing_is_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = tmp_path / "new.cf"
    new.write_text(LISTING.replace("scheduler", "shceduler"))
    async with World(tmp_path).running() as world:
        for words in (["--dry-run"], []):
            assert await piranha(world, "config", "apply", *words, str(new)) == 1
            assert "unknown directive `shceduler`" in capsys.readouterr().err
        new.write_bytes(b"\xff")
        assert await piranha(world, "config", "apply", str(new)) == 1
        assert "is not UTF-8" in capsys.readouterr().err
        new.write_text(WLC)
        assert await piranha(world, "config", "apply", str(new), "--if-digest", "0") == 1
        assert "changed by somebody else" in capsys.readouterr().err
        assert world.config.read_text() == LISTING


async def test_a_change_waits_for_its_confirmation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = tmp_path / "new.cf"
    new.write_text(WLC)
    async with World(tmp_path).running() as world:
        assert await piranha(world, "config", "apply", str(new), "--confirm", "60") == 0
        assert "version 2 is taken back in 60 s" in capsys.readouterr().err
        assert await piranha(world, "config", "confirm") == 0
        assert capsys.readouterr().err == "version 2 stays\n"
        assert await piranha(world, "config", "confirm") == 1


async def test_an_edit_in_the_editor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i "s/scheduler = rr/scheduler = wlc/" "$1"\n')
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("EDITOR", str(editor))
    monkeypatch.delenv("VISUAL", raising=False)
    async with World(tmp_path).running() as world:
        assert await piranha(world, "config", "edit", "--yes", "-m", "by editor") == 0
        assert world.plane.snapshot()[0].service.scheduler == "wlc"
        capsys.readouterr()
        assert await piranha(world, "config", "edit", "--yes") == 0
        assert capsys.readouterr().err == "nothing was changed\n"


async def test_events_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from piranha.model.health import Health

    async with World(tmp_path).running() as world:
        world.nanny.say("10.0.0.11", Health.DOWN, "\x1b[2Jrefused")
        assert await piranha(world, "events", "--kind", "health") == 0
        (line,) = capsys.readouterr().out.splitlines()
        assert line.endswith("health         HTTP web1 down: \\x1b[2Jrefused")
        assert await piranha(world, "events", "--json", "--after", "0", "-n", "5") == 0
        assert json.loads(capsys.readouterr().out)["events"][-1]["kind"] == "health"


@pytest.mark.parametrize(("shell", "word"), [("bash", "complete "), ("zsh", "#compdef"), ("fish", "complete ")])
def test_completion(shell: str, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    out = capsys.readouterr().out
    assert word in out
    assert "_PIRANHA_COMPLETE" in out


def test_top_needs_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["top"]) == 2
    assert "needs a terminal" in capsys.readouterr().err
