"""What the nanny watches, and what it knows about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from piranha.model.check import Probe, VerdictRules
from piranha.model.check_block import ChecksNeeded
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
class Check:
    """One of a target's checks: what is asked, and how its outcomes become a verdict."""

    probe: Probe
    rules: VerdictRules


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """How one target is checked and judged. Equal probes, of whatever targets, are one check."""

    checks: tuple[Check, ...]
    needed: ChecksNeeded = ChecksNeeded.ALL

    def __post_init__(self) -> None:
        if not self.checks:
            raise ValueError("a target without a check")


class Forced(StrEnum):
    """A verdict that a person has put above the checks; checks of such a target are suspended."""

    NO = "no"
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckStatus:
    """What is known about one of a target's checks. Times `_at` are monotonic seconds of the nanny's clock.

    `health` is this check's own verdict. `last_*` belong to the latest time that it said something about the server,
    and are None before. `next_at` is None while it is in flight or suspended. `trouble` says why it cannot be
    carried out at the moment.
    """

    check: Check
    health: Health
    last_ok: bool | None = None
    last_reason: str = "not checked yet"
    last_at: float | None = None
    last_duration_s: float | None = None
    next_at: float | None = None
    trouble: str = ""
    successes: int = 0
    failures: int = 0
    voids: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetStatus:
    """What is known about one target now. Times `_at` are monotonic seconds of the nanny's clock.

    `checks` are in the target's order; `last_*` and `trouble` are those of the check that matters most: the first that
    is not good, else the latest. `next_check_at` is the earliest. `held` is True while the panic rule keeps the server
    in although its checks fail. `weight` is what the checks ask for, None where they ask for nothing.
    """

    key: TargetKey
    target: Target
    health: Health
    since_at: float
    checks: tuple[CheckStatus, ...] = ()
    forced: Forced = Forced.NO
    held: bool = False
    weight: int | None = None
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
class WeightChange:
    """One target's checks ask for another weight; None is the configured one."""

    key: TargetKey
    weight: int | None


Change = HealthChange | WeightChange


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
