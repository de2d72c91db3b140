"""Regions of the `slots` array: where the schedulers' tables lie.

A new table is written to a free region, then published by one store of the service's `table` word. The old region is
free again only GRACE_S later, when no packet can still be reading it.
"""

from __future__ import annotations

import bisect
from collections import deque

import numpy as np
from numpy.typing import NDArray

from piranha.base.errors import PiranhaError
from piranha.dataplane.ebpf.schedulers.base import SlotTable

GRACE_S = 1.0
_FRAME = 3  # the cursor in front, the scheduler's own words behind: to its kernel half, to itself


class SlotPool:
    """First-fit allocation over `words`, merging neighbours; all sizes in words."""

    def __init__(self, words: NDArray[np.uint32]) -> None:
        self._words = words
        # Word 0 belongs to nobody, so that no table, however short, is published as 0.
        self._starts: list[int] = [1]
        self._sizes: dict[int, int] = {1: len(words) - 1}
        self._waiting: deque[tuple[float, int, int]] = deque()

    def adopt(self, published: list[int]) -> None:
        """Take over after a restart: `published` are the services' table words in force."""
        used = sorted((table & 0xFFFFFFFF, (table >> 32) + _FRAME) for table in published if table)
        self._starts, self._sizes = [], {}
        at = 1
        for start, size in used:
            if start > at:
                self._insert(at, start - at)
            at = max(at, start + size)
        if at < len(self._words):
            self._insert(at, len(self._words) - at)

    def read(self, published: int) -> SlotTable:
        """The table behind a service's table word, with its cursor of this moment."""
        if not published:
            return SlotTable()
        start, length = published & 0xFFFFFFFF, published >> 32
        body = self._words[start + 1 : start + 1 + length]
        return SlotTable(
            words=tuple(body.tolist()),
            cursor=int(self._words[start]),
            note=int(self._words[start + 1 + length]),
            state=int(self._words[start + 2 + length]),
        )

    def write(self, table: SlotTable, now: float) -> int:
        """Write a table to a free region; the word that publishes it. Raises PiranhaError when the pool is full."""
        self._collect(now)
        size = len(table.words) + _FRAME
        start = self._take(size)
        self._words[start] = table.cursor & 0xFFFFFFFF
        self._words[start + 1 : start + 1 + len(table.words)] = table.words
        self._words[start + 1 + len(table.words)] = table.note & 0xFFFFFFFF
        self._words[start + 2 + len(table.words)] = table.state & 0xFFFFFFFF
        return start | len(table.words) << 32

    def release(self, published: int, now: float) -> None:
        """The region is unpublished; it becomes free after the grace time."""
        if published:
            self._waiting.append((now + GRACE_S, published & 0xFFFFFFFF, (published >> 32) + _FRAME))

    @property
    def free_words(self) -> int:
        return sum(self._sizes.values())

    def _collect(self, now: float) -> None:
        while self._waiting and self._waiting[0][0] <= now:
            _, start, size = self._waiting.popleft()
            self._insert(start, size)

    def _take(self, size: int) -> int:
        for place, start in enumerate(self._starts):
            have = self._sizes[start]
            if have < size:
                continue
            del self._sizes[start]
            if have == size:
                del self._starts[place]
            else:
                self._starts[place] = start + size
                self._sizes[start + size] = have - size
            return start
        raise PiranhaError(
            f"the scheduler table is full ({len(self._words)} words)",
            mend="fewer or smaller weights, or fewer services",
        )

    def _insert(self, start: int, size: int) -> None:
        place = bisect.bisect_left(self._starts, start)
        if place < len(self._starts) and self._starts[place] == start + size:
            size += self._sizes.pop(self._starts.pop(place))
        if place and self._starts[place - 1] + self._sizes[self._starts[place - 1]] == start:
            self._sizes[self._starts[place - 1]] += size
            return
        self._starts.insert(place, start)
        self._sizes[start] = size
