"""A lock that the kernel gives back when its holder dies: `flock(2)` on a file, never a bare pid file."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

from piranha.base.errors import PiranhaError

_PAUSE_S = 0.02


class LockedError(PiranhaError):
    """Another process holds the lock; `pid` is what it wrote there, 0 where that cannot be read."""

    def __init__(self, path: Path, pid: int) -> None:
        super().__init__(f"{path} is held by process {pid or '?'}")
        self.pid = pid


class FileLock:
    """Holds `path` from construction to `close`, with our process id in it for people. Children do not inherit it.

    Raises `LockedError` when another process still has it after `wait_s`, PiranhaError when the file cannot be made.
    """

    def __init__(self, path: Path, *, wait_s: float = 0.0) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise PiranhaError(f"cannot lock {path} ({error.strerror})", mend="run as root") from error
        deadline_at = time.monotonic() + wait_s
        while not _try_lock(self._fd):
            if time.monotonic() >= deadline_at:
                pid = _pid_in(self._fd)
                os.close(self._fd)
                raise LockedError(path, pid)
            time.sleep(_PAUSE_S)
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        os.close(self._fd)

    def __enter__(self) -> FileLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _pid_in(fd: int) -> int:
    text = os.pread(fd, 32, 0).strip()
    return int(text) if text.isdigit() else 0
