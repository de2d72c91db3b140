"""The way in: what others say, put into the table; none of it is told back to those who said it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from piranha.base.clock import Clock
from piranha.base.errors import PiranhaError
from piranha.dataplane.ebpf.arrivals import Outcome, Taken
from piranha.dataplane.exchange import Entries
from piranha.sync.datagram import read
from piranha.sync.tally import Tally
from piranha.sync.waiting import Waiting

logger = logging.getLogger(__name__)


class Listener(Protocol):
    """Whoever is told of the table's changes."""

    def learned(self, slots: NDArray[np.intp]) -> None:
        """These entries are known to all."""
        ...


class WayIn(Protocol):
    """A table that takes entries (`dataplane/ebpf/synctable.py`)."""

    @property
    def edition(self) -> int: ...

    def take(self, entries: Entries, *, keep: bool = False) -> Taken: ...


class Intake:
    """One for a director: datagrams and streams alike end here."""

    def __init__(self, table: WayIn, tally: Tally, clock: Clock) -> None:
        self.listeners: list[Listener] = []
        self.waiting = Waiting()
        self._table = table
        self._tally = tally
        self._clock = clock
        self._edition = table.edition

    def accept(self, datagrams: Sequence[bytes], sync_id: int, *, keep: bool = False) -> int:
        """Take what the datagrams say; how many entries that were. Bounded by the datagrams, about 1.5 µs an entry."""
        tally = self._tally
        reading = read(datagrams, sync_id)
        tally.heard_datagrams += reading.datagrams
        tally.foreign += reading.foreign
        tally.unknown_options += reading.unknown_options
        if reading.faults:
            if not tally.faults:
                logger.warning('connection sync cannot read a message error="%s"', reading.faults[0])
            tally.faults += len(reading.faults)
            tally.last_fault = reading.faults[-1]
        if len(reading.entries):
            tally.heard_entries += len(reading.entries)
            tally.heard_at = self._clock.now()
            self._put(reading.entries, keep=keep)
        return len(reading.entries)

    def keep(self) -> None:
        """Housekeeping, about once a second: entries that waited for a destination get it when it is there."""
        now = self._clock.now()
        if self._table.edition != self._edition:
            self._edition = self._table.edition
            if len(self.waiting):
                self._put(self.waiting.take(now), keep=True)
        self.waiting.expire(now)

    def _put(self, entries: Entries, *, keep: bool) -> None:
        try:
            taken = self._table.take(entries, keep=keep)
        except PiranhaError as error:
            if not self._tally.problem:
                logger.error('connection sync cannot write the table error="%s"', error)
            self._tally.problem = str(error)
            return
        self._tally.problem = ""
        for number, count in enumerate(np.bincount(taken.outcomes, minlength=len(Outcome)).tolist()):
            if count:
                self._tally.heard[Outcome(number)] += count
        if taken.homeless.size:
            self.waiting.add(entries.rows[taken.homeless], self._clock.now())
        for listener in self.listeners:
            listener.learned(taken.slots)
