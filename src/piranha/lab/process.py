"""Processes that the lab starts, remembered by process id and start time so that any later command finds them.

A process id alone may belong to somebody else by now; with the start time (`/proc/PID/stat`, field 22) it cannot.
Signals go through a pidfd, which stays with the process that was checked.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import piranha
from piranha.base.errors import PiranhaError
from piranha.lab import namespace as netns

TERM_TIMEOUT_S = 20.0  # pulse gives lvsd ten
KILL_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracked:
    """A process of ours: id and start time (clock ticks since boot)."""

    pid: int
    start_ticks: int

    def is_running(self) -> bool:
        return start_ticks(self.pid) == self.start_ticks


def start_ticks(pid: int) -> int | None:
    """When a process started; None when it is gone or only a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat[stat.rindex(")") + 2 :].split()  # the command's name before it may hold anything
    return None if fields[0] in "ZX" else int(fields[19])


def end(process: Tracked, *, kill_at_once: bool = False) -> bool:
    """Stop a process, politely and then not, and wait until it is gone; False when it was not running any more."""
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        if not process.is_running():
            return False
        if not kill_at_once:
            signal.pidfd_send_signal(pidfd, signal.SIGTERM)
            if _ended(pidfd, process.pid, TERM_TIMEOUT_S):
                return True
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        if not _ended(pidfd, process.pid, KILL_TIMEOUT_S):
            raise PiranhaError(f"process {process.pid} does not end, not even killed")
        return True
    except ProcessLookupError:
        return True
    finally:
        os.close(pidfd)


def _ended(pidfd: int, pid: int, timeout_s: float) -> bool:
    ready, _, _ = select.select([pidfd], [], [], timeout_s)
    if ready:
        with contextlib.suppress(ChildProcessError):  # it may be a child of this very process
            os.waitpid(pid, os.WNOHANG)
    return bool(ready)


class ProcessBook:
    """The processes of one lab, by name, kept in a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def log_path(self, name: str) -> Path:
        return self._directory / f"{name}.log"

    def start(
        self, name: str, namespace: str, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> Tracked:
        """Start a command in a namespace, apart from this session and terminal, its output in its log; remember it.

        It takes its host for one of that name.

        The namespace is entered without `ip netns exec`, whose private mounts would hide the director's bpffs.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        with self.log_path(name).open("ab") as log, netns.entered(namespace), netns.host_named(name):
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True,
                env=python_environment() | dict(environment or {}),
            )  # fmt: skip
        ticks = start_ticks(child.pid)
        child.returncode = 0  # ours to watch by pidfd from now on; keeps Popen from warning about a living child
        if ticks is None:
            raise PiranhaError(f"{name} ended at once", mend=self.log_tail(name))
        tracked = Tracked(pid=child.pid, start_ticks=ticks)
        temporary = self._directory / f".{name}.json"
        temporary.write_text(json.dumps(asdict(tracked)))
        temporary.rename(self._record(name))
        return tracked

    def find(self, name: str) -> Tracked | None:
        """The running process of that name; None when there is none."""
        try:
            tracked = Tracked(**json.loads(self._record(name).read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):  # cut short by a full disk or a crash
            return None
        return tracked if tracked.is_running() else None

    def stop(self, name: str, *, kill_at_once: bool = False) -> bool:
        """End the process of that name and forget it; False when none was running."""
        tracked = self.find(name)
        stopped = tracked is not None and end(tracked, kill_at_once=kill_at_once)
        self._record(name).unlink(missing_ok=True)
        return stopped

    def names(self) -> list[str]:
        """Names of all processes remembered, running or not."""
        return sorted(path.stem for path in self._directory.glob("[!.]*.json"))

    def log_tail(self, name: str, lines: int = 12) -> str:
        """The last lines that the process wrote."""
        try:
            text = self.log_path(name).read_bytes()[-8192:].decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def _record(self, name: str) -> Path:
        return self._directory / f"{name}.json"


def python_environment() -> dict[str, str]:
    """This environment, in which a child's `python -m piranha...` finds the same package whatever its directory."""
    package = str(Path(piranha.__file__).resolve().parent.parent)
    others = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and Path(path).is_absolute()]
    return dict(os.environ) | {
        "PYTHONPATH": os.pathsep.join(dict.fromkeys([package, *others])),
        "PYTHONUNBUFFERED": "1",
    }


def python_command(*arguments: str) -> list[str]:
    """A command line for this very interpreter."""
    return [sys.executable, *arguments]
