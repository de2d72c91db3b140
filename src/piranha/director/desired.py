"""The desired table: what the layout and health together ask of the data plane now. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from piranha.director.layout import Layout, Member, PlannedService
from piranha.model.health import Health
from piranha.model.service import Destination, ServiceEntry
from piranha.monitor.target import TargetKey


def desired_entries(
    layout: Layout, health: Mapping[TargetKey, Health], held: Mapping[TargetKey, bool] | None = None
) -> tuple[ServiceEntry, ...]:
    """The table that should be. `held` members have no verdict yet but stay in it: True weighted, False quiesced.

    | health  | in the table as                                      |
    |---------|------------------------------------------------------|
    | UP      | configured, weight 0 included                        |
    | DOWN    | not at all; with `quiesce_server` quiesced           |
    | UNKNOWN | not at all; when held as it was, at today's weight   |

    Where none of them has a weight above 0 the sorry server stands in. What ipvsadm added stands beside them.
    """
    holds = {} if held is None else held
    return tuple(_entry(service, health, holds) for service in layout.services)


def _entry(service: PlannedService, health: Mapping[TargetKey, Health], held: Mapping[TargetKey, bool]) -> ServiceEntry:
    destinations: list[Destination] = []
    usable = False
    for member in service.members:
        verdict = health.get(member.key, Health.UNKNOWN)
        destination = _pick(member, verdict, held, quiesce=service.virtual.quiesce_server)
        if destination is not None:
            destinations.append(destination)
            usable = usable or destination.weight > 0
    if not usable and service.sorry is not None:
        # The sorry server may be one of the real servers: then it takes that one's place.
        destinations = [d for d in destinations if d.key != service.sorry.key]
        destinations.append(service.sorry)
    destinations.extend(service.added)
    return ServiceEntry(service=service.service, destinations=tuple(destinations))


def _pick(member: Member, health: Health, held: Mapping[TargetKey, bool], *, quiesce: bool) -> Destination | None:
    match health:
        case Health.UP:
            return member.fit
        case Health.DOWN:
            return member.quiesced if quiesce else None
        case Health.UNKNOWN if member.key in held:
            return member.fit if held[member.key] else member.quiesced
    return None
