"""Rates over the last seconds, from the counters of a few past snapshots. A core: time comes in."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from piranha.model.service import Counters, DestinationKey, ServiceKey, ServiceStatus

WINDOW_S = 5.0
_SPACING_S = 0.9
_KEPT = 8


class Rates(NamedTuple):
    """What happens in a second."""

    connections_per_s: float = 0.0
    in_packets_per_s: float = 0.0
    out_packets_per_s: float = 0.0
    in_bytes_per_s: float = 0.0
    out_bytes_per_s: float = 0.0


NO_RATES = Rates()


class RateMeter:
    """Keeps the snapshots of the last `WINDOW_S` seconds, at most one a tick, and says how fast counters rise."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, Sequence[ServiceStatus]]] = deque(maxlen=_KEPT)

    def sample(self, snapshot: Sequence[ServiceStatus], now: float) -> None:
        """Remember `snapshot`; ignored when the last one is fresher than a tick."""
        if self._samples and now - self._samples[-1][0] < _SPACING_S:
            return
        self._samples.append((now, snapshot))
        while len(self._samples) > 1 and now - self._samples[1][0] >= WINDOW_S:
            self._samples.popleft()

    def baseline(self, now: float) -> Baseline:
        """What to measure the present against."""
        if not self._samples:
            return Baseline(0.0, ())
        taken_at, snapshot = self._samples[0]
        return Baseline(now - taken_at, snapshot)


class Baseline:
    """Counters of `elapsed_s` seconds ago."""

    def __init__(self, elapsed_s: float, snapshot: Sequence[ServiceStatus]) -> None:
        self._elapsed_s = elapsed_s
        self._services: dict[ServiceKey, Counters] = {s.service.key: s.counters for s in snapshot}
        self._snapshot = snapshot
        self._destinations: dict[tuple[ServiceKey, DestinationKey], Counters] | None = None

    def service(self, key: ServiceKey, counters: Counters) -> Rates:
        return self._rates(self._services.get(key), counters)

    def destination(self, service: ServiceKey, key: DestinationKey, counters: Counters) -> Rates:
        if self._destinations is None:
            self._destinations = {
                (s.service.key, d.destination.key): d.counters for s in self._snapshot for d in s.destinations
            }
        return self._rates(self._destinations.get((service, key)), counters)

    def _rates(self, before: Counters | None, now: Counters) -> Rates:
        """Nothing to measure against gives zero; counters that began anew count from zero."""
        if before is None or self._elapsed_s <= 0:
            return NO_RATES
        if now.connections < before.connections or now.in_packets < before.in_packets:
            before = Counters()
        return Rates(
            (now.connections - before.connections) / self._elapsed_s,
            (now.in_packets - before.in_packets) / self._elapsed_s,
            max(0, now.out_packets - before.out_packets) / self._elapsed_s,
            (now.in_bytes - before.in_bytes) / self._elapsed_s,
            max(0, now.out_bytes - before.out_bytes) / self._elapsed_s,
        )
