"""Rules that give packets their firewall mark: `mark N { … }` blocks of lvs.cf, and the same flattened."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from piranha.model.service import Protocol

IPNetwork = IPv4Network | IPv6Network
MOST_MARK = 2**32 - 1
MOST_PORT = 65535


@dataclass(frozen=True, slots=True, order=True)
class PortRange:
    """Destination ports from `first` to `last`, both included. `str()` gives `80` or `8000-8010`."""

    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


EVERY_PORT = PortRange(0, MOST_PORT)
_WITH_PORTS = (Protocol.TCP, Protocol.UDP, Protocol.SCTP)


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkBlock:
    """A `mark` block: packets to one of `addresses` with the protocol (IP is any) and one of `ports` (none: all).

    Without an address it marks nothing. Ports without a protocol are those of TCP, UDP and SCTP. Several blocks may
    give the same mark.
    """

    mark: int
    addresses: tuple[IPNetwork, ...] = ()
    protocol: Protocol = Protocol.IP
    ports: tuple[PortRange, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkRule:
    """Packets to `network` with `protocol` (IP is any) and a destination port in the range get `mark` (1 to 2**32 - 1).

    Of several rules that match a packet the first counts.
    """

    mark: int
    network: IPNetwork
    protocol: Protocol = Protocol.IP
    first_port: int = 0
    last_port: int = MOST_PORT

    def __str__(self) -> str:
        protocol = "" if self.protocol is Protocol.IP else f" {self.protocol.word}"
        ports = "".join(f" port {ports}" for ports in self.ports)
        return f"mark {self.mark}:{protocol} {network_text(self.network)}{ports}"

    @property
    def family(self) -> int:
        """The IP version, 4 or 6, that the rule belongs to."""
        return self.network.version

    @property
    def ports(self) -> tuple[PortRange, ...]:
        """The range of ports; nothing where every port, and packets without ports too, match."""
        ports = PortRange(self.first_port, self.last_port)
        return () if ports == EVERY_PORT else (ports,)

    def overlaps(self, other: MarkRule) -> bool:
        """Whether some packet matches both rules."""
        return (
            self.first_port <= other.last_port
            and other.first_port <= self.last_port
            and (self.protocol is other.protocol or Protocol.IP in (self.protocol, other.protocol))
            and (_contains(self.network, other.network) or _contains(other.network, self.network))
        )

    def covers(self, other: MarkRule) -> bool:
        """Whether every packet that matches `other` matches this rule too."""
        return (
            self.first_port <= other.first_port
            and other.last_port <= self.last_port
            and self.protocol in (Protocol.IP, other.protocol)
            and _contains(self.network, other.network)
        )


def rules_of(blocks: Iterable[MarkBlock]) -> tuple[MarkRule, ...]:
    """The blocks as rules, in their order: for each address of a block, each of its ports. A port has a protocol."""
    return tuple(
        MarkRule(
            mark=block.mark,
            network=network,
            protocol=protocol,
            first_port=ports.first,
            last_port=ports.last,
        )
        for block in blocks
        for network in block.addresses
        for ports in block.ports or (EVERY_PORT,)
        for protocol in (_WITH_PORTS if block.ports and block.protocol is Protocol.IP else (block.protocol,))
    )


def _contains(outer: IPNetwork, inner: IPNetwork) -> bool:
    if isinstance(outer, IPv4Network):
        return isinstance(inner, IPv4Network) and inner.subnet_of(outer)
    return isinstance(inner, IPv6Network) and inner.subnet_of(outer)


def network_text(network: IPNetwork) -> str:
    """`10.0.0.100` for a single address, `10.0.0.0/24` for more."""
    return str(network.network_address) if network.num_addresses == 1 else str(network)
