"""One holder a lock."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from piranha.base.errors import PiranhaError
from piranha.base.lock import FileLock, LockedError


def test_the_second_is_told_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "run" / "lvsd.lock"
    with FileLock(path), pytest.raises(LockedError) as error:
        FileLock(path)
    assert error.value.pid == os.getpid()


def test_it_is_free_after_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "lvsd.lock"
    FileLock(path).close()
    FileLock(path).close()


def test_a_killed_holder_leaves_it_free(tmp_path: Path) -> None:
    path = tmp_path / "lvsd.lock"
    program = (
        "import os, signal, sys; from pathlib import Path; from piranha.base.lock import FileLock;"
        "lock = FileLock(Path(sys.argv[1])); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], env=_environment(), check=False, timeout=20)
    FileLock(path).close()
    assert path.read_text().strip() == str(os.getpid())


def test_a_child_does_not_inherit_it(tmp_path: Path) -> None:
    path = tmp_path / "lvsd.lock"
    lock = FileLock(path)
    program = [sys.executable, "-c", "print(flush=True); input()"]
    child = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=False)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        lock.close()
        FileLock(path).close()
    finally:
        child.communicate(b"\n", timeout=20)


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PiranhaError, match="cannot lock"):
        FileLock(tmp_path / "file" / "lvsd.lock")


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
