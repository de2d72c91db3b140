"""Virtual services and destinations: what a data plane switches, in IPVS's terms (spec: ip_vs(8), Linux `ip_vs.h`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, IntFlag, StrEnum
from ipaddress import IPv4Address, IPv6Address

from piranha.model.address import IPAddress, format_endpoint, prefix_length


class Protocol(IntEnum):
    """Protocols of a virtual service, by their IP protocol number. IP is "any": services of firewall marks have it."""

    IP = 0
    TCP = 6
    UDP = 17
    SCTP = 132

    @property
    def word(self) -> str:
        return self.name.lower()


class ForwardingMethod(StrEnum):
    """How a packet reaches its real server."""

    MASQUERADE = "nat"
    DIRECT = "direct"
    TUNNEL = "tunnel"


class SchedulerFlag(IntFlag):
    """Flags of a scheduler, with IPVS's values. For sh and mh the first is "fallback", the second "port"."""

    SCHED1 = 0x08
    SCHED2 = 0x10
    SCHED3 = 0x20


NO_FLAGS = SchedulerFlag(0)
FULL_MASK = 2**32 - 1
PersistencePrefix = int | IPv4Address | None


class TunnelType(StrEnum):
    """What the tunnel method wraps packets in."""

    IPIP = "ipip"
    GUE = "gue"
    GRE = "gre"


class TunnelChecksum(StrEnum):
    """Checksum of the outer header of gue and gre."""

    NONE = "nocsum"
    FULL = "csum"
    REMOTE = "remcsum"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ServiceKey:
    """What identifies a virtual service: protocol, VIP and port; or a firewall mark and a family.

    A mark's service has `mark` not 0, protocol IP, port 0 and the unspecified address of its family. Port 0 of an
    address is "all ports". `str()` gives `tcp 10.0.0.100:80`, `fwmark 5` or `fwmark 5 ipv6`.
    """

    protocol: Protocol
    address: IPAddress
    port: int
    mark: int = 0

    @staticmethod
    def of_mark(mark: int, version: int = 4) -> ServiceKey:
        """The key of a firewall mark for one family (IP version 4 or 6)."""
        address: IPAddress = IPv4Address(0) if version == 4 else IPv6Address(0)
        return ServiceKey(protocol=Protocol.IP, address=address, port=0, mark=mark)

    def __str__(self) -> str:
        if self.mark:
            return f"fwmark {self.mark}" + (" ipv6" if self.address.version == 6 else "")
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
    """A virtual service without its destinations.

    `persistent_s` 0 is no persistence; `persistence_prefix` is the client network that one template serves, in bits
    (None: the whole address), or an IPv4 mask whose ones are not in a row. `engine` is the persistence engine ("" or "sip"). `one_packet` schedules every datagram.
    """

    key: ServiceKey
    scheduler: str = "wlc"
    flags: SchedulerFlag = NO_FLAGS
    persistent_s: int = 0
    persistence_prefix: PersistencePrefix = None
    engine: str = ""
    one_packet: bool = False

    @property
    def persistence_mask(self) -> int:
        """As IPVS has it: the 32 bits of an IPv4 mask, or the length of an IPv6 prefix."""
        prefix = self.persistence_prefix
        if self.key.address.version == 6:
            return 128 if prefix is None else int(prefix)
        if isinstance(prefix, IPv4Address):
            return int(prefix)
        return FULL_MASK ^ (FULL_MASK >> (32 if prefix is None else prefix))


def persistence_prefix(mask: int, version: int) -> PersistencePrefix:
    """The other way round: what `Service.persistence_mask` stands for."""
    if version == 6:
        return None if mask == 128 else mask
    length = prefix_length(IPv4Address(mask))
    return None if length == 32 else IPv4Address(mask) if length is None else length


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A real server as target of one service. Weight 0 is quiesced: no new connections, old ones go on.

    Above `upper_threshold` connections (0: no limit) it takes no new ones until they fall below `lower_threshold`, or
    below three quarters of the upper one where that is 0. The `tunnel` fields matter for the tunnel method alone.
    """

    key: DestinationKey
    method: ForwardingMethod
    weight: int = 1
    upper_threshold: int = 0
    lower_threshold: int = 0
    tunnel: TunnelType = TunnelType.IPIP
    tunnel_port: int = 0
    tunnel_checksum: TunnelChecksum = TunnelChecksum.NONE

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 2**31 - 1:
            raise ValueError(f"weight {self.weight} of {self.key} is outside 0..2147483647")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceEntry:
    """A service with its destinations in the order they were added; a scheduler's list order is the reverse."""

    service: Service
    destinations: tuple[Destination, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Connection timeouts that `ipvsadm --set` changes, in seconds; 0 leaves the data plane's value (900/120/300)."""

    tcp_s: float = 0
    tcp_fin_s: float = 0
    udp_s: float = 0


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Rates:
    """Rates a second, by IPVS's estimator: every 2 s a quarter of the difference is added."""

    connections: float = 0
    in_packets: float = 0
    out_packets: float = 0
    in_bytes: float = 0
    out_bytes: float = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationStatus:
    """A destination as the data plane has it now."""

    destination: Destination
    active_connections: int = 0
    inactive_connections: int = 0
    persistent_connections: int = 0
    counters: Counters = field(default_factory=Counters)
    rates: Rates = field(default_factory=Rates)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """A service as the data plane has it now, destinations in the order they were added.

    `foreign` marks a service that somebody else made (`ipvsadm` by hand, another program): it is shown, never touched.
    """

    service: Service
    destinations: tuple[DestinationStatus, ...] = ()
    counters: Counters = field(default_factory=Counters)
    rates: Rates = field(default_factory=Rates)
    foreign: bool = False

    @property
    def entry(self) -> ServiceEntry:
        return ServiceEntry(service=self.service, destinations=tuple(d.destination for d in self.destinations))
