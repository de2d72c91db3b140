"""Virtual services and destinations: what a data plane switches, in IPVS's terms (spec: ip_vs(8), Linux `ip_vs.h`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from piranha.model.address import IPAddress, format_endpoint


class Protocol(IntEnum):
    """Protocols of a virtual service, by their IP protocol number."""

    TCP = 6
    UDP = 17

    @property
    def word(self) -> str:
        return self.name.lower()


class ForwardingMethod(StrEnum):
    """How a packet reaches its real server."""

    MASQUERADE = "nat"
    DIRECT = "direct"
    TUNNEL = "tunnel"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ServiceKey:
    """What identifies a virtual service: protocol, VIP and port. `str()` gives `tcp 10.0.0.100:80`."""

    protocol: Protocol
    address: IPAddress
    port: int

    def __str__(self) -> str:
        return f"{self.protocol.word} {format_endpoint(self.address, self.port)}"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class DestinationKey:
    """What identifies a destination inside its service: RIP and port."""

    address: IPAddress
    port: int

    def __str__(self) -> str:
        return format_endpoint(self.address, self.port)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A virtual service without its destinations."""

    key: ServiceKey
    scheduler: str = "wlc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A real server as target of one service. Weight 0 is quiesced: no new connections, old ones go on."""

    key: DestinationKey
    method: ForwardingMethod
    weight: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 2**31 - 1:
            raise ValueError(f"weight {self.weight} of {self.key} is outside 0..2147483647")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceEntry:
    """A service with its destinations in the order they were added (a scheduler's list order is the reverse: newest first)."""

    service: Service
    destinations: tuple[Destination, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Connection timeouts that `ipvsadm --set` changes, in seconds; 0 leaves the data plane's value (900/120/300)."""

    tcp_s: float = 0
    tcp_fin_s: float = 0
    udp_s: float = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Totals since the object was created. Bytes count from the IP header on. Out stays 0 for direct and tunnel."""

    connections: int = 0
    in_packets: int = 0
    out_packets: int = 0
    in_bytes: int = 0
    out_bytes: int = 0

    def __add__(self, other: Counters) -> Counters:
        return Counters(
            connections=self.connections + other.connections,
            in_packets=self.in_packets + other.in_packets,
            out_packets=self.out_packets + other.out_packets,
            in_bytes=self.in_bytes + other.in_bytes,
            out_bytes=self.out_bytes + other.out_bytes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationStatus:
    """A destination as the data plane has it now."""

    destination: Destination
    active_connections: int = 0
    inactive_connections: int = 0
    counters: Counters = field(default_factory=Counters)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """A service as the data plane has it now, destinations in the order they were added.

    `foreign` marks a service that somebody else made (`ipvsadm` by hand, another program): it is shown, never touched.
    """

    service: Service
    destinations: tuple[DestinationStatus, ...] = ()
    counters: Counters = field(default_factory=Counters)
    foreign: bool = False

    @property
    def entry(self) -> ServiceEntry:
        return ServiceEntry(service=self.service, destinations=tuple(d.destination for d in self.destinations))
