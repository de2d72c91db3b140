"""Entries whose destination is not here (yet): kept outside the table until it appears or their time is over. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from piranha.dataplane.exchange import ENTRY, Entries

MOST = 65_536
_UNSAID_S = 180.0  # of an entry that leaves its time to its state
_KEY = ("client", "virtual", "client_port", "virtual_port", "protocol")


class Waiting:
    """The latest record of each connection, at most `most`; what comes when it is full is lost, and counted."""

    def __init__(self, most: int = MOST) -> None:
        self._rows: dict[bytes, tuple[float, bytes]] = {}
        self._most = most
        self.lost = 0

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, rows: NDArray[np.void], now: float) -> None:
        for row in rows:
            key = b"".join(row[name].tobytes() for name in _KEY)
            if key not in self._rows and len(self._rows) >= self._most:
                self.lost += 1
                continue
            self._rows[key] = (now + (int(row["timeout_s"]) or _UNSAID_S), row.tobytes())

    def take(self, now: float) -> Entries:
        """All that still live, with the time that is left; none waits any more. Those that fail again are to be added."""
        alive = [(until, raw) for until, raw in self._rows.values() if until > now]
        self._rows.clear()
        rows = np.frombuffer(b"".join(raw for _, raw in alive), ENTRY).copy()
        if alive:
            left = np.array([until for until, _ in alive]) - now
            rows["timeout_s"] = np.where(rows["timeout_s"] != 0, np.maximum(np.ceil(left), 1), 0)
        return Entries(rows)

    def expire(self, now: float) -> None:
        """Forget those whose time is over."""
        self._rows = {key: kept for key, kept in self._rows.items() if kept[0] > now}
