"""Operations and tables as JSON-shaped values, for the API between programs of this machine. Pure.

What is at its default is left out: a table of thousands of services is one answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv4Address
from typing import Any, TypeVar

from piranha.base.errors import PiranhaError, UsageError
from piranha.dataplane.port import (
    AddDestination,
    AddService,
    Clear,
    Connection,
    DeleteDestination,
    DeleteService,
    EditDestination,
    EditService,
    Operation,
    RefusalKind,
    RefusedError,
    SetTimeouts,
    StartDaemon,
    StopDaemon,
    SyncDaemon,
    SyncRole,
    ZeroCounters,
)
from piranha.model.address import parse_address
from piranha.model.service import (
    Counters,
    Destination,
    DestinationKey,
    DestinationStatus,
    ForwardingMethod,
    PersistencePrefix,
    Protocol,
    Rates,
    SchedulerFlag,
    Service,
    ServiceKey,
    ServiceStatus,
    Timeouts,
    TunnelChecksum,
    TunnelType,
)

Json = dict[str, Any]
T = TypeVar("T")
_NO_COUNTERS, _NO_RATES = Counters(), Rates()


# ---- operations ----


def operation_to_json(operation: Operation) -> Json:
    """Raises ValueError for what only the director does: mark rules and settings."""
    match operation:
        case AddService(service=service) | EditService(service=service):
            return {"do": _WORD[type(operation)], "service": _service_to_json(service)}
        case DeleteService(key=key) | ZeroCounters(key=ServiceKey() as key):
            return {"do": _WORD[type(operation)], "key": _key_to_json(key)}
        case AddDestination(service=key, destination=d) | EditDestination(service=key, destination=d):
            return {"do": _WORD[type(operation)], "key": _key_to_json(key), "destination": _destination_to_json(d)}
        case DeleteDestination(service=key, key=gone):
            at = [str(gone.address), gone.port]
            return {"do": _WORD[type(operation)], "key": _key_to_json(key), "at": at}
        case SetTimeouts(timeouts=timeouts):
            return {"do": _WORD[type(operation)], "timeouts": timeouts_to_json(timeouts)}
        case StartDaemon(daemon=daemon):
            return {"do": _WORD[type(operation)], "daemon": daemon_to_json(daemon)}
        case StopDaemon(role=role, sync_id=sync_id):
            return {"do": _WORD[type(operation)], "role": role.value, "sync_id": sync_id}
        case Clear() | ZeroCounters():
            return {"do": _WORD[type(operation)]}
    raise ValueError(f"{type(operation).__name__} is the director's alone")


def operations_from_json(document: object) -> list[Operation]:
    """The operations of a list. Raises UsageError naming the first that is none."""
    if not isinstance(document, list):
        raise UsageError("a list of operations is needed")
    found = []
    for at, item in enumerate(document):
        try:
            found.append(_READERS[item["do"]](item))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UsageError(f"operation {at} is none ({type(error).__name__}: {error})") from None
    return found


def _key_of(item: Json) -> ServiceKey:
    return _key_from_json(item["key"])


_READERS: Mapping[str, Callable[[Json], Operation]] = {
    "add service": lambda item: AddService(service=_service_from_json(item["service"])),
    "edit service": lambda item: EditService(service=_service_from_json(item["service"])),
    "delete service": lambda item: DeleteService(key=_key_of(item)),
    "add destination": lambda item: AddDestination(
        service=_key_of(item), destination=_destination_from_json(item["destination"])
    ),
    "edit destination": lambda item: EditDestination(
        service=_key_of(item), destination=_destination_from_json(item["destination"])
    ),
    "delete destination": lambda item: DeleteDestination(
        service=_key_of(item), key=DestinationKey(address=parse_address(item["at"][0]), port=_port(item["at"][1]))
    ),
    "set timeouts": lambda item: SetTimeouts(timeouts=timeouts_from_json(item["timeouts"])),
    "zero counters": lambda item: ZeroCounters(key=_key_of(item) if "key" in item else None),
    "clear": lambda item: Clear(),
    "start daemon": lambda item: StartDaemon(daemon=daemon_from_json(item["daemon"])),
    "stop daemon": lambda item: StopDaemon(role=SyncRole(item["role"]), sync_id=int(item["sync_id"])),
}
_WORD: Mapping[type, str] = {
    AddService: "add service",
    EditService: "edit service",
    DeleteService: "delete service",
    AddDestination: "add destination",
    EditDestination: "edit destination",
    DeleteDestination: "delete destination",
    SetTimeouts: "set timeouts",
    ZeroCounters: "zero counters",
    Clear: "clear",
    StartDaemon: "start daemon",
    StopDaemon: "stop daemon",
}


def outcome_to_json(outcome: PiranhaError | None) -> Json | None:
    if outcome is None:
        return None
    kind = {"kind": outcome.kind.value} if isinstance(outcome, RefusedError) else {}
    return {**kind, "message": outcome.message, "mend": outcome.mend}


def outcome_from_json(item: Json | None) -> PiranhaError | None:
    if item is None:
        return None
    if "kind" in item:
        return RefusedError(RefusalKind(item["kind"]), item["message"], mend=item["mend"])
    return PiranhaError(item["message"], mend=item["mend"])


# ---- tables ----


def table_to_json(table: Iterable[ServiceStatus]) -> list[Json]:
    return [
        {
            "service": _service_to_json(status.service),
            "destinations": [_destination_status_to_json(d) for d in status.destinations],
            **_measured_to_json(status.counters, status.rates),
            **({"foreign": True} if status.foreign else {}),
        }
        for status in table
    ]


def table_from_json(items: Iterable[Json]) -> tuple[ServiceStatus, ...]:
    return tuple(
        ServiceStatus(
            service=_service_from_json(item["service"]),
            destinations=tuple(_destination_status_from_json(d) for d in item["destinations"]),
            counters=_counters(item),
            rates=_rates(item),
            foreign=item.get("foreign", False),
        )
        for item in items
    )


def connections_to_json(connections: Iterable[Connection]) -> list[list[Any]]:
    """A row an entry, in the order of the fields."""
    return [
        [
            int(c.protocol),
            *(str(c.client), c.client_port, str(c.virtual), c.virtual_port, str(c.destination), c.destination_port),
            *(c.state, c.expires_s, c.is_template, c.mark, c.engine, c.engine_data, c.is_synced),
        ]
        for c in connections
    ]


def connections_from_json(rows: Iterable[Sequence[Any]]) -> list[Connection]:
    return [
        Connection(
            protocol=Protocol(row[0]),
            client=parse_address(row[1]),
            client_port=row[2],
            virtual=parse_address(row[3]),
            virtual_port=row[4],
            destination=parse_address(row[5]),
            destination_port=row[6],
            state=row[7],
            expires_s=row[8],
            is_template=row[9],
            mark=row[10],
            engine=row[11],
            engine_data=row[12],
            is_synced=row[13],
        )
        for row in rows
    ]


def timeouts_to_json(timeouts: Timeouts) -> list[float]:
    return [timeouts.tcp_s, timeouts.tcp_fin_s, timeouts.udp_s]


def timeouts_from_json(item: Sequence[float]) -> Timeouts:
    tcp_s, tcp_fin_s, udp_s = (float(value) for value in item)
    return Timeouts(tcp_s=tcp_s, tcp_fin_s=tcp_fin_s, udp_s=udp_s)


def daemon_to_json(daemon: SyncDaemon) -> Json:
    return {
        "role": daemon.role.value,
        "interface": daemon.interface,
        "sync_id": daemon.sync_id,
        "group": None if daemon.group is None else str(daemon.group),
        "port": daemon.port,
        "ttl": daemon.ttl,
        "max_length": daemon.max_length,
    }


def daemon_from_json(item: Json) -> SyncDaemon:
    return SyncDaemon(
        role=SyncRole(item["role"]),
        interface=str(item["interface"]),
        sync_id=int(item["sync_id"]),
        group=None if item["group"] is None else parse_address(item["group"]),
        port=_port(item["port"]),
        ttl=int(item["ttl"]),
        max_length=int(item["max_length"]),
    )


# ---- parts ----


def _key_to_json(key: ServiceKey) -> list[Any]:
    return [int(key.protocol), str(key.address), key.port, key.mark]


def _key_from_json(item: Sequence[Any]) -> ServiceKey:
    protocol, address, port, mark = item
    return ServiceKey(protocol=Protocol(protocol), address=parse_address(address), port=_port(port), mark=int(mark))


def _service_to_json(service: Service) -> Json:
    found: Json = {"key": _key_to_json(service.key), "scheduler": service.scheduler}
    if service.flags:
        found["flags"] = int(service.flags)
    if service.persistent_s:
        found["persistent_s"] = service.persistent_s
    if service.persistence_prefix is not None:
        prefix = service.persistence_prefix
        found["persistence_prefix"] = prefix if isinstance(prefix, int) else str(prefix)
    if service.engine:
        found["engine"] = service.engine
    if service.one_packet:
        found["one_packet"] = True
    return found


def _service_from_json(item: Json) -> Service:
    return Service(
        key=_key_from_json(item["key"]),
        scheduler=str(item["scheduler"]),
        flags=SchedulerFlag(item.get("flags", 0)),
        persistent_s=int(item.get("persistent_s", 0)),
        persistence_prefix=_persistence_prefix(item.get("persistence_prefix")),
        engine=str(item.get("engine", "")),
        one_packet=bool(item.get("one_packet", False)),
    )


def _persistence_prefix(item: int | str | None) -> PersistencePrefix:
    return IPv4Address(item) if isinstance(item, str) else item


def _destination_to_json(destination: Destination) -> Json:
    d = destination
    found: Json = {"at": [str(d.key.address), d.key.port], "method": d.method.value, "weight": d.weight}
    if d.upper_threshold or d.lower_threshold:
        found["thresholds"] = [d.upper_threshold, d.lower_threshold]
    if (d.tunnel, d.tunnel_port, d.tunnel_checksum) != (TunnelType.IPIP, 0, TunnelChecksum.NONE):
        found["tunnel"] = [d.tunnel.value, d.tunnel_port, d.tunnel_checksum.value]
    return found


def _destination_from_json(item: Json) -> Destination:
    address, port = item["at"]
    upper, lower = item.get("thresholds", (0, 0))
    tunnel, tunnel_port, checksum = item.get("tunnel", (TunnelType.IPIP, 0, TunnelChecksum.NONE))
    return Destination(
        key=DestinationKey(address=parse_address(address), port=_port(port)),
        method=ForwardingMethod(item["method"]),
        weight=int(item["weight"]),
        upper_threshold=int(upper),
        lower_threshold=int(lower),
        tunnel=TunnelType(tunnel),
        tunnel_port=int(tunnel_port),
        tunnel_checksum=TunnelChecksum(checksum),
    )


def _destination_status_to_json(status: DestinationStatus) -> Json:
    found = _destination_to_json(status.destination)
    if status.active_connections or status.inactive_connections or status.persistent_connections:
        found["connections"] = [
            status.active_connections,
            status.inactive_connections,
            status.persistent_connections,
        ]
    found.update(_measured_to_json(status.counters, status.rates))
    return found


def _destination_status_from_json(item: Json) -> DestinationStatus:
    active, inactive, persistent = item.get("connections", (0, 0, 0))
    return DestinationStatus(
        destination=_destination_from_json(item),
        active_connections=active,
        inactive_connections=inactive,
        persistent_connections=persistent,
        counters=_counters(item),
        rates=_rates(item),
    )


def _measured_to_json(counters: Counters, rates: Rates) -> Json:
    found: Json = {}
    if counters != _NO_COUNTERS:
        c = counters
        found["counters"] = [c.connections, c.in_packets, c.out_packets, c.in_bytes, c.out_bytes]
    if rates != _NO_RATES:
        r = rates
        found["rates"] = [r.connections, r.in_packets, r.out_packets, r.in_bytes, r.out_bytes]
    return found


def _counters(item: Json) -> Counters:
    return Counters(*item["counters"]) if "counters" in item else _NO_COUNTERS


def _rates(item: Json) -> Rates:
    return Rates(*item["rates"]) if "rates" in item else _NO_RATES


def _port(value: Any) -> int:
    port = int(value)
    if not 0 <= port <= 65535:
        raise ValueError(f"{port} is no port")
    return port
