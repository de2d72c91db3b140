"""A data plane in memory: the fake of tests and dry runs. It keeps the port's contract and switches no packet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from piranha.base.errors import PiranhaError
from piranha.dataplane.port import (
    AddDestination,
    AddService,
    Capabilities,
    Connection,
    ConnectionFilter,
    ConnectionPage,
    DeleteDestination,
    DeleteService,
    EditDestination,
    EditService,
    Operation,
    PlaneStatus,
    SetMarkRules,
    SetSettings,
    SetTimeouts,
)
from piranha.model.mark import MarkRule
from piranha.model.rules import PlaneRules
from piranha.model.service import (
    Counters,
    Destination,
    DestinationKey,
    DestinationStatus,
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
    kernel. `applied` is every operation carried out so far.
    """

    def __init__(
        self,
        *,
        schedulers: Iterable[str] = ("rr", "wrr", "lc", "wlc"),
        persistence: bool = False,
        firewall_marks: bool = False,
        capabilities: Capabilities | None = None,
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

    def snapshot(self) -> tuple[ServiceStatus, ...]:
        tally: Counter[tuple[ServiceKey, DestinationKey, bool]] = Counter(
            (*_ends(connection), _is_active(connection)) for connection in self._connections
        )
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

    def connections(self, wanted: ConnectionFilter) -> ConnectionPage:
        matching = [connection for connection in self._connections if _matches(connection, wanted)]
        return ConnectionPage(total=len(matching), rows=tuple(matching[: wanted.limit]))

    def connection_counts(self) -> NDArray[np.int64]:
        counts = np.zeros((2, 2), dtype=np.int64)
        for connection in self._connections:
            counts[0 if connection.protocol is Protocol.TCP else 1, 0 if _is_active(connection) else 1] += 1
        return counts

    def status(self) -> PlaneStatus:
        return PlaneStatus(
            name="memory",
            connections=len(self._connections),
            notes=("the memory plane switches no packets",),
        )

    def close(self) -> None:
        self.closed = True

    def inject_connection(self, connection: Connection) -> None:
        """A connection as packets would have made it; it also counts as one new connection of its destination."""
        service, destination = _ends(connection)
        self._connections.append(connection)
        row = self._rows.get(service)
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

    def _status(self, row: _Row, tally: Counter[tuple[ServiceKey, DestinationKey, bool]]) -> ServiceStatus:
        service = row.service.key
        return ServiceStatus(
            service=row.service,
            destinations=tuple(
                DestinationStatus(
                    destination=destination,
                    active_connections=tally[service, key, True],
                    inactive_connections=tally[service, key, False],
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
                    raise PiranhaError(f"add service {service.key}: it exists already")
                self._check_scheduler(service)
                self._rows[service.key] = _Row(service)
            case EditService(service=service):
                row = self._row(service.key, "edit service")
                self._check_scheduler(service)
                row.service = service
            case DeleteService(key=key):
                self._row(key, "delete service")
                del self._rows[key]
            case AddDestination(service=key, destination=destination):
                row = self._row(key, f"add destination {destination.key} to")
                if destination.key in row.destinations:
                    raise PiranhaError(f"add destination {destination.key} to {key}: it exists already")
                row.destinations[destination.key] = destination
                row.counters[destination.key] = Counters()
            case EditDestination(service=key, destination=destination):
                row = self._row(key, f"edit destination {destination.key} of")
                _check_present(row, destination.key, "edit")
                row.destinations[destination.key] = destination
            case DeleteDestination(service=key, key=gone):
                row = self._row(key, f"delete destination {gone} of")
                _check_present(row, gone, "delete")
                del row.destinations[gone], row.counters[gone]
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

    def _row(self, key: ServiceKey, action: str) -> _Row:
        self._refuse_if_told(key, action)
        row = self._rows.get(key)
        if row is None:
            raise PiranhaError(f"{action} {key}: no such service")
        return row

    def _refuse_if_told(self, key: ServiceKey, action: str) -> None:
        if key in self.fail_on:
            raise PiranhaError(f"{action} {key}: no space left in the table")

    def _check_scheduler(self, service: Service) -> None:
        if service.scheduler not in self.capabilities.schedulers:
            raise PiranhaError(f"service {service.key}: no scheduler {service.scheduler}")


def _check_present(row: _Row, key: DestinationKey, action: str) -> None:
    if key not in row.destinations:
        raise PiranhaError(f"{action} destination {key} of {row.service.key}: no such destination")


def _ends(connection: Connection) -> tuple[ServiceKey, DestinationKey]:
    return (
        ServiceKey(protocol=connection.protocol, address=connection.virtual, port=connection.virtual_port),
        DestinationKey(address=connection.destination, port=connection.destination_port),
    )


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
