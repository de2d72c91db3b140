"""Which check is due when: a heap of due times on a grid per check, and a bound on checks in flight."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from math import floor

from piranha.model.check import Probe


@dataclass(slots=True)
class _Item:
    probe: Probe
    interval_s: float
    phase: float
    due_at: float
    ticket: int = 0
    flying: bool = False
    started_at: float | None = None
    again_at: float | None = None


def phase_of(probe: Probe) -> float:
    """Where in its interval a check lies, 0 <= phase < 1: the same for the same probe, evenly spread over many."""
    options = probe.options
    more = "" if options is None else f"{options.path} {options.host} {options.name} {options.service} {options.query}"
    text = f"{probe} {probe.timeout_s} {probe.send!r} {probe.expect!r} {probe.program} {probe.source} {more}"
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)


class Schedule:
    """Due times of checks. At most `limit` are in flight; a slot that was missed is skipped and never replayed.

    The first check of a probe is due at once. Later ones lie on the grid `(n + phase) * interval_s`, whatever
    their duration, so that load stays spread; two starts of one probe are at least half an interval apart.
    """

    def __init__(self, *, limit: int) -> None:
        if limit < 1:
            raise ValueError("a schedule that may start nothing")
        self._limit = limit
        self._items: dict[Probe, _Item] = {}
        self._orphans: set[Probe] = set()
        self._heap: list[tuple[float, int, Probe]] = []
        self._tickets = 0
        self.in_flight = 0
        self.skipped = 0

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, probe: Probe) -> bool:
        return probe in self._items

    def put(self, probe: Probe, interval_s: float, now: float) -> None:
        """Check `probe` every `interval_s`: at once when it is new, else from its next slot on."""
        item = self._items.get(probe)
        if item is None:
            item = _Item(probe=probe, interval_s=interval_s, phase=phase_of(probe), due_at=now)
            if probe in self._orphans:
                self._orphans.remove(probe)
                item.flying = True
                item.started_at = now
            self._items[probe] = item
            self._queue(item)
        elif item.interval_s != interval_s:
            item.interval_s = interval_s
            if not item.flying and item.started_at is not None:
                item.due_at = self._slot_after(item, now)
                self._queue(item)

    def remove(self, probe: Probe) -> None:
        """Check `probe` no more. One that is in flight still counts until `finish`."""
        item = self._items.pop(probe, None)
        if item is not None and item.flying:
            self._orphans.add(probe)

    def hasten(self, probe: Probe, at: float) -> None:
        """Have `probe` due at `at` if that is sooner than its slot; one in flight is checked again after it ends."""
        item = self._items[probe]
        if item.flying:
            item.again_at = at
        elif at < item.due_at:
            item.due_at = at
            self._queue(item)

    def start(self, now: float, at_most: int) -> Iterator[Probe]:
        """The probes to start now, longest due first, within the bound. Each must be given to `finish` later."""
        for _ in range(at_most):
            item = self._first()
            if item is None or item.due_at > now or self.in_flight >= self._limit:
                return
            heapq.heappop(self._heap)
            self.skipped += max(0, floor((now - item.due_at) / item.interval_s))
            item.flying = True
            item.started_at = now
            self.in_flight += 1
            yield item.probe

    def finish(self, probe: Probe, now: float) -> None:
        """A started probe has ended: its place is free and its next slot is set."""
        self.in_flight -= 1
        if probe in self._orphans:
            self._orphans.remove(probe)
            return
        item = self._items[probe]
        item.flying = False
        if item.again_at is not None:
            item.due_at, item.again_at = item.again_at, None
        else:
            item.due_at = self._slot_after(item, now)
        self._queue(item)

    def next_at(self) -> float | None:
        """When the next check is due; None while nothing can be started (nothing due ever, or the bound is reached)."""
        item = self._first()
        return None if item is None or self.in_flight >= self._limit else item.due_at

    def due_at(self, probe: Probe) -> float | None:
        """When `probe` is due next; None while it is in flight."""
        item = self._items[probe]
        return None if item.flying else item.due_at

    def _slot_after(self, item: _Item, now: float) -> float:
        assert item.started_at is not None
        earliest = item.started_at + item.interval_s / 2
        slot = floor(earliest / item.interval_s - item.phase) + 1
        current = floor(now / item.interval_s - item.phase)
        if current > slot:
            # Only the slot that is running now may be used late; the ones before it are gone.
            self.skipped += current - slot
            slot = current
        return (slot + item.phase) * item.interval_s

    def _queue(self, item: _Item) -> None:
        if item.flying:
            return
        self._tickets += 1
        item.ticket = self._tickets
        heapq.heappush(self._heap, (item.due_at, item.ticket, item.probe))
        if len(self._heap) > 2 * len(self._items) + 64:
            waiting = [i for i in self._items.values() if not i.flying]
            self._heap = [(i.due_at, i.ticket, i.probe) for i in waiting]
            heapq.heapify(self._heap)

    def _first(self) -> _Item | None:
        while self._heap:
            _, ticket, probe = self._heap[0]
            item = self._items.get(probe)
            if item is not None and item.ticket == ticket and not item.flying:
                return item
            heapq.heappop(self._heap)
        return None
