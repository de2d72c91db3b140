"""A table in memory for connection sync: what is put into it is due to every listener that did not hear of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.unit.sync.test_datagram import entry

from piranha.base.errors import PiranhaError
from piranha.dataplane.ebpf.arrivals import Outcome, Taken
from piranha.dataplane.ebpf.departures import Due, Rule
from piranha.dataplane.ebpf.syncdaemons import SyncDaemons
from piranha.dataplane.exchange import ENTRY, Entries

_KEY = ("client", "client_port", "virtual", "virtual_port", "protocol")
_PIECE = 8


def connection(port: int, state: int = 1, **fields: Any) -> NDArray[np.void]:
    return entry(client_port=port, virtual_port=80, server_port=80, state=state, timeout_s=60, **fields)


class FakeListener:
    """Keeps the contract of `walk.Outgoing`: eight slots a piece."""

    def __init__(self, table: FakeTable) -> None:
        self._table = table
        self._known: dict[int, int] = {}

    def pieces(self) -> Iterator[Due | None]:
        for first in range(0, max(len(self._table.rows), 1), _PIECE):
            slots = [s for s in range(first, min(first + _PIECE, len(self._table.rows))) if self._is_due(s)]
            if not slots:
                yield None
                continue
            rows = np.array([self._table.rows[slot] for slot in slots], ENTRY)
            receipt = np.array([(self._table.version[slot],) for slot in slots], [("version", "u4")])
            yield Due(Entries(rows), np.array(slots, np.intp), receipt)

    def _is_due(self, slot: int) -> bool:
        return self._known.get(slot) != self._table.version[slot]

    def told(self, due: Due, places: NDArray[np.intp] | slice = slice(None)) -> None:
        for slot, version in zip(due.slots[places].tolist(), due.receipt["version"][places].tolist(), strict=True):
            self._known[slot] = version

    def learned(self, slots: NDArray[np.intp]) -> None:
        for slot in slots.tolist():
            self._known[slot] = self._table.version[slot]

    def forget(self) -> None:
        self._known.clear()


class FakeTable:
    """`servers` that are missing leave entries homeless; `refusal` plays a kernel that takes nothing."""

    def __init__(self) -> None:
        self.rows: list[np.void] = []
        self.version: list[int] = []
        self.daemons = SyncDaemons()
        self.missing: set[bytes] = set()
        self.refusal = ""
        self.edition = 0
        self.watcher: Callable[[], None] = lambda: None

    def watch(self, changed: Callable[[], None]) -> None:
        self.watcher = changed

    def departures(self, rule: Rule) -> FakeListener:
        return FakeListener(self)

    def put(self, rows: NDArray[np.void], *, keep: bool = False) -> list[tuple[Outcome, int]]:
        """As packets would change it."""
        places = {self._key(row): slot for slot, row in enumerate(self.rows)}
        found = []
        for row in rows:
            slot = places.get(self._key(row))
            if row["server"].tobytes() in self.missing:
                found.append((Outcome.NO_DESTINATION, -1))
            elif slot is None:
                places[self._key(row)] = len(self.rows)
                found.append((Outcome.MADE, len(self.rows)))
                self.rows.append(row)
                self.version.append(1)
            elif keep:
                found.append((Outcome.KNOWN, -1))
            else:
                found.append((Outcome.UPDATED, slot))
                self.rows[slot] = row
                self.version[slot] += 1
        return found

    def take(self, entries: Entries, *, keep: bool = False) -> Taken:
        if self.refusal:
            raise PiranhaError(self.refusal)
        outcomes = self.put(entries.rows, keep=keep)
        slots = [slot for _, slot in outcomes if slot >= 0]
        return Taken(np.array([outcome for outcome, _ in outcomes], np.uint8), np.array(slots, np.intp))

    def states(self) -> dict[int, int]:
        """State by client port."""
        return {int(row["client_port"]): int(row["state"]) for row in self.rows}

    @staticmethod
    def _key(row: np.void) -> bytes:
        return b"".join(row[name].tobytes() for name in _KEY)
