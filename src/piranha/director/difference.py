"""Operations as lines that a person reads in a log or after a reload. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from piranha.dataplane.port import (
    AddDestination,
    AddService,
    Clear,
    DeleteDestination,
    DeleteService,
    EditDestination,
    EditService,
    Operation,
    SetMarkRules,
    SetSettings,
    SetTimeouts,
    StartDaemon,
    StopDaemon,
    ZeroCounters,
)
from piranha.model.rules import PlaneRules
from piranha.model.service import Destination, Service, ServiceStatus

SHOWN = 20
"""Lines of one difference before the rest is only counted: a log line has a bound."""


def describe(
    operations: Sequence[Operation],
    actual: Sequence[ServiceStatus],
    *,
    rules: PlaneRules | None = None,
    shown: int = SHOWN,
) -> tuple[str, ...]:
    """One line an operation, with the old value where one changes; after `shown` lines the rest as a count.

    `actual` and `rules` are what the plane had before.
    """
    services = {status.service.key: status.service for status in actual}
    destinations = {(s.service.key, d.destination.key): d.destination for s in actual for d in s.destinations}
    lines: list[str] = []
    for operation in operations[:shown]:
        match operation:
            case AddService(service=service):
                lines.append(f"add {service.key} {service.scheduler}")
            case EditService(service=service):
                changes = " ".join(_service_changes(services.get(service.key), service))
                lines.append(f"edit {service.key} {changes}")
            case DeleteService(key=key):
                lines.append(f"delete {key}")
            case AddDestination(service=key, destination=d):
                lines.append(f"add {key} to {d.key} {d.method} weight {d.weight}")
            case EditDestination(service=key, destination=d):
                changes = " ".join(_changes(destinations.get((key, d.key)), d))
                lines.append(f"edit {key} to {d.key} {changes}")
            case DeleteDestination(service=key, key=gone):
                lines.append(f"delete {key} to {gone}")
            case SetMarkRules(rules=marks):
                lines.append(f"set mark rules: {len(marks)}")
            case SetSettings(settings=settings):
                told = (rules or PlaneRules()).changes_to(settings)
                lines.append("set " + " ".join(f"{name} {here} -> {there}" for name, here, there in told))
            case SetTimeouts(timeouts=t):
                lines.append(f"set timeouts tcp {t.tcp_s:g} tcpfin {t.tcp_fin_s:g} udp {t.udp_s:g}")
            case ZeroCounters(key=counted):
                lines.append(f"zero the counters of {counted or 'all services'}")
            case Clear():
                lines.append("delete all services")
            case StartDaemon(daemon=daemon):
                lines.append(f"start {daemon.role} sync daemon on {daemon.interface} syncid {daemon.sync_id}")
            case StopDaemon(role=role):
                lines.append(f"stop {role} sync daemon")
    if len(operations) > shown:
        lines.append(f"and {len(operations) - shown} more")
    return tuple(lines)


_SERVICE_FIELDS = {
    "scheduler": "scheduler",
    "flags": "scheduler_flags",
    "persistent_s": "persistent",
    "persistence_prefix": "pmask",
    "engine": "persistence_engine",
    "one_packet": "one_packet",
}
_DESTINATION_FIELDS = {
    "weight": "weight",
    "method": "method",
    "upper_threshold": "upper_threshold",
    "lower_threshold": "lower_threshold",
    "tunnel": "tunnel",
    "tunnel_port": "tunnel_port",
    "tunnel_checksum": "tunnel_checksum",
}
"""Fields of the model with the directives' names, in the order of telling."""


def _service_changes(old: Service | None, new: Service) -> Iterator[str]:
    if old is None:
        yield f"scheduler ? -> {new.scheduler}"
        return
    yield from _changed_fields(old, new, _SERVICE_FIELDS)


def _changes(old: Destination | None, new: Destination) -> Iterator[str]:
    if old is None:
        yield f"weight ? -> {new.weight}"
        yield f"method ? -> {new.method}"
        return
    yield from _changed_fields(old, new, _DESTINATION_FIELDS)


def _changed_fields(old: object, new: object, names: Mapping[str, str]) -> Iterator[str]:
    for field, name in names.items():
        before, after = getattr(old, field), getattr(new, field)
        if before != after:
            yield f"{name} {_shown(before)} -> {_shown(after)}"


def _shown(value: object) -> str:
    if value is None or value == "":
        return "none"
    return str(int(value)) if isinstance(value, int) else str(value)
