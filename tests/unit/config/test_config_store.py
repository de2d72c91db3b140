"""Files on disk: bounded, replaced in one step, with the versions before."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from piranha.base.errors import PiranhaError
from piranha.base.lock import FileLock
from piranha.config.names import FixedNames
from piranha.config.parser import MAX_BYTES
from piranha.config.store import (
    ChangedMeanwhileError,
    ConfigurationStore,
    RefusedTextError,
    read_text,
    write_atomically,
)

TEXT = "serial_no = 7\n# mine\nkeepalive = 6\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "etc" / "lvs.cf"
    path.parent.mkdir()
    path.write_text(TEXT)
    return path


def store_of(path: Path, kept_versions: int = 3) -> ConfigurationStore:
    return ConfigurationStore(path, path.parents[1] / "state", kept_versions=kept_versions, names=FixedNames())


def test_a_saved_text_has_a_raised_serial_number_and_the_old_one_is_a_version(path: Path) -> None:
    store = store_of(path)
    stored = store.save(TEXT.replace("6", "9"), expected_digest=store.load().digest, who="ann", comment="slower")
    assert path.read_text() == "serial_no = 8\n# mine\nkeepalive = 9\n" == stored.text
    assert stored.parsed.configuration.serial_no == 8
    assert [(v.number, v.read(), v.who, v.comment) for v in store.versions()] == [
        (2, stored.text, "ann", "slower"),
        (1, TEXT, "", ""),
    ]
    assert stored.digest == store.load().digest
    assert [file.name for file in path.parent.iterdir()] == ["lvs.cf"], "no temporary file stays"


def test_the_same_text_changes_nothing(path: Path) -> None:
    before = path.stat()
    store_of(path).save(TEXT)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert store_of(path).versions() == []


def test_a_text_with_errors_is_refused_whole(path: Path) -> None:
    with pytest.raises(RefusedTextError) as caught:
        store_of(path).save("keepalve = 6\nport = 1\n")
    assert [problem.line for problem in caught.value.problems] == [1, 2]
    assert "line 1: unknown directive `keepalve`: did you mean `keepalive`?" in str(caught.value)
    assert path.read_text() == TEXT


def test_a_change_on_another_text_is_refused(path: Path) -> None:
    store = store_of(path)
    digest = store.load().digest
    path.write_text(TEXT + "# somebody else\n")
    with pytest.raises(ChangedMeanwhileError):
        store.save("keepalive = 9\n", expected_digest=digest)
    assert "somebody else" in path.read_text()
    path.unlink()
    with pytest.raises(ChangedMeanwhileError):
        store.save("keepalive = 9\n", expected_digest=digest)


def test_versions_are_bounded_and_numbered_on(path: Path) -> None:
    store = store_of(path, kept_versions=3)
    for seconds in range(10, 16):
        store.save(f"keepalive = {seconds}\n")
    assert [version.number for version in store.versions()] == [7, 6, 5]
    assert store.versions()[0].read() == "serial_no = 13\nkeepalive = 15\n" == path.read_text()
    with pytest.raises(PiranhaError, match="no version 4: versions 5 to 7 are kept"):
        store.version(4)
    assert (path.parents[1] / "state" / "history").stat().st_mode & 0o777 == 0o700


def test_a_text_that_others_wrote_becomes_a_version_once(path: Path) -> None:
    store = store_of(path, kept_versions=9)
    store.note(TEXT, who="root", comment="by hand")
    store.note(TEXT, who="root")
    path.write_text(TEXT + "# by vi\n")
    store.save("keepalive = 9\n", who="ann")
    assert [(v.number, v.who) for v in store.versions()] == [(3, "ann"), (2, ""), (1, "root")]
    assert store.version(2).read() == TEXT + "# by vi\n"


@pytest.mark.parametrize("notes", ["", "[]", '{"1": 5}', "\x00"])
def test_broken_notes_cost_only_the_notes(path: Path, notes: str) -> None:
    store = store_of(path)
    store.note(TEXT, who="root")
    (path.parents[1] / "state" / "history" / "notes.json").write_text(notes)
    assert [(v.number, v.who, v.read()) for v in store.versions()] == [(1, "", TEXT)]
    store.save("keepalive = 9\n", who="ann")
    assert store.versions()[0].who == "ann"


def test_one_writer_at_a_time(path: Path) -> None:
    with FileLock(path.parents[1] / "state" / "config.lock"), pytest.raises(PiranhaError, match="held by process"):
        store_of(path).save("keepalive = 9\n")
    assert path.read_text() == TEXT


def test_a_first_file_is_made(tmp_path: Path) -> None:
    path = tmp_path / "lvs.cf"
    ConfigurationStore(path, tmp_path / "state", names=FixedNames()).save("keepalive = 9\n")
    assert path.read_text() == "serial_no = 1\nkeepalive = 9\n"
    assert path.stat().st_mode & 0o777 == 0o640


def test_mode_owner_and_link_stay(path: Path) -> None:
    path.chmod(0o664)
    if os.geteuid() == 0:
        os.chown(path, 12345, 54321)
    owner = (path.stat().st_uid, path.stat().st_gid)
    link = path.with_name("link.cf")
    link.symlink_to("lvs.cf")
    write_atomically(link, "keepalive = 1\n")
    assert link.is_symlink()
    assert path.read_text() == "keepalive = 1\n"
    assert path.stat().st_mode & 0o777 == 0o664
    assert (path.stat().st_uid, path.stat().st_gid) == owner


def test_a_write_that_fails_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(PiranhaError, match="No space left"):
        write_atomically(path, "keepalive = 1\n")
    assert path.read_text() == TEXT
    assert [file.name for file in path.parent.iterdir()] == ["lvs.cf"]


def test_bytes_that_are_no_text_survive(path: Path) -> None:
    content = b"debug_level = gr\xfcn\n"
    path.write_bytes(content)
    write_atomically(path, read_text(path))
    assert path.read_bytes() == content


def test_what_cannot_be_a_configuration_is_refused_at_once(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(100 * 1024 * 1024)
    with pytest.raises(PiranhaError, match="longer than 4 MiB"):
        read_text(path)
    with pytest.raises(PiranhaError, match="longer than 4 MiB"):
        read_text(Path("/dev/zero"))
    with path.open("r+b") as file:
        file.truncate(MAX_BYTES)
    assert len(read_text(path)) == MAX_BYTES
    for unreadable in (path.parent, path.with_name("none.cf")):
        with pytest.raises(PiranhaError, match="cannot read"):
            read_text(unreadable)


def test_a_socket_in_the_place_of_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        with pytest.raises(PiranhaError, match="cannot read"):
            read_text(path)
