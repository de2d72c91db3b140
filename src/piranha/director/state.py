"""How a service is doing, in a word. Pure."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from piranha.director.layout import Member, PlannedService
from piranha.model.service import ServiceStatus
from piranha.monitor.target import TargetKey


class ServiceState(StrEnum):
    """UP: every configured server with a weight is usable. DEGRADED: some are. SORRY: only the sorry server is."""

    UP = "up"
    DEGRADED = "degraded"
    SORRY = "sorry"
    DOWN = "down"
    CONFLICT = "conflict"
    FOREIGN = "foreign"


Trusted = Callable[[TargetKey], bool]
"""Whether a member stands in the table on its own merit: up by its checks, or held until they have spoken."""


def state_of(service: PlannedService | None, actual: ServiceStatus | None, trusted: Trusted) -> ServiceState:
    """The state of a configured service, of one that only stands in the table, or of both in one."""
    if actual is not None and actual.foreign:
        return ServiceState.FOREIGN if service is None else ServiceState.CONFLICT
    if service is None or actual is None:
        return ServiceState.DOWN
    usable = {d.destination.key for d in actual.destinations if d.destination.weight > 0}
    if not usable:
        return ServiceState.DOWN
    real = sum(member.fit.key in usable and not stands_in(service, member, trusted) for member in service.members)
    if real == 0:
        return ServiceState.SORRY
    wanted = sum(member.fit.weight > 0 for member in service.members)
    return ServiceState.UP if real >= wanted else ServiceState.DEGRADED


def stands_in(service: PlannedService, member: Member, trusted: Trusted) -> bool:
    """Whether a real server that is also the sorry server is in the table as the latter."""
    return service.sorry is not None and service.sorry.key == member.fit.key and not trusted(member.key)
