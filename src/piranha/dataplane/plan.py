"""The plan: the smallest list of operations that turns the actual table into the desired one. Pure.

Why the order never loses a connection: a service is edited in place, never deleted and added again; inside a service,
what becomes usable (weight above 0) comes before what stops being usable; services that are no longer wanted go last.
So a service that has a usable destination before and after has one after every operation in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from piranha.dataplane.port import (
    AddDestination,
    AddService,
    DeleteDestination,
    DeleteService,
    EditDestination,
    EditService,
    Operation,
)
from piranha.model.service import Destination, ServiceEntry, ServiceKey, ServiceStatus


def plan(actual: Sequence[ServiceStatus | ServiceEntry], desired: Sequence[ServiceEntry]) -> list[Operation]:
    """The operations that make `actual` equal to `desired`, in the order to apply them.

    The order of destinations is no difference; new ones are added in desired order. Foreign services are never touched,
    not even where one stands on a desired key (`foreign_conflicts` names those). Keys in `desired` are unique.
    """
    present = {status.service.key: status for status in actual}
    operations: list[Operation] = []
    wanted: set[ServiceKey] = set()
    for entry in desired:
        key = entry.service.key
        wanted.add(key)
        now = present.get(key)
        if now is None:
            operations.append(AddService(service=entry.service))
            operations.extend(AddDestination(service=key, destination=d) for d in entry.destinations)
        elif not _is_foreign(now):
            if now.service != entry.service:
                operations.append(EditService(service=entry.service))
            operations.extend(_plan_destinations(key, _destinations(now), entry.destinations))
    operations.extend(
        DeleteService(key=key) for key, now in present.items() if key not in wanted and not _is_foreign(now)
    )
    return operations


def foreign_conflicts(
    actual: Sequence[ServiceStatus | ServiceEntry], desired: Sequence[ServiceEntry]
) -> tuple[ServiceKey, ...]:
    """Keys that are desired but already taken by a service that is not ours, in desired order."""
    foreign = {status.service.key for status in actual if _is_foreign(status)}
    return tuple(entry.service.key for entry in desired if entry.service.key in foreign) if foreign else ()


def _plan_destinations(
    service: ServiceKey, actual: tuple[Destination, ...], desired: tuple[Destination, ...]
) -> Iterator[Operation]:
    if actual == desired:
        return
    present = {destination.key: destination for destination in actual}
    quiesced: list[Operation] = []
    for destination in desired:
        now = present.pop(destination.key, None)
        if now is None:
            yield AddDestination(service=service, destination=destination)
        elif now != destination:
            edit = EditDestination(service=service, destination=destination)
            if destination.weight > 0:
                yield edit
            else:
                quiesced.append(edit)
    yield from quiesced
    for key in present:
        yield DeleteDestination(service=service, key=key)


def _is_foreign(status: ServiceStatus | ServiceEntry) -> bool:
    return isinstance(status, ServiceStatus) and status.foreign


def _destinations(status: ServiceStatus | ServiceEntry) -> tuple[Destination, ...]:
    if isinstance(status, ServiceEntry):
        return status.destinations
    return tuple(d.destination for d in status.destinations)
