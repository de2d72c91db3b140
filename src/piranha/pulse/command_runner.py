"""`active_cmd` and `inactive_cmd`: started without a shell, bounded in time and output, killed as a group when too slow.

What a command leaves behind in the background (a service that it started) is left alone, but its output is cut off. Nothing waits for them. They run one after another in the order they were asked for, so the last one has the last word.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from collections import deque
from dataclasses import dataclass

logger = logging.getLogger(__name__)

LIMIT_NS = 60_000_000_000
GRACE_NS = 1_000_000_000
"""Between the polite signal and the other."""
OUTPUT_BYTES = 4096
_WAITING = 4
_READ_BYTES = 4096
_READS_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of one command. `trouble` is empty when it ended with 0; `output` is the head of what it printed."""

    name: str
    command: str
    trouble: str
    output: str


@dataclass(slots=True)
class _Running:
    name: str
    command: str
    process: subprocess.Popen[bytes]
    pidfd: int
    deadline_ns: int
    output: bytearray
    killed: bool = False
    cut: bool = False


class CommandRunner:
    """Commands of one director. Watch `filenos()` anew after each call, call `read` when one is readable and at `due_ns()`."""

    def __init__(self, *, limit_ns: int = LIMIT_NS) -> None:
        self._limit_ns = limit_ns
        self._waiting: deque[tuple[str, str]] = deque()
        self._running: _Running | None = None

    @property
    def busy(self) -> bool:
        return self._running is not None

    def filenos(self) -> tuple[int, ...]:
        """Readable when the command prints or ends."""
        running = self._running
        if running is None:
            return ()
        out = running.process.stdout
        return (running.pidfd,) if out is None or out.closed else (running.pidfd, out.fileno())

    def due_ns(self) -> int | None:
        return None if self._running is None else self._running.deadline_ns

    def start(self, name: str, command: str, now_ns: int) -> list[Outcome]:
        """Run `command` (its words split at blanks, no shell) as soon as those before it have ended.

        Of those that wait, an earlier one of the same name is forgotten. An outcome is returned only where it cannot start.
        """
        if not command.split():
            return []
        self._waiting = deque(entry for entry in self._waiting if entry[0] != name)
        self._waiting.append((name, command))
        while len(self._waiting) > _WAITING:
            dropped, _ = self._waiting.popleft()
            logger.warning("command dropped name=%s: too many wait", dropped)
        return self._next(now_ns)

    def read(self, now_ns: int) -> list[Outcome]:
        """Take output, enforce the limit, note the end, start the next."""
        running = self._running
        if running is None:
            return []
        self._take_output(running)
        # Without reaping it: until then its process group's number is nobody else's.
        if os.waitid(os.P_PIDFD, running.pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            if now_ns >= running.deadline_ns:
                self._signal(running, signal.SIGKILL if running.killed else signal.SIGTERM)
                running.killed = True
                running.deadline_ns = now_ns + GRACE_NS
            return []
        self._take_output(running)
        if running.killed:
            self._signal(running, signal.SIGKILL)
        running.process.wait()
        self._running = None
        os.close(running.pidfd)
        if running.process.stdout is not None:
            running.process.stdout.close()
        code = running.process.returncode
        trouble = f"it ended with {code}" if code > 0 else f"it was ended by signal {-code}" if code else ""
        if running.killed:
            trouble = f"it ran longer than {self._limit_ns / 1e9:g} s and was stopped"
        text = running.output.decode(errors="replace").strip() + (" [more was cut off]" if running.cut else "")
        done = Outcome(name=running.name, command=running.command, trouble=trouble, output=text)
        return [done, *self._next(now_ns)]

    def close(self) -> None:
        """Forget those that wait and kill the one that runs, with its group."""
        self._waiting.clear()
        running, self._running = self._running, None
        if running is not None:
            self._signal(running, signal.SIGKILL)
            running.process.wait()
            os.close(running.pidfd)
            if running.process.stdout is not None:
                running.process.stdout.close()

    def _next(self, now_ns: int) -> list[Outcome]:
        failed: list[Outcome] = []
        while self._waiting and self._running is None:
            name, command = self._waiting.popleft()
            try:
                process = subprocess.Popen(
                    command.split(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                    start_new_session=True, cwd="/",
                )  # fmt: skip
            except (OSError, ValueError) as error:
                why = error.strerror if isinstance(error, OSError) else str(error)
                failed.append(Outcome(name=name, command=command, trouble=f"it cannot be started: {why}", output=""))
                continue
            assert process.stdout is not None
            os.set_blocking(process.stdout.fileno(), False)
            self._running = _Running(
                name, command, process, os.pidfd_open(process.pid), now_ns + self._limit_ns, bytearray()
            )
        return failed

    def _take_output(self, running: _Running) -> None:
        out = running.process.stdout
        if out is None or out.closed:
            return
        for _ in range(_READS_AT_ONCE):
            try:
                data = os.read(out.fileno(), _READ_BYTES)
            except BlockingIOError:
                return
            if not data:
                out.close()
                return
            room = OUTPUT_BYTES - len(running.output)
            running.output += data[:room]
            running.cut = running.cut or len(data) > room

    @staticmethod
    def _signal(running: _Running, number: signal.Signals) -> None:
        try:
            os.killpg(running.process.pid, number)
        except (ProcessLookupError, PermissionError):
            return
