"""Processes that pulse starts: lvsd, which it keeps alive, and the reader of lvs.cf. Nothing here waits."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

from piranha.base.lock import FileLock, LockedError
from piranha.pulse.realtime import release_child

logger = logging.getLogger(__name__)

SECOND = 1_000_000_000
FIRST_PAUSE_NS = SECOND // 5
LONGEST_PAUSE_NS = 10 * SECOND
GOOD_AFTER_NS = 30 * SECOND
MAX_DOCUMENT_BYTES = 16 * 1024 * 1024


def _own_environment() -> dict[str, str]:
    """Ours without what systemd meant for pulse alone: it is pulse that is ready, and that the watchdog watches."""
    systemds = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
    return {name: value for name, value in os.environ.items() if name not in systemds}


class Lvsd:
    """Keeps one lvsd running: starts it, notices its end by a pidfd, starts it again after a pause that grows.

    While another lvsd holds `lock`, one that a person has started or that an earlier pulse left behind, none is started.
    """

    def __init__(self, command: list[str], *, lock: Path, start_at: int) -> None:
        self._command = command
        self._lock = lock
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd = -1
        self._started_at = 0
        self._pause_ns = FIRST_PAUSE_NS
        self.start_at: int | None = start_at
        self.restarts = 0

    @property
    def pid(self) -> int:
        """0 while it does not run."""
        return self._process.pid if self._process is not None else 0

    def fileno(self) -> int:
        """Readable when it has ended; -1 while it does not run."""
        return self._pidfd

    def tick(self, now: int) -> None:
        """Start it when it is due."""
        if self._process is not None or self.start_at is None or now < self.start_at:
            return
        if self._is_locked():
            self.start_at = now + SECOND
            return
        try:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, start_new_session=True, env=_own_environment()
            )
            self._pidfd = os.pidfd_open(self._process.pid)
        except OSError as error:
            logger.error('lvsd cannot be started error="%s"', error.strerror)
            self._again(now)
            return
        release_child(self._process.pid)
        self._started_at = now
        logger.info("lvsd started pid=%d", self._process.pid)

    def reap(self, now: int) -> str | None:
        """How it ended, once; None while it runs."""
        if self._process is None or self._process.poll() is None:
            return None
        code = self._process.returncode
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        os.close(self._pidfd)
        self._process, self._pidfd = None, -1
        if self.start_at is not None:
            self.restarts += 1
            if now - self._started_at > GOOD_AFTER_NS:
                self._pause_ns = FIRST_PAUSE_NS
            self._again(now)
        return how

    def end(self, wait_s: float) -> None:
        """Ask it to end, wait so long, then kill it. Not for the loop: it waits."""
        self.start_at = None
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(wait_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def reload(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    def _is_locked(self) -> bool:
        try:
            FileLock(self._lock).close()
        except LockedError:
            return True
        return False

    def _again(self, now: int) -> None:
        self.start_at = now + self._pause_ns
        self._pause_ns = min(2 * self._pause_ns, LONGEST_PAUSE_NS)


class Reader:
    """One run of `piranha.pulse.reading`; its document comes over a pipe, descriptor `number`, that the loop watches."""

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "piranha.pulse.reading", str(path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        release_child(self._process.pid)
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._output, self._error = self._process.stdout, self._process.stderr
        self.number = self._output.fileno()
        os.set_blocking(self.number, False)
        self._parts: list[bytes] = []
        self._bytes = 0

    def fileno(self) -> int:
        return self.number

    def read(self) -> tuple[str, str] | None:
        """None until it is over; then the document, or an empty text and the error."""
        while True:
            try:
                part = os.read(self.number, 1 << 16)
            except BlockingIOError:
                return None
            self._bytes += len(part)
            if not part or self._bytes > MAX_DOCUMENT_BYTES:
                break
            self._parts.append(part)
        # Its output has ended, so nothing more is wanted of it. An error is one line, said before.
        error = os.read(self._error.fileno(), 1 << 16).decode(errors="replace").strip() if not self._parts else ""
        self.close()
        if not self._parts:
            return "", error or "the reader of lvs.cf ended without a word"
        return b"".join(self._parts).decode(errors="replace"), ""

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()
        self._output.close()
        self._error.close()
