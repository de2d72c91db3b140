"""The chain of the audit log: whole as written, broken by every change."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piranha.gui import audit
from piranha.gui.audit import FILE, OLDER, AuditLog
from piranha.gui.folder import Folder


def written(folder: Folder, count: int) -> AuditLog:
    log = AuditLog(folder, wall=lambda: 1_700_000_000.0)
    for number in range(count):
        log.write(who="ann", role="admin", source="10.0.0.9", act="POST /global", result="303", detail=f"act {number}")
    return log


def test_it_goes_on_after_a_restart(tmp_path: Path) -> None:
    folder = Folder.open(tmp_path / "gui")
    written(folder, 3)
    log = written(folder, 2)
    assert [entry.number for entry in log.entries()] == [1, 2, 3, 4, 5]
    assert log.breaks() == []


@pytest.mark.parametrize("act", ["change", "remove", "swap", "renumber"])
def test_a_change_breaks_it(tmp_path: Path, act: str) -> None:
    folder = Folder.open(tmp_path / "gui")
    log = written(folder, 5)
    lines = (folder.read(FILE) or b"").splitlines(keepends=True)
    match act:
        case "change":
            lines[2] = lines[2].replace(b"act 2", b"act 9")
        case "remove":
            del lines[2]
        case "swap":
            lines[1], lines[2] = lines[2], lines[1]
        case "renumber":
            lines[2] = lines[2].replace(b'"number": 3', b'"number": 4')
    folder.replace(FILE, b"".join(lines))
    assert log.breaks()


def test_a_line_cut_off_by_a_crash_does_not_stop_it(tmp_path: Path) -> None:
    folder = Folder.open(tmp_path / "gui")
    written(folder, 3)
    content = folder.read(FILE) or b""
    folder.replace(FILE, content + b'{"number": 4, "at"')
    log = written(folder, 1)
    assert [entry.number for entry in log.entries()] == [1, 2, 3, 4]
    assert log.breaks() == []


def test_a_long_one_goes_on_in_a_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "MOST_BYTES", 1000)
    folder = Folder.open(tmp_path / "gui")
    log = written(folder, 6)
    assert folder.read(OLDER)
    assert log.breaks() == []
    assert log.entries()[-1].number == 6


@settings(max_examples=50, deadline=None)
@given(text=st.text(max_size=600))
def test_whatever_is_written_stays_one_line(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = Folder.open(tmp_path_factory.mktemp("audit") / "gui")
    log = AuditLog(folder)
    log.write(who=text, role="admin", source="", act="POST /x", result="200", detail=text)
    assert (folder.read(FILE) or b"").count(b"\n") == 1
    assert log.entries()[0].detail == text[:500]
    assert log.breaks() == []
    folder.close()
