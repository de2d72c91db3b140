"""ipvsadm-save and ipvsadm-restore, which Debian ships as shell scripts around ipvsadm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TextIO

from piranha.ipvsadm.execute import Bursts, Session

_HELP = (
    "ipvsadm-save: Script to save the IPVS table to stdout.\n"
    "   With the -n option, prints out the table in numeric format.\n"
)


def save_program(session: Session, words: Sequence[str], err: TextIO) -> int:
    """`ipvsadm -S`, numeric with `-n`; other options are told what there is."""
    if any(word.startswith("-") and word != "-n" for word in words):
        err.write(_HELP)
        return 1
    return session.run(["-S", "-n"] if "-n" in words else ["-S"])


def restore_program(session: Session, bursts: Bursts) -> int:
    """The lines take the place of the whole table; those that begin with `#` are comments."""
    session.run(["-C"])
    return session.restore(_without_comments(bursts))


def _without_comments(bursts: Bursts) -> Iterator[list[str]]:
    for burst in bursts:
        yield [line for line in burst if not line.startswith("#")]
