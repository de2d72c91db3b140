"""The article's cluster as a value: which nodes there are, on which networks, with which addresses and kernel settings.

    direct, tunnel                      nat

    client .50 ─┬─ net0  10.0.0.0/24    client .50 ─┬─ net0  10.0.0.0/24, fd00:10::/64
    lb1     .2 ─┤        fd00:10::/64               │
    lb2     .3 ─┤                               .2 ─┼─ lb1 ─── .2 ─┬─ net1  10.0.1.0/24, fd00:11::/64
    web1   .11 ─┤                               .3 ─┴─ lb2 ─── .3 ─┼─ web1 .11
    web2   .12 ─┘                                                  └─ web2 .12

    The active director has the VIP .100 on net0, and with nat the web servers' gateway .1 on net1.

The networks are bridges in a namespace of their own (`sw`), every node is a namespace, every cable a veth pair.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface

from piranha.lab.options import LabOptions
from piranha.model.address import IPAddress
from piranha.model.service import ForwardingMethod

Interface = IPv4Interface | IPv6Interface
Sysctl = tuple[str, str]

SWITCH = "sw"
CLIENT = "client"
FRONT = "net0"
BACK = "net1"
UDP_PORT = 5000
GATEWAY_PART = 1
VIP4 = ip_address("10.0.0.100")
VIP6 = ip_address("fd00:10::100")

# Room inside the tunnel: 1500 less the outer IPv6 header less the inner headers of TCP over IPv6.
TUNNEL_MSS_BYTES = 1400

_FRONT4, _FRONT6 = "10.0.0.{}/24", "fd00:10::{}/64"
_BACK4, _BACK6 = "10.0.1.{}/24", "fd00:11::{}/64"


class Role(StrEnum):
    CLIENT = "client"
    DIRECTOR = "director"
    REAL_SERVER = "real server"


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A node's end of a cable: device, the network it goes to, its addresses; `vips` get the label `DEVICE:0`."""

    device: str
    network: str
    addresses: tuple[Interface, ...]
    vips: tuple[IPAddress, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A machine of the lab. `sysctls` hold before any device exists, so that devices begin with them."""

    name: str
    role: Role
    ports: tuple[Port, ...]
    gateways: tuple[IPAddress, ...] = ()
    sysctls: tuple[Sysctl, ...] = ()
    route_mss_bytes: int | None = None

    def address(self, version: int) -> IPAddress:
        """The node's first address of the family."""
        return next(i.ip for port in self.ports for i in port.addresses if i.version == version)


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """A whole lab. Namespaces are named prefix + node name; the switch is one more."""

    prefix: str
    networks: tuple[str, ...]
    nodes: tuple[Node, ...]
    vips: tuple[IPAddress, ...]

    def namespace(self, name: str) -> str:
        return self.prefix + name

    @property
    def namespaces(self) -> tuple[str, ...]:
        return tuple(self.namespace(name) for name in (SWITCH, *(node.name for node in self.nodes)))

    def node(self, name: str) -> Node:
        """Raises KeyError where there is no such node."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    @property
    def real_servers(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if node.role is Role.REAL_SERVER)

    @property
    def is_pair(self) -> bool:
        return len(self.directors) == 2

    @property
    def directors(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if node.role is Role.DIRECTOR)


EVERY_NODE: tuple[Sysctl, ...] = (
    ("net.ipv4.conf.all.rp_filter", "0"),
    ("net.ipv4.conf.default.rp_filter", "0"),
    ("net.ipv6.conf.all.disable_ipv6", "0"),
    ("net.ipv6.conf.default.disable_ipv6", "0"),
    ("net.ipv6.conf.all.accept_dad", "0"),
    ("net.ipv6.conf.default.accept_dad", "0"),
    ("net.ipv6.conf.all.accept_ra", "0"),
    ("net.ipv6.conf.default.accept_ra", "0"),
)
DIRECTOR_ONLY: tuple[Sysctl, ...] = (
    ("net.ipv4.ip_forward", "1"),
    ("net.ipv6.conf.all.forwarding", "1"),
    ("net.ipv4.conf.all.send_redirects", "0"),
    ("net.ipv4.conf.default.send_redirects", "0"),
)
# Where br_netfilter is in the kernel, bridged packets would pass the host's iptables rules.
SWITCH_ONLY: tuple[Sysctl, ...] = (
    ("net.bridge.bridge-nf-call-iptables", "0"),
    ("net.bridge.bridge-nf-call-ip6tables", "0"),
    ("net.bridge.bridge-nf-call-arptables", "0"),
)


def plan_topology(options: LabOptions) -> Topology:
    """The lab that the options describe."""
    behind = options.forward is ForwardingMethod.MASQUERADE
    directors = tuple(_director(n, options, behind=behind) for n in range(1, options.directors + 1))
    client = Node(
        name=CLIENT,
        role=Role.CLIENT,
        ports=(Port(device="eth0", network=FRONT, addresses=_addresses(50, FRONT)),),
        sysctls=EVERY_NODE,
    )
    network = BACK if behind else FRONT
    servers = tuple(
        Node(
            name=f"web{n}",
            role=Role.REAL_SERVER,
            ports=(Port(device="eth0", network=network, addresses=_addresses(_server_part(n), network)),),
            gateways=tuple(i.ip for i in _addresses(GATEWAY_PART, BACK)) if behind else (),
            sysctls=EVERY_NODE,
            route_mss_bytes=TUNNEL_MSS_BYTES if options.forward is ForwardingMethod.TUNNEL else None,
        )
        for n in range(1, options.real_servers + 1)
    )
    return Topology(
        prefix=options.prefix,
        networks=(FRONT, BACK) if behind else (FRONT,),
        nodes=(client, *directors, *servers),
        vips=(VIP4, VIP6),
    )


def _director(n: int, options: LabOptions, *, behind: bool) -> Node:
    """lb1 is .2, lb2 is .3. One that stands alone has the VIPs and the gateway's address for good; pulse moves those of a pair."""
    inside = n + 1 if options.is_pair else GATEWAY_PART
    vips = () if options.is_pair else (VIP4, VIP6)
    return Node(
        name=f"lb{n}",
        role=Role.DIRECTOR,
        ports=(
            Port(device="eth0", network=FRONT, addresses=_addresses(n + 1, FRONT), vips=vips),
            *([Port(device="eth1", network=BACK, addresses=_addresses(inside, BACK))] if behind else []),
        ),
        sysctls=EVERY_NODE + DIRECTOR_ONLY,
    )


def _server_part(n: int) -> int:
    """web1 is .11, web39 is .49; from web40 on the numbers continue above the VIP, at .140."""
    return 10 + n if n < 40 else 100 + n


def _addresses(part: int, network: str) -> tuple[Interface, ...]:
    forms = (_FRONT4, _FRONT6) if network == FRONT else (_BACK4, _BACK6)
    return tuple(ip_interface(form.format(part)) for form in forms)


def is_lab_namespace(name: str, prefix: str) -> bool:
    """Whether a namespace can only be a node of the lab with this prefix; decides what `down` removes."""
    return re.fullmatch(re.escape(prefix) + rf"({SWITCH}|{CLIENT}|lb[1-9]\d?|web[1-9]\d?)", name) is not None
