"""A data plane in memory: the fake of tests and dry runs. It keeps the port's contract and switches no packet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from ipaddress import IPv4Address

import numpy as np
from numpy.typing import NDArray

from piranha.dataplane.port import (
    AddDestination,
    AddService,
    Capabilities,
    Clear,
    Connection,
    ConnectionFilter,
    ConnectionPage,
    DeleteDestination,
    DeleteService,
    EditDestination,
    EditService,
    NoDeviceError,
    Operation,
    PlaneStatus,
    RefusalKind,
    RefusedError,
    SetMarkRules,
    SetSettings,
    SetTimeouts,
    StartDaemon,
    StopDaemon,
    SyncDaemon,
    SyncRole,
    ZeroCounters,
)
from piranha.model.mark import MarkRule
from piranha.model.rules import PlaneRules
from piranha.model.service import (
    Counters,
    Destination,
    DestinationKey,
    DestinationStatus,
    ForwardingMethod,
    Protocol,
    Service,
    ServiceEntry,
    ServiceKey,
    ServiceStatus,
    Timeouts,
)

DEFAULT_TIMEOUTS = Timeouts(tcp_s=900, tcp_fin_s=120, udp_s=300)
ACTIVE_STATES = frozenset({"ESTABLISHED", "SYN_SENT", "SYN_RECV", "SYNACK"})
"""TCP states that count as active; UDP never does (Linux `tcp_state_active`)."""
_BROADCAST = IPv4Address("255.255.255.255")
_MTU = 1500
_SHORTEST_SYNC = 1024
_Tally = Counter[tuple[ServiceKey, DestinationKey, str]]


class _Row:
    """One service as the fake stores it."""

    def __init__(self, service: Service, *, foreign: bool = False) -> None:
        self.service = service
        self.foreign = foreign
        self.destinations: dict[DestinationKey, Destination] = {}
        self.counters: dict[DestinationKey, Counters] = {}


class MemoryPlane:
    """Services, destinations, counters and connections in dictionaries, with the errors a kernel gives.

    The `inject_*` methods play the packets and the other programs on the machine; `fail_on` plays a full or broken
    kernel. `applied` is every operation carried out so far. `interfaces` are those that daemons can use, None all.
    """

    def __init__(
        self,
        *,
        schedulers: Iterable[str] = ("rr", "wrr", "lc", "wlc"),
        persistence: bool = False,
        firewall_marks: bool = False,
        capabilities: Capabilities | None = None,
        interfaces: Iterable[str] | None = None,
    ) -> None:
        self.capabilities = capabilities or Capabilities(
            schedulers=frozenset(schedulers), persistence=persistence, firewall_marks=firewall_marks
        )
        self.applied: list[Operation] = []
        self.fail_on: set[ServiceKey] = set()
        self.closed = False
        self._rows: dict[ServiceKey, _Row] = {}
        self._connections: list[Connection] = []
        self._timeouts = DEFAULT_TIMEOUTS
        self._mark_rules: tuple[MarkRule, ...] = ()
        self._settings = PlaneRules()
        self._daemons: dict[SyncRole, SyncDaemon] = {}
        self._interfaces = None if interfaces is None else frozenset(interfaces)

    def snapshot(self) -> tuple[ServiceStatus, ...]:
        tally = Counter((*_ends(connection), _counts_as(connection)) for connection in self._connections)
        return tuple(self._status(row, tally) for row in self._rows.values())

    def apply(self, operations: Sequence[Operation]) -> None:
        for operation in operations:
            self._carry_out(operation)
            self.applied.append(operation)

    def timeouts(self) -> Timeouts:
        return self._timeouts

    def mark_rules(self) -> tuple[MarkRule, ...]:
        return self._mark_rules

    def rules(self) -> PlaneRules:
        return self._settings

    def daemons(self) -> tuple[SyncDaemon, ...]:
        return tuple(self._daemons.values())

    def connections(self, wanted: ConnectionFilter) -> ConnectionPage:
        matching = [connection for connection in self._connections if _matches(connection, wanted)]
        return ConnectionPage(total=len(matching), rows=tuple(matching[: wanted.limit]))

    def connection_counts(self) -> NDArray[np.int64]:
        counts = np.zeros((2, 2), dtype=np.int64)
        for connection in self._connections:
            if not connection.is_template:
                counts[0 if connection.protocol is Protocol.TCP else 1, 0 if _is_active(connection) else 1] += 1
        return counts

    def status(self) -> PlaneStatus:
        return PlaneStatus(
            name="memory",
            connections=len(self._connections),
            notes=("the memory plane switches no packets",),
        )

    def expire(self, service: ServiceKey, destination: DestinationKey) -> int:
        kept = [connection for connection in self._connections if _ends(connection) != (service, destination)]
        ended = len(self._connections) - len(kept)
        self._connections = kept
        return ended

    def close(self) -> None:
        self.closed = True

    def inject_connection(self, connection: Connection) -> None:
        """A connection as packets would have made it; it also counts as one new connection of its destination.

        A template counts as none.
        """
        service, destination = _ends(connection)
        self._connections.append(connection)
        row = None if connection.is_template else self._rows.get(service)
        if row is not None and destination in row.counters:
            row.counters[destination] += Counters(connections=1)

    def inject_traffic(self, service: ServiceKey, destination: DestinationKey, counters: Counters) -> None:
        """Packets and bytes that a destination served; KeyError where it does not exist."""
        self._rows[service].counters[destination] += counters

    def inject_foreign(self, entry: ServiceEntry) -> None:
        """A service that another program made."""
        row = _Row(entry.service, foreign=True)
        for destination in entry.destinations:
            row.destinations[destination.key] = destination
            row.counters[destination.key] = Counters()
        self._rows[entry.service.key] = row

    def _status(self, row: _Row, tally: _Tally) -> ServiceStatus:
        service = row.service.key
        return ServiceStatus(
            service=row.service,
            destinations=tuple(
                DestinationStatus(
                    destination=destination,
                    active_connections=tally[service, key, "active"],
                    inactive_connections=tally[service, key, "inactive"],
                    persistent_connections=tally[service, key, "persistent"],
                    counters=row.counters[key],
                )
                for key, destination in row.destinations.items()
            ),
            counters=sum(row.counters.values(), start=Counters()),
            foreign=row.foreign,
        )

    def _carry_out(self, operation: Operation) -> None:
        match operation:
            case AddService(service=service):
                self._refuse_if_told(service.key, "add service")
                if service.key in self._rows:
                    raise RefusedError(RefusalKind.EXISTS, f"add service {service.key}: it exists already")
                self._check_service(service)
                self._rows[service.key] = _Row(service)
            case EditService(service=service):
                row = self._row(service.key, "edit service")
                self._check_service(service)
                row.service = service
            case DeleteService(key=key):
                self._row(key, "delete service")
                del self._rows[key]
            case AddDestination(service=key, destination=destination):
                row = self._row(key, f"add destination {destination.key} to")
                _check_destination(key, destination)
                if destination.key in row.destinations:
                    raise RefusedError(
                        RefusalKind.EXISTS, f"add destination {destination.key} to {key}: it exists already"
                    )
                row.destinations[destination.key] = destination
                row.counters[destination.key] = Counters()
            case EditDestination(service=key, destination=destination):
                row = self._row(key, f"edit destination {destination.key} of")
                _check_destination(key, destination)
                _check_present(row, destination.key, "edit")
                row.destinations[destination.key] = destination
            case DeleteDestination(service=key, key=gone):
                row = self._row(key, f"delete destination {gone} of")
                _check_present(row, gone, "delete")
                del row.destinations[gone], row.counters[gone]
            case ZeroCounters(key=key_or_all):
                rows = self._rows.values() if key_or_all is None else [self._row(key_or_all, "zero service")]
                for row in rows:
                    row.counters = dict.fromkeys(row.counters, Counters())
            case Clear():
                self._rows.clear()
            case SetMarkRules(rules=rules):
                self._mark_rules = rules
            case SetSettings(settings=settings):
                self._settings = settings
            case SetTimeouts(timeouts=timeouts):
                self._timeouts = replace(
                    self._timeouts,
                    tcp_s=timeouts.tcp_s or self._timeouts.tcp_s,
                    tcp_fin_s=timeouts.tcp_fin_s or self._timeouts.tcp_fin_s,
                    udp_s=timeouts.udp_s or self._timeouts.udp_s,
                )
            case StartDaemon(daemon=daemon):
                self._start_daemon(daemon)
            case StopDaemon(role=role):
                if role not in self._daemons:
                    raise RefusedError(RefusalKind.NO_SERVICE, f"stop daemon {role}: it does not run")
                del self._daemons[role]

    def _start_daemon(self, daemon: SyncDaemon) -> None:
        if daemon.role in self._daemons:
            raise RefusedError(RefusalKind.EXISTS, f"start daemon {daemon.role}: it runs already")
        if self._interfaces is not None and daemon.interface not in self._interfaces:
            raise NoDeviceError(daemon.interface)
        if any(d.address.version != key.address.version for key, row in self._rows.items() for d in row.destinations):
            raise RefusedError(
                RefusalKind.INVALID, f"start daemon {daemon.role}: a tunnel crosses families, no message can tell it"
            )
        longest = _MTU - (48 if daemon.group is not None and daemon.group.version == 6 else 28)
        length = max(daemon.max_length, _SHORTEST_SYNC) if daemon.max_length else longest
        self._daemons[daemon.role] = replace(daemon, max_length=length)

    def _row(self, key: ServiceKey, action: str) -> _Row:
        self._refuse_if_told(key, action)
        row = self._rows.get(key)
        if row is None:
            raise RefusedError(RefusalKind.NO_SERVICE, f"{action} {key}: no such service")
        return row

    def _refuse_if_told(self, key: ServiceKey, action: str) -> None:
        if key in self.fail_on:
            raise RefusedError(RefusalKind.FULL, f"{action} {key}: no space left in the table")

    def _check_service(self, service: Service) -> None:
        if service.scheduler not in self.capabilities.schedulers:
            raise RefusedError(RefusalKind.NO_SCHEDULER, f"service {service.key}: no scheduler {service.scheduler}")
        if service.engine and service.engine not in self.capabilities.engines:
            raise RefusedError(
                RefusalKind.NO_SCHEDULER, f"service {service.key}: no persistence engine {service.engine}"
            )
        if not service.key.mark and not service.key.port and not service.persistent_s:
            raise RefusedError(RefusalKind.INVALID, f"service {service.key}: port 0 needs persistence")


def _check_destination(service: ServiceKey, destination: Destination) -> None:
    """What a kernel does not take, in its order (Linux `ip_vs_add_dest`)."""
    address, where = destination.key.address, f"destination {destination.key} of {service}"
    if address.version != service.address.version and destination.method is not ForwardingMethod.TUNNEL:
        raise RefusedError(RefusalKind.INVALID, f"{where}: only a tunnel crosses address families")
    if destination.lower_threshold > destination.upper_threshold:
        raise RefusedError(RefusalKind.RANGE, f"{where}: its lower threshold is above the upper one")
    is_link_local = address.version == 6 and address.is_link_local
    if address.is_multicast or address.is_unspecified or address == _BROADCAST or is_link_local:
        raise RefusedError(RefusalKind.INVALID, f"{where}: no address of one host")


def _check_present(row: _Row, key: DestinationKey, action: str) -> None:
    if key not in row.destinations:
        raise RefusedError(
            RefusalKind.NO_DESTINATION, f"{action} destination {key} of {row.service.key}: no such destination"
        )


def _ends(connection: Connection) -> tuple[ServiceKey, DestinationKey]:
    key = ServiceKey(protocol=connection.protocol, address=connection.virtual, port=connection.virtual_port)
    if connection.mark:
        key = ServiceKey.of_mark(connection.mark, connection.client.version)
    return key, DestinationKey(address=connection.destination, port=connection.destination_port)


def _counts_as(connection: Connection) -> str:
    if connection.is_template:
        return "persistent"
    return "active" if _is_active(connection) else "inactive"


def _is_active(connection: Connection) -> bool:
    return connection.protocol is Protocol.TCP and connection.state in ACTIVE_STATES


def _matches(connection: Connection, wanted: ConnectionFilter) -> bool:
    return (
        wanted.protocol in (None, connection.protocol)
        and wanted.client in (None, connection.client)
        and wanted.virtual in (None, connection.virtual)
        and wanted.virtual_port in (None, connection.virtual_port)
        and wanted.destination in (None, connection.destination)
        and wanted.state in (None, connection.state)
    )
