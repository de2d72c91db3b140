"""The original Piranha's heartbeats: four constant bytes, unauthenticated, spoken with `heartbeat_auth = none` alone.

The original wrote its number in the byte order of its host; on every machine it was sold for but one that is little-endian. The
other order is understood too. Source: pulse of Piranha 0.8.6, spec piranha.md 3.2.
"""

from __future__ import annotations

from enum import IntEnum


class Word(IntEnum):
    """The numbers of the original, by meaning."""

    LVS_RUNNING = 0xBDADDBDA
    LVS_STOPPED = 0xADBDDABD
    FOS_RUNNING = 0xBEEFBABE
    FOS_STOPPED = 0xDEADBEEF
    FOS_STOP_YOURSELF = 0xDEADDADA
    HOLD = 0xDEAFBABE
    HELD = 0xDEAFDADA

    @property
    def says_running(self) -> bool:
        return self in (Word.LVS_RUNNING, Word.FOS_RUNNING)

    @property
    def says_stopped(self) -> bool:
        return self in (Word.LVS_STOPPED, Word.FOS_STOPPED)


def encode(word: Word) -> bytes:
    return word.to_bytes(4, "little")


def decode(message: bytes) -> Word | None:
    """None for anything that is not one of the original's messages."""
    if len(message) != 4:
        return None
    for order in ("little", "big"):
        try:
            return Word(int.from_bytes(message, "little" if order == "little" else "big"))
        except ValueError:
            continue
    return None
