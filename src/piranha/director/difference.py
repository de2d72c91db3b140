"""Operations as lines that a person reads in a log or after a reload. Pure."""

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
    SetTimeouts,
)
from piranha.model.service import Destination, ServiceStatus

SHOWN = 20
"""Lines of one difference before the rest is only counted: a log line has a bound."""


def describe(
    operations: Sequence[Operation], actual: Sequence[ServiceStatus], *, shown: int = SHOWN
) -> tuple[str, ...]:
    """One line an operation, with the old value where one changes; after `shown` lines the rest as a count."""
    services = {status.service.key: status.service for status in actual}
    destinations = {(s.service.key, d.destination.key): d.destination for s in actual for d in s.destinations}
    lines: list[str] = []
    for operation in operations[:shown]:
        match operation:
            case AddService(service=service):
                lines.append(f"add {service.key} {service.scheduler}")
            case EditService(service=service):
                old = services.get(service.key)
                lines.append(f"edit {service.key} scheduler {old.scheduler if old else '?'} -> {service.scheduler}")
            case DeleteService(key=key):
                lines.append(f"delete {key}")
            case AddDestination(service=key, destination=d):
                lines.append(f"add {key} to {d.key} {d.method} weight {d.weight}")
            case EditDestination(service=key, destination=d):
                changes = " ".join(_changes(destinations.get((key, d.key)), d))
                lines.append(f"edit {key} to {d.key} {changes}")
            case DeleteDestination(service=key, key=gone):
                lines.append(f"delete {key} to {gone}")
            case SetTimeouts(timeouts=t):
                lines.append(f"set timeouts tcp {t.tcp_s:g} tcpfin {t.tcp_fin_s:g} udp {t.udp_s:g}")
    if len(operations) > shown:
        lines.append(f"and {len(operations) - shown} more")
    return tuple(lines)


def _changes(old: Destination | None, new: Destination) -> Iterator[str]:
    if old is None or old.weight != new.weight:
        yield f"weight {old.weight if old else '?'} -> {new.weight}"
    if old is None or old.method != new.method:
        yield f"method {old.method if old else '?'} -> {new.method}"
