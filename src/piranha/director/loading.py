"""From loads to weights. A core: readings and time come in, what admission is advised goes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import cbrt
from typing import Protocol

from piranha.director.admission import Advised
from piranha.director.layout import Layout
from piranha.model.configuration import Configuration, LoadFormula, VirtualServer
from piranha.model.health import Health
from piranha.monitor.load.monitor import LoadStatus
from piranha.monitor.load.reading import Reading
from piranha.monitor.load.source import LoadSource, source_of
from piranha.monitor.target import TargetKey

SCALE = 10
"""The original's weights lie between the configured one and so many times as much."""
LEAST_SHARE = 0.05
"""A busy server keeps a twentieth of its weight: with none it would look idle and get all of it back."""
_SMALLEST_STEP = 0.1
"""Changes of the bounded formula below a tenth of the weight are left out: each moves flows of hashing schedulers."""


def original_weight(configured: int, current: int, average: float) -> int:
    """The original's (nanny 0.8.6): it climbs to ten times the weight while the load is below 1, and falls back above it."""
    if average == 1.0:
        return current
    moved = int(current + configured / 2 * cbrt(1 - average))
    wanted = min(max(moved, configured), SCALE * configured)
    return wanted if abs(wanted - current) >= configured / 4 else current


def bounded_weight(configured: int, current: int, average: float, processors: int) -> int:
    """The share of the weight that the server's processors have free; never above the configured one."""
    free = min(max(1 - average / processors, LEAST_SHARE), 1.0)
    wanted = max(1, round(configured * free)) if configured else 0
    is_end = wanted in (configured, max(1, round(configured * LEAST_SHARE)))
    return wanted if is_end or abs(wanted - current) >= configured * _SMALLEST_STEP else current


def load_sources(layout: Layout, configuration: Configuration) -> dict[TargetKey, LoadSource]:
    """Whom to ask for the load of which member."""
    found = {
        member.key: source_of(service.virtual, member.server, configuration.rsh_command)
        for service in layout.services
        for member in service.members
    }
    return {key: source for key, source in found.items() if source is not None}


class LoadAsker(Protocol):
    """Whoever asks for loads: `LoadMonitor` in service."""

    def set_targets(self, targets: Mapping[TargetKey, LoadSource]) -> None: ...

    def status(self, key: TargetKey) -> LoadStatus | None: ...

    async def run(self) -> None: ...


@dataclass(slots=True)
class _Known:
    reading: Reading
    at: float
    weight: int | None = None
    percent: float | None = None
    is_down: bool = False
    is_quiesced: bool = False
    configured: int = 0


class Loads:
    """The latest of every target."""

    def __init__(self) -> None:
        self._advised: Mapping[TargetKey, Advised] = {}
        self._fresh: dict[TargetKey, Advised | None] = {}
        self._known: dict[TargetKey, _Known] = {}
        self._together: tuple[Mapping[TargetKey, Advised], ...] | None = None
        self._settings: dict[TargetKey, tuple[VirtualServer, int, int]] = {}

    @property
    def advised(self) -> Mapping[TargetKey, Advised]:
        """What admission should heed. The same object means the same advice."""
        if self._fresh:
            changed = {**self._advised, **self._fresh}
            self._advised = {key: advised for key, advised in changed.items() if advised is not None}
            self._fresh = {}
        return self._advised

    def follow(self, layout: Layout) -> None:
        """A file comes into force."""
        self._settings = {
            member.key: (service.virtual, member.fit.weight, member.server.processors)
            for service in layout.services
            for member in service.members
        }
        kept = {key: known for key, known in self._known.items() if key in self._settings}
        self._known = {
            key: one for key, one in kept.items() if self._settings[key][0].load_monitor not in (None, "none")
        }
        for key in {*self._advised, *self._fresh, *self._known}:
            self._publish_one(key)

    def read(self, key: TargetKey, status: LoadStatus) -> None:
        """A server has told its load."""
        if key not in self._settings or status.reading is None or status.at is None:
            return
        virtual, configured, processors = self._settings[key]
        known = self._known.setdefault(key, _Known(reading=status.reading, at=status.at))
        known.reading, known.at = status.reading, status.at
        if known.configured != configured:
            known.configured, known.weight = configured, None
        reading = status.reading
        if reading.average is not None:
            current = configured if known.weight is None else known.weight
            if virtual.load_formula is LoadFormula.ORIGINAL:
                known.weight = original_weight(configured, current, reading.average)
            else:
                known.weight = bounded_weight(configured, current, reading.average, processors)
        if reading.percent is not None:
            known.percent = reading.percent
        known.is_down = known.is_down if reading.is_down is None else reading.is_down
        known.is_quiesced = known.is_quiesced if reading.is_quiesced is None else reading.is_quiesced
        self._publish_one(key)

    def beside(self, checks: Mapping[TargetKey, Advised]) -> Mapping[TargetKey, Advised]:
        """The advice together with that of checks, which gives way to a load. The same objects give the same object."""
        own = self.advised
        if self._together is None or self._together[0] is not checks or self._together[1] is not own:
            both = {**checks, **own}
            for key in checks.keys() & own.keys():
                if own[key].weight is None:
                    both[key] = replace(own[key], weight=checks[key].weight)
            self._together = checks, own, both
        return self._together[2]

    def age(self, now: float) -> None:
        """Forget what is older than `load_lifetime`."""
        old = [
            key
            for key, known in self._known.items()
            if (lifetime := self._settings[key][0].load_lifetime_s) and now - known.at >= lifetime
        ]
        for key in old:
            del self._known[key]
            self._publish_one(key)

    def _publish_one(self, key: TargetKey) -> None:
        before = self._fresh[key] if key in self._fresh else self._advised.get(key)
        after = self._advice(key)
        if before != after:
            self._fresh[key] = after

    def _advice(self, key: TargetKey) -> Advised | None:
        known = self._known.get(key)
        if known is None:
            return None
        return Advised(
            weight=known.weight,
            percent=known.percent,
            health=Health.DOWN if known.is_down else Health.UNKNOWN,
            quiesced=known.is_quiesced,
        )
