"""The port to whoever checks: the nanny in service, a fake in tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from piranha.director.admission import Advised
from piranha.director.layout import Layout
from piranha.model.health import Health
from piranha.monitor.rules import target_of
from piranha.monitor.target import Target, TargetKey, TargetStatus


class HealthSource(Protocol):
    """Checks targets. All calls come from the event loop's thread."""

    def set_targets(self, targets: Mapping[TargetKey, Target]) -> None:
        """Check exactly these from now on; verdicts of those that stay are kept."""
        ...

    def status(self, key: TargetKey) -> TargetStatus:
        """Raises KeyError for a target that is not watched."""
        ...

    async def run(self) -> None:
        """Check until cancelled."""
        ...


def targets_of(layout: Layout) -> dict[TargetKey, Target]:
    """What to check for a layout."""
    targets: dict[TargetKey, Target] = {}
    for service in layout.services:
        for member in service.members:
            targets[member.key] = target_of(service.virtual, member.server)
    return targets


class HealthBook:
    """The verdicts so far. `note` and `weigh` are what the checker calls; `changed` wakes whoever waits for news.

    `verdicts` is replaced, never changed: the same object means the same health. So is `advised`, what the checks of
    a target ask for. `heard` is called with each verdict.
    """

    def __init__(self, heard: Callable[[TargetKey, Health, str], None] | None = None) -> None:
        self._heard = heard
        self.verdicts: Mapping[TargetKey, Health] = {}
        self.advised: Mapping[TargetKey, Advised] = {}
        self.changed = asyncio.Event()
        self._fresh: dict[TargetKey, Health] = {}

    def note(self, key: TargetKey, health: Health, reason: str) -> None:
        self._fresh[key] = health
        self.changed.set()
        if self._heard is not None:
            self._heard(key, health, reason)

    def weigh(self, key: TargetKey, weight: int | None) -> None:
        others = {other: advice for other, advice in self.advised.items() if other != key}
        self.advised = others if weight is None else {**others, key: Advised(weight=weight)}
        self.changed.set()

    def settle(self) -> Mapping[TargetKey, Health]:
        """The verdicts with everything noted so far."""
        if self._fresh:
            self.verdicts = {**self.verdicts, **self._fresh}
            self._fresh = {}
        return self.verdicts

    def keep(self, keys: Iterable[TargetKey]) -> Mapping[TargetKey, Health]:
        """Forget the verdicts of all others."""
        before, kept = self.settle(), set(keys)
        self.verdicts = {key: before[key] for key in kept if key in before}
        if not self.advised.keys() <= kept:
            self.advised = {key: advice for key, advice in self.advised.items() if key in kept}
        return self.verdicts
