"""A dry run as a document: the table operations that a text would bring, and what would come later. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

from piranha.director.difference import describe
from piranha.director.layout import Layout
from piranha.director.reconcile import Repair
from piranha.model.health import Health
from piranha.model.rules import PlaneRules
from piranha.model.service import ServiceStatus
from piranha.monitor.target import TargetKey

MOST_LINES = 500
_MOST_WAITING = 100


class PlanView(TypedDict):
    """`operations` are the table's, one a line, the last may only count the rest. `waiting` are real servers that come
    into the table when their first check says so; `refusals` is what the data plane cannot switch; `conflicts` are
    services that others made on the same address and port."""

    operations: list[str]
    waiting: list[str]
    refusals: list[str]
    conflicts: list[str]
    warnings: list[str]


def plan_view(
    layout: Layout,
    repair: Repair,
    actual: Sequence[ServiceStatus],
    rules: PlaneRules | None,
    health: Mapping[TargetKey, Health],
) -> PlanView:
    """`actual` and `rules` are what the plane has now."""
    placed = {(entry.service.key, d.key) for entry in repair.desired for d in entry.destinations}
    waiting = [
        f"{service.virtual.name} {member.server.name}"
        for service in layout.services
        for member in service.members
        if health.get(member.key, Health.UNKNOWN) is Health.UNKNOWN
        and (member.key.service, member.key.destination) not in placed
    ]
    if len(waiting) > _MOST_WAITING:
        waiting[_MOST_WAITING:] = [f"and {len(waiting) - _MOST_WAITING} more"]
    return PlanView(
        operations=list(describe(repair.operations, actual, rules=rules, shown=MOST_LINES)),
        waiting=waiting,
        refusals=[str(refusal) for refusal in layout.refusals],
        conflicts=[str(key) for key in repair.conflicts],
        warnings=list(layout.warnings),
    )
