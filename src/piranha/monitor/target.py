"""What the nanny watches, and what it knows about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from piranha.model.check import Probe, VerdictRules
from piranha.model.health import Health
from piranha.model.service import DestinationKey, ServiceKey


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class TargetKey:
    """What identifies a target: a destination of one virtual service.

    `str()` gives `tcp 10.0.0.100:80 -> 10.0.0.11:80`.
    """

    service: ServiceKey
    destination: DestinationKey

    def __str__(self) -> str:
        return f"{self.service} -> {self.destination}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """How one target is checked and judged. Targets with equal probes share one check."""

    probe: Probe
    rules: VerdictRules


class Forced(StrEnum):
    """A verdict that a person has put above the checks; checks of such a target are suspended."""

    NO = "no"
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetStatus:
    """What is known about one target now. Times `_at` are monotonic seconds of the nanny's clock.

    `last_*` belong to the latest check that said something about the server, and are None before the first one.
    `next_check_at` is None while a check is in flight or suspended. `trouble` says why we cannot check at the moment.
    `held` is True while the panic rule keeps the server in although its checks fail.
    """

    key: TargetKey
    target: Target
    health: Health
    since_at: float
    forced: Forced = Forced.NO
    held: bool = False
    last_ok: bool | None = None
    last_reason: str = "not checked yet"
    last_at: float | None = None
    last_duration_s: float | None = None
    next_check_at: float | None = None
    trouble: str = ""
    successes: int = 0
    failures: int = 0
    voids: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthChange:
    """One target's health has changed, and why."""

    key: TargetKey
    health: Health
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NannyStatus:
    """The nanny itself: how much it watches, and whether its verdicts are frozen by the panic rule."""

    targets: int
    checks: int
    in_flight: int
    started: int
    skipped: int
    voids: int
    stalls: int
    longest_stall_s: float
    panic: bool
    panic_since_at: float | None
    panic_until_at: float | None
    panic_reason: str
