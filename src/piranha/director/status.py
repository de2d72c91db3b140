"""The read model of the director as a whole: plane, configuration, problems. Pure; JSON-shaped like `services.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from numpy import int64
from numpy.typing import NDArray

from piranha.config.problem import Problem, Severity
from piranha.dataplane.port import Connection, ConnectionPage, PlaneStatus
from piranha.director.overview import BriefService, Summary
from piranha.director.pulse_link import ClusterDocument
from piranha.replication.view import ReplicationView
from piranha.sync.tally import SyncView


class ProblemView(TypedDict):
    """One finding in the file. `column` counts from 1; `text` is what stands there."""

    severity: str
    file: str
    line: int
    column: int
    text: str
    message: str
    suggestion: str


class ConfigurationView(TypedDict):
    path: str
    serial_no: int
    service: str
    loaded_at: str
    changed_on_disk: bool
    warnings: list[ProblemView]


class ConnectionsView(TypedDict):
    tcp_active: int
    tcp_inactive: int
    udp_active: int
    udp_inactive: int
    total: int
    capacity: int


class PlaneView(TypedDict):
    name: str
    hooks: dict[str, str]
    reasons: dict[str, int]
    defences: dict[str, str]
    losses: dict[str, int]
    notes: list[str]
    connections: ConnectionsView


class StatusDocument(TypedDict):
    """`problems` are sentences that ask for a person: refused services, missing VIPs, a plane that fails.

    `cluster` is the pair in short; `/api/v1/cluster` has the whole of it.
    """

    version: str
    pid: int
    started_at: str
    uptime_s: float
    configuration: ConfigurationView
    plane: PlaneView
    summary: Summary
    services: list[BriefService]
    sync: SyncView | None
    replication: ReplicationView | None
    problems: list[str]
    cluster: ClusterDocument


class ConnectionView(TypedDict):
    protocol: str
    client: str
    client_port: int
    virtual: str
    virtual_port: int
    destination: str
    destination_port: int
    state: str
    expires_s: float


class ConnectionsDocument(TypedDict):
    total: int
    connections: list[ConnectionView]


class ReloadDocument(TypedDict):
    """What a reload did. `changes` are the lines of the difference, the last may only count the rest."""

    accepted: bool
    serial_no: int
    changes: list[str]
    problems: list[str]
    warnings: list[ProblemView]


def problem_view(problem: Problem) -> ProblemView:
    return ProblemView(
        severity=problem.severity.value,
        file=problem.file,
        line=problem.line,
        column=problem.column,
        text=problem.text,
        message=problem.message,
        suggestion=problem.suggestion,
    )


def warnings_of(problems: Sequence[Problem]) -> list[ProblemView]:
    return [problem_view(problem) for problem in problems if problem.severity is Severity.WARNING]


def plane_view(status: PlaneStatus, counts: NDArray[int64]) -> PlaneView:
    """`counts` as the port's `connection_counts` gives it."""
    (tcp_active, tcp_inactive), (udp_active, udp_inactive) = counts.tolist()
    return PlaneView(
        name=status.name,
        hooks=dict(status.hooks),
        reasons=dict(status.reasons),
        defences=dict(status.defences),
        losses=dict(status.losses),
        notes=list(status.notes),
        connections=ConnectionsView(
            tcp_active=tcp_active,
            tcp_inactive=tcp_inactive,
            udp_active=udp_active,
            udp_inactive=udp_inactive,
            total=status.connections,
            capacity=status.connection_capacity,
        ),
    )


def connections_document(page: ConnectionPage) -> ConnectionsDocument:
    return ConnectionsDocument(total=page.total, connections=[_connection(row) for row in page.rows])


def _connection(row: Connection) -> ConnectionView:
    return ConnectionView(
        protocol=row.protocol.word,
        client=str(row.client),
        client_port=row.client_port,
        virtual=str(row.virtual),
        virtual_port=row.virtual_port,
        destination=str(row.destination),
        destination_port=row.destination_port,
        state=row.state,
        expires_s=round(row.expires_s, 1),
    )
