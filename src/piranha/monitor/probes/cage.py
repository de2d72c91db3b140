"""A cgroup for one check program, so that a child which left its session is killed too.

Source: cgroup v2 `cgroup.kill`, Linux 5.14.
"""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import count
from pathlib import Path

MAX_LEFT_BEHIND = 64

_PREFIX = "piranha-check-"
_numbers = count(1)


class Cage:
    """One cgroup. Closing kills everything inside."""

    def __init__(self, yard: CageYard, path: Path, entrance: int) -> None:
        self._yard = yard
        self._path = path
        self._entrance = entrance

    def enter(self) -> None:
        """Go in. Runs in the child between fork and exec: nothing that it starts can be outside, and it only writes.

        The entrance was opened by us, whose rights count (Linux 5.16), so the child has given up its own already.
        """
        with suppress(OSError):
            os.write(self._entrance, b"0")

    def close(self) -> None:
        os.close(self._entrance)
        _kill(self._path)
        self._yard.discard(self._path)


class CageYard:
    """Makes cages below our own cgroup. Where we may not, it makes none; programs are killed by process group alone.

    Their names are `piranha-check-`, our process id and a number; nothing else is ever touched. What a killed
    predecessor left behind is emptied and removed at the start.
    """

    def __init__(self) -> None:
        self._home = _own_cgroup()
        self._left_behind: list[Path] = []
        if self._home is not None:
            for path in self._home.glob(f"{_PREFIX}*-*"):
                if not _is_alive(path.name.removeprefix(_PREFIX).partition("-")[0]):
                    _kill(path)
                    self.discard(path)

    @property
    def usable(self) -> bool:
        return self._home is not None

    def new(self) -> Cage | None:
        """A new cage, or None where there can be none."""
        self._sweep()
        if self._home is None or len(self._left_behind) >= MAX_LEFT_BEHIND:
            return None
        path = self._home / f"{_PREFIX}{os.getpid()}-{next(_numbers)}"
        try:
            path.mkdir()
            entrance = os.open(path / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            self._home = None
            return None
        return Cage(self, path, entrance)

    def discard(self, path: Path) -> None:
        """Remove an emptied cgroup; its processes may need a moment to be gone, so it is tried again later."""
        self._left_behind.append(path)
        self._sweep()

    def clear(self) -> bool:
        """Try again to remove what is left behind; True when nothing is."""
        self._sweep()
        return not self._left_behind

    def _sweep(self) -> None:
        self._left_behind = [path for path in self._left_behind if not _removed(path)]


def _kill(path: Path) -> None:
    with suppress(OSError):
        (path / "cgroup.kill").write_text("1")


def _is_alive(pid: str) -> bool:
    return Path("/proc", pid).exists()


def _removed(path: Path) -> bool:
    try:
        path.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _own_cgroup() -> Path | None:
    """The folder of this process's v2 cgroup when its groups can be killed as a whole."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text()
        own = Path("/proc/self/cgroup").read_text()
    except OSError:
        return None
    below = next((line[3:] for line in own.splitlines() if line.startswith("0::")), None)
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        if below is not None and after.startswith("cgroup2 "):
            home = Path(before.split()[4]) / below.lstrip("/")
            # The root cgroup has no cgroup.kill of its own, and its children do.
            return home if os.access(home / "cgroup.procs", os.W_OK) else None
    return None
