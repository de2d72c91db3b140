"""The one error root, and the exit codes of every command (DESIGN section 9)."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes shared by all `piranha` commands."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    UNREACHABLE = 3
    CONFIGURATION = 78


class PiranhaError(Exception):
    """An operating error: one sentence that says what and where, and a mend.

    `str(error)` is what a person reads: `message`, then `mend` on the same line where there is one.
    """

    exit_code = ExitCode.REFUSED

    def __init__(self, message: str, *, mend: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.mend = mend

    def __str__(self) -> str:
        return f"{self.message}: {self.mend}" if self.mend else self.message


class UsageError(PiranhaError):
    """The command line itself is wrong."""

    exit_code = ExitCode.USAGE


class UnreachableError(PiranhaError):
    """The daemon that a command needs does not answer."""

    exit_code = ExitCode.UNREACHABLE
