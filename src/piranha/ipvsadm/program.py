"""The programs ipvsadm, ipvsadm-save and ipvsadm-restore, by the name they are called."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import PurePath

from piranha.base.errors import ExitCode, PiranhaError
from piranha.base.paths import Paths
from piranha.ipvsadm.access import FoundTable
from piranha.ipvsadm.execute import Session
from piranha.ipvsadm.failure import REFUSED, USAGE
from piranha.ipvsadm.names import SystemNames
from piranha.ipvsadm.programs import restore_program, save_program
from piranha.ipvsadm.refusal import MUST_BE_ROOT
from piranha.ipvsadm.table import CannotOpenError

INTERRUPTED = 130
_CHUNK_BYTES = 1 << 20
_NOT_THERE = "Are you sure that IP Virtual Server is built in the kernel or as module?"


def main() -> None:
    """The console script; link it under the name of the program that it shall be."""
    sys.exit(run(sys.argv[0], sys.argv[1:]))


def run(program: str, words: Sequence[str]) -> int:
    """One call of `program`, which messages name; the last part of it says which of the three it is."""
    # A table of thousands of services has no cycles; looking for them takes a quarter of the time.
    collects = gc.isenabled()
    gc.disable()
    try:
        with FoundTable(Paths.from_environment()) as table:
            session = Session(table, SystemNames(), sys.stdout, sys.stderr, program=program)
            code = _dispatch(session, PurePath(program).name, words)
            sys.stdout.flush()
            return code
    except CannotOpenError as error:
        reason = _NOT_THERE if error.message == MUST_BE_ROOT else error.mend
        sys.stderr.write(f"Can't initialize ipvs: {error.message}\n" + (f"{reason}\n" if reason else ""))
        return USAGE
    except PiranhaError as error:
        sys.stderr.write(f"{error}\n")
        return REFUSED
    except BrokenPipeError:
        # Whoever read us has gone; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.DONE
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        if collects:
            gc.enable()


def _dispatch(session: Session, name: str, words: Sequence[str]) -> int:
    if name.endswith("ipvsadm-save"):
        return save_program(session, words, sys.stderr)
    if name.endswith("ipvsadm-restore"):
        return restore_program(session, lines_as_they_come())
    return session.run(words, lines_as_they_come())


def lines_as_they_come() -> Iterator[list[str]]:
    """Whole lines of standard input, as many at once as there are: a program may write and wait."""
    fd, rest = sys.stdin.fileno(), b""
    while chunk := os.read(fd, _CHUNK_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        if lines:
            yield [os.fsdecode(line) for line in lines]
    if rest:
        yield [os.fsdecode(rest)]
