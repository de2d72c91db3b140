"""The port: what every data plane does, in IPVS's terms. `ebpf/` and `memory.py` implement it.

A plane holds services, each with destinations in the order they were added, and connections. Operations are small and
absolute ("this destination has weight 3"), so that applying one twice does no harm.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, runtime_checkable
from typing import Protocol as TypingProtocol

from piranha.base.errors import PiranhaError
from piranha.model.address import IPAddress
from piranha.model.mark import MarkRule
from piranha.model.rules import PlaneRules
from piranha.model.service import (
    Destination,
    DestinationKey,
    Protocol,
    Service,
    ServiceKey,
    ServiceStatus,
    Timeouts,
    TunnelType,
)

if TYPE_CHECKING:
    # Programs that only name operations start without it.
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class AddService:
    service: Service


@dataclass(frozen=True, slots=True, kw_only=True)
class EditService:
    """Change an existing service in place; its destinations and connections stay."""

    service: Service


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteService:
    """Remove a service with all its destinations; their connections expire on their own."""

    key: ServiceKey


@dataclass(frozen=True, slots=True, kw_only=True)
class AddDestination:
    service: ServiceKey
    destination: Destination


@dataclass(frozen=True, slots=True, kw_only=True)
class EditDestination:
    """Change weight or method of an existing destination; its connections stay."""

    service: ServiceKey
    destination: Destination


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteDestination:
    service: ServiceKey
    key: DestinationKey


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTimeouts:
    timeouts: Timeouts


@dataclass(frozen=True, slots=True, kw_only=True)
class SetMarkRules:
    """Let exactly these rules give packets their firewall marks; the first that matches a packet counts."""

    rules: tuple[MarkRule, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetSettings:
    """Let all connections go by these rules from now on."""

    settings: PlaneRules


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroCounters:
    """Let the counters of one service and its destinations, or of all (None), begin again at 0."""

    key: ServiceKey | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Clear:
    """Remove every service; connections expire on their own."""


class SyncRole(StrEnum):
    MASTER = "master"
    BACKUP = "backup"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncDaemon:
    """A connection-sync daemon. Group None is 224.0.0.81; `max_length` 0 is the interface's best."""

    role: SyncRole
    interface: str
    sync_id: int = 0
    group: IPAddress | None = None
    port: int = 8848
    ttl: int = 1
    max_length: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StartDaemon:
    daemon: SyncDaemon


@dataclass(frozen=True, slots=True, kw_only=True)
class StopDaemon:
    role: SyncRole
    sync_id: int = 0


Operation = (
    AddService
    | EditService
    | DeleteService
    | AddDestination
    | EditDestination
    | DeleteDestination
    | SetTimeouts
    | SetMarkRules
    | SetSettings
    | ZeroCounters
    | Clear
    | StartDaemon
    | StopDaemon
)


class RefusalKind(StrEnum):
    """Why a plane refuses an operation; the words behind it are IPVS's error numbers (EEXIST, ESRCH, ENOENT, …)."""

    EXISTS = "exists"
    NO_SERVICE = "no service"
    NO_DESTINATION = "no destination"
    NO_SCHEDULER = "no scheduler"
    INVALID = "invalid"
    RANGE = "out of range"
    FULL = "full"
    UNSUPPORTED = "unsupported"


class RefusedError(PiranhaError):
    """An operation that the plane refuses; nothing of it was done."""

    def __init__(self, kind: RefusalKind, message: str, *, mend: str = "") -> None:
        super().__init__(message, mend=mend)
        self.kind = kind


class NoDeviceError(RefusedError):
    """A daemon on an interface that is not there."""

    errno = errno.ENODEV

    def __init__(self, interface: str) -> None:
        super().__init__(RefusalKind.INVALID, f"start daemon: there is no interface {interface}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionFilter:
    """Which connections to list; None means any. `limit` bounds the rows returned, never the count."""

    protocol: Protocol | None = None
    client: IPAddress | None = None
    virtual: IPAddress | None = None
    virtual_port: int | None = None
    destination: IPAddress | None = None
    state: str | None = None
    limit: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One connection entry as a person reads it. `expires_s` counts down to its removal.

    A persistence template has client port 0 and protocol IP where it belongs to a firewall mark.
    """

    protocol: Protocol
    client: IPAddress
    client_port: int
    virtual: IPAddress
    virtual_port: int
    destination: IPAddress
    destination_port: int
    state: str
    expires_s: float
    is_template: bool = False
    mark: int = 0
    engine: str = ""
    engine_data: str = ""
    is_synced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionPage:
    """`total` matched the filter; `rows` are the first `limit` of them in table order."""

    total: int
    rows: tuple[Connection, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneStatus:
    """How a plane itself is doing. `reasons` counts every packet refused or passed on, by reason word.

    `defences` are those of the rules that are not off, each with what it does now; `losses` counts what bounded tables of
    schedulers had no room for. Both are sentences by word, for people.
    """

    name: str
    hooks: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    connections: int = 0
    connection_capacity: int = 0
    notes: tuple[str, ...] = ()
    defences: dict[str, str] = field(default_factory=dict)
    losses: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a plane can do, so that the director refuses a service by name instead of failing half-way.

    `scheduler_flags` are the schedulers that have them; `all_ports` is a service of port 0.
    """

    schedulers: frozenset[str]
    persistence: bool = False
    firewall_marks: bool = False
    protocols: frozenset[Protocol] = frozenset((Protocol.TCP, Protocol.UDP))
    scheduler_flags: frozenset[str] = frozenset()
    all_ports: bool = False
    one_packet: bool = False
    thresholds: bool = False
    engines: frozenset[str] = frozenset()
    tunnels: frozenset[TunnelType] = frozenset((TunnelType.IPIP,))


class DataPlane(TypingProtocol):
    """One switching table. All methods are synchronous and bounded; none may be called from two threads at once."""

    capabilities: Capabilities

    def snapshot(self) -> tuple[ServiceStatus, ...]:
        """Everything the plane holds now, in the order services were added."""
        ...

    def apply(self, operations: Sequence[Operation]) -> None:
        """Carry out `operations` in order.

        Raises RefusedError (or another PiranhaError) naming the first that failed; those before it stay.
        """
        ...

    def timeouts(self) -> Timeouts:
        """The three timeouts in force, in seconds."""
        ...

    def mark_rules(self) -> tuple[MarkRule, ...]:
        """The rules that give marks now. Raises RefusedError UNSUPPORTED where the plane has none."""
        ...

    def rules(self) -> PlaneRules:
        """The rules in force. Raises RefusedError UNSUPPORTED where the plane cannot say."""
        ...

    def daemons(self) -> tuple[SyncDaemon, ...]:
        """The connection-sync daemons that run."""
        ...

    def connections(self, wanted: ConnectionFilter) -> ConnectionPage: ...

    def connection_counts(self) -> NDArray[np.int64]:
        """Live connections by protocol and activity, shape (2, 2): rows TCP, UDP and SCTP; columns active, inactive."""
        ...

    def status(self) -> PlaneStatus: ...

    def close(self) -> None:
        """Let go of the plane; what is in the kernel stays and goes on forwarding."""
        ...


@runtime_checkable
class Expiring(TypingProtocol):
    """A plane that can end connections before their time."""

    def expire(self, service: ServiceKey, destination: DestinationKey) -> int:
        """End the connections and templates of a destination, whether it still stands in the table or not; how many."""
        ...
