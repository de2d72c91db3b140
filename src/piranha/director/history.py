"""What the counters did: each second of the last ten minutes, each minute of the last day. A core: time comes in.

Arrays are laid out by time, so that a sample writes one row, and untouched rows cost no memory.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from piranha.model.service import ServiceKey, ServiceStatus

SECONDS, MINUTES = 600, 1440
FIELDS = ("connections_per_s", "packets_per_s", "in_bits_per_s", "out_bits_per_s", "active")
MOST_SERVICES = 2000
"""Services that have a history: 80 MB when all their rows are full. The total counts every service."""
_LEAST_COLUMNS = 16
_SPACING_S = 0.9
_COUNTERS = 5

Matrix = NDArray[np.float64]


class StatisticsDocument(TypedDict):
    """Equally long lists, the oldest first; `times` are seconds since 1970, null is a gap. `service` is empty for the total.
    `kept` is False for a service that has no history because there are too many."""

    service: str
    step_s: int
    kept: bool
    times: list[int]
    connections_per_s: list[float | None]
    packets_per_s: list[float | None]
    in_bits_per_s: list[float | None]
    out_bits_per_s: list[float | None]
    active: list[float | None]


class Totals(NamedTuple):
    """What all services counted. They only grow: a service that goes takes nothing away."""

    connections: int = 0
    in_packets: int = 0
    out_packets: int = 0
    in_bytes: int = 0
    out_bytes: int = 0


class Figures(NamedTuple):
    """Numbers about the director itself: `repairs` of the table, and how long the last comparison took."""

    totals: Totals
    events: int
    repairs: int
    comparison_s: float


class _Ring:
    """Rows by time; column 0 is the total."""

    def __init__(self, slots: int, step_s: int) -> None:
        self.step_s = step_s
        self._times = np.zeros(slots, np.int64)
        # Zeros are no memory until they are written; rows that never were are not read either.
        self._rows = np.zeros((slots, len(FIELDS), _LEAST_COLUMNS), np.float32)
        self._at = 0

    def write(self, time: int, values: Matrix, columns: NDArray[np.intp]) -> None:
        """`values` has a column for each of `columns`."""
        if columns.size and int(columns.max()) >= self._rows.shape[2]:
            self._widen(int(columns.max()) + 1)
        self._times[self._at] = time
        self._rows[self._at] = np.nan
        self._rows[self._at][:, columns] = values
        self._at = (self._at + 1) % len(self._times)

    def forget(self, column: int) -> None:
        if column < self._rows.shape[2]:
            self._rows[self._times > 0, :, column] = np.nan

    def read(self, column: int | None, rows: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The last `rows` rows of one column that were written, the oldest first; gaps for None."""
        order = np.arange(self._at - min(rows, len(self._times)), self._at) % len(self._times)
        order = order[self._times[order] > 0]
        if column is None or column >= self._rows.shape[2]:
            return self._times[order], np.full((len(order), len(FIELDS)), np.nan, np.float32)
        return self._times[order], self._rows[order, :, column]

    def _widen(self, columns: int) -> None:
        size = self._rows.shape[2]
        while size < columns:
            size *= 2
        written = np.nonzero(self._times)[0]
        wider = np.zeros((*self._rows.shape[:2], min(size, MOST_SERVICES + 1)), np.float32)
        wider[written] = np.nan
        wider[written, :, : self._rows.shape[2]] = self._rows[written]
        self._rows = wider


class History:
    """Fed with the snapshots that the director takes anyway."""

    def __init__(self) -> None:
        self.totals = Totals()
        self._fine = _Ring(SECONDS, 1)
        self._coarse = _Ring(MINUTES, 60)
        self._columns: dict[ServiceKey, int] = {}
        self._free = list(range(MOST_SERVICES, 0, -1))
        self._keys: list[ServiceKey] = []
        self._before: Matrix = np.zeros((_COUNTERS, 0))
        self._sampled_at: float | None = None
        self._minute = 0
        self._sums: Matrix = np.zeros((len(FIELDS), MOST_SERVICES + 1))
        self._counts: Matrix = np.zeros(MOST_SERVICES + 1)

    def sample(self, snapshot: Sequence[ServiceStatus], now: float, wall: float) -> None:
        """Note a snapshot; one that follows within a second is ignored."""
        if self._sampled_at is not None and now - self._sampled_at < _SPACING_S:
            return
        keys = [status.service.key for status in snapshot]
        counters = _counters(snapshot)
        elapsed_s = 0.0 if self._sampled_at is None else now - self._sampled_at
        before = self._aligned(keys)
        self._sampled_at, self._keys, self._before = now, keys, counters
        # A service that is new, or whose counters began anew, counts from zero.
        gained = np.where(counters < before, counters, counters - before)
        self.totals = Totals(*(had + int(more) for had, more in zip(self.totals, gained.sum(axis=1), strict=True)))
        if elapsed_s <= 0:
            return
        rates = gained / elapsed_s
        active = np.array([sum(d.active_connections for d in s.destinations) for s in snapshot], np.float64)
        values = np.vstack((rates[0], rates[1] + rates[2], 8 * rates[3], 8 * rates[4], active))
        columns = np.array([self._columns.get(key, 0) for key in keys], np.intp)
        kept = columns > 0
        all_values = np.hstack((values.sum(axis=1, keepdims=True), values[:, kept]))
        all_columns = np.concatenate((np.zeros(1, np.intp), columns[kept]))
        self._fine.write(int(wall), all_values, all_columns)
        self._add_to_minute(int(wall) // 60, all_values, all_columns)

    def document(self, key: ServiceKey | None, name: str, seconds: int) -> StatisticsDocument:
        """The last `seconds`: by the second up to ten minutes, else by the minute. None is the total."""
        ring = self._fine if seconds <= SECONDS else self._coarse
        column = 0 if key is None else self._columns.get(key)
        times, values = ring.read(column, -(-seconds // ring.step_s))
        lists = [
            [None if missing else round(value, 1) for value, missing in zip(column_values.tolist(), gaps, strict=True)]
            for column_values, gaps in zip(values.T, np.isnan(values.T).tolist(), strict=True)
        ]
        connections, packets, in_bits, out_bits, active = lists
        return StatisticsDocument(
            service=name,
            step_s=ring.step_s,
            kept=column is not None,
            times=[int(time) for time in times],
            connections_per_s=connections,
            packets_per_s=packets,
            in_bits_per_s=in_bits,
            out_bits_per_s=out_bits,
            active=active,
        )

    def _aligned(self, keys: list[ServiceKey]) -> Matrix:
        """The counters of the last snapshot in the order of this one, zeros for what is new."""
        if len(keys) == len(self._keys) and all(map(operator.is_, keys, self._keys)):
            return self._before
        places = {key: at for at, key in enumerate(self._keys)}
        for key in places.keys() - keys:
            self._drop(key)
        for key in keys:
            if key not in self._columns and self._free:
                self._columns[key] = self._free.pop()
        before = np.zeros((_COUNTERS, len(keys)))
        for at, key in enumerate(keys):
            place = places.get(key)
            if place is not None:
                before[:, at] = self._before[:, place]
        return before

    def _drop(self, key: ServiceKey) -> None:
        column = self._columns.pop(key, None)
        if column is not None:
            self._free.append(column)
            self._fine.forget(column)
            self._coarse.forget(column)
            self._counts[column] = 0
            self._sums[:, column] = 0

    def _add_to_minute(self, minute: int, values: Matrix, columns: NDArray[np.intp]) -> None:
        if minute != self._minute:
            (written,) = np.nonzero(self._counts)
            if written.size:
                self._coarse.write(self._minute * 60, self._sums[:, written] / self._counts[written], written)
            self._minute = minute
            self._sums[:] = 0
            self._counts[:] = 0
        self._sums[:, columns] += values
        self._counts[columns] += 1


def _counters(snapshot: Sequence[ServiceStatus]) -> Matrix:
    """Connections, packets in and out, bytes in and out: a row each."""
    rows = [
        (c.connections, c.in_packets, c.out_packets, c.in_bytes, c.out_bytes)
        for c in (status.counters for status in snapshot)
    ]
    return np.array(rows, np.float64).reshape(len(rows), _COUNTERS).T
