"""Walking the table again and again for one listener, without taking more than its share of a processor."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from piranha.dataplane.ebpf.departures import Due

QUICKEST_S, SLOWEST_IDLE_S = 0.1, 0.4
"""Between two walks: while something happens, and when nothing did."""
_SHARE = 19  # a walk that took t seconds is followed by a pause of this many t: five per cent of a processor
_PIECES_A_TURN = 8


class Outgoing(Protocol):
    """One listener's view of a table (`dataplane/ebpf/departures.py`)."""

    def pieces(self) -> Iterator[Due | None]: ...

    def told(self, due: Due, places: NDArray[np.intp] | slice = ...) -> None: ...

    def forget(self) -> None: ...

    def learned(self, slots: NDArray[np.intp]) -> None: ...


class Walker:
    """`round` walks once; `pause` waits until the next is due. `lag_s` bounds the time a change waits to be found."""

    def __init__(self, outgoing: Outgoing) -> None:
        self.lag_s = 0.0
        self._outgoing = outgoing
        self._spent_s = 0.0
        self._found = 0
        self._pause_s = QUICKEST_S
        self._began_at = 0.0

    async def round(self) -> AsyncIterator[Due]:
        """What is due, a piece at a time; other tasks have their turn in between."""
        self._began_at = time.monotonic()
        self._spent_s, self._found = 0.0, 0
        before = time.perf_counter()
        for number, due in enumerate(self._outgoing.pieces()):
            self._spent_s += time.perf_counter() - before
            if due is not None:
                self._found += len(due.slots)
                yield due
            if due is not None or number % _PIECES_A_TURN == 0:
                await asyncio.sleep(0)
            before = time.perf_counter()

    async def pause(self) -> None:
        self._pause_s = QUICKEST_S if self._found else min(self._pause_s * 1.5, SLOWEST_IDLE_S)
        self._pause_s = max(self._pause_s, _SHARE * self._spent_s)
        self.lag_s = time.monotonic() - self._began_at + self._pause_s
        await asyncio.sleep(self._pause_s)
