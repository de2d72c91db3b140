"""Interfaces as the kernel has them: carrier, bonds, MACs, addresses; kept current by its notifications.

One picture for all of pulse: carrier for `monitor_links`, addresses for `addresses.py`, MACs for announcements and probes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from piranha.model.address import IPAddress
from piranha.pulse.rtnetlink import (
    GROUP_IPV4_ADDRESS,
    GROUP_IPV6_ADDRESS,
    GROUP_LINK,
    RTM_GETADDR,
    RTM_GETLINK,
    RTM_NEWADDR,
    RTM_NEWLINK,
    RouteSocket,
    attributes,
)

# A storm of notifications (a host that starts a hundred containers) costs one look at the tables in this time.
LOOK_AT_MOST_EVERY_NS = 20_000_000

_RTM_NEWNEIGH, _RTM_GETNEIGH = 28, 30
_IFF_UP, _IFF_LOWER_UP = 0x1, 0x10000
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MASTER, _IFLA_LINKINFO = 1, 3, 10, 18
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _IFLA_BOND_ACTIVE_SLAVE = 1, 2, 2
_IFA_ADDRESS, _IFA_LOCAL, _IFA_LABEL, _IFA_FLAGS, _IFA_PROTO = 1, 2, 3, 8, 11
_NDA_DST, _NDA_LLADDR = 1, 2
_NUD_USABLE = 0x02 | 0x04 | 0x08 | 0x10 | 0x80  # reachable, stale, delay, probe, permanent
_ETHERNET = 1
IFA_F_SECONDARY = 0x01
_UNUSABLE = 0x40 | 0x08  # tentative, or a duplicate


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One interface. `slaves` and `active_slave` are names, of a bond alone; `mac` is empty where it has none."""

    name: str
    index: int
    up: bool
    lower_up: bool
    ethernet: bool
    mac: bytes
    kind: str = ""
    slaves: tuple[str, ...] = ()
    active_slave: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldAddress:
    """One address of an interface, with its label (IPv4), flags and the mark of who put it there (`IFA_PROTO`)."""

    address: IPAddress
    prefix_length: int
    index: int
    label: str
    flags: int
    protocol: int


class Links:
    """The interfaces and addresses of the network namespace of the thread that made it.

    Watch `fileno()`, and call `read` when it is readable or at `due_ns()`.
    """

    def __init__(self) -> None:
        self._requests = RouteSocket()
        self._watch = RouteSocket(GROUP_LINK | GROUP_IPV4_ADDRESS | GROUP_IPV6_ADDRESS)
        self._looked_ns = 0
        self._stale = False
        self.links: dict[str, Link] = {}
        self.addresses: tuple[HeldAddress, ...] = ()
        self.look()

    def fileno(self) -> int:
        return self._watch.fileno()

    def close(self) -> None:
        self._watch.close()
        self._requests.close()

    def due_ns(self) -> int | None:
        """When `read` should be called though nothing came, None for never."""
        return self._looked_ns + LOOK_AT_MOST_EVERY_NS if self._stale else None

    def read(self, now_ns: int) -> bool:
        """Take in notifications; whether links or addresses are other than before. Lost ones cost nothing but the look."""
        news = self._watch.notifications()
        self._stale = self._stale or news is None or bool(news)
        if not self._stale or now_ns < self._looked_ns + LOOK_AT_MOST_EVERY_NS:
            return False
        before = self.links, self.addresses
        self.look()
        self._looked_ns = now_ns
        return (self.links, self.addresses) != before

    def look(self) -> None:
        """Ask the kernel now, for whoever is about to change something."""
        self._stale = False
        self.links = read_links(self._requests.dump(RTM_GETLINK, bytes(16)))
        answer = self._requests.dump(RTM_GETADDR, bytes(8))
        held = [_held(body) for kind, body in answer if kind == RTM_NEWADDR]
        self.addresses = tuple(address for address in held if address is not None)

    def ask(self, requests: list[tuple[int, int, bytes]]) -> list[int]:
        """Requests to the kernel, in one datagram where they fit; errno or 0 for each."""
        return self._requests.ask(requests)

    # ---- what the picture says ----

    def carrier(self, name: str) -> bool:
        """Whether packets can leave. Of a bond: it has a carrier, and so has one of its slaves at least."""
        link = self.links.get(name)
        if link is None or not (link.up and link.lower_up):
            return False
        return not link.slaves or any(self.links[slave].lower_up for slave in link.slaves)

    def name(self, index: int) -> str | None:
        return next((link.name for link in self.links.values() if link.index == index), None)

    def owner(self, address: IPAddress) -> str | None:
        """The interface that has the address (the node's public or private one); None when none has."""
        return next((self.name(held.index) for held in self.addresses if held.address == address), None)

    def macs(self) -> frozenset[bytes]:
        """Our own."""
        return frozenset(link.mac for link in self.links.values() if link.mac)

    def source(self, name: str, version: int, *, not_in: frozenset[IPAddress]) -> IPAddress | None:
        """An address to ask from: of the interface, of the family, none of `not_in`; link-local before others in IPv6."""
        link = self.links.get(name)
        usable = [
            held.address
            for held in self.addresses
            if link is not None
            and held.index == link.index
            and held.address.version == version
            and held.address not in not_in
            and not (version == 6 and held.flags & _UNUSABLE)
        ]
        local = [address for address in usable if version == 6 and address.is_link_local]
        return next(iter([*local, *usable]), None)

    def neighbour_macs(self, addresses: Iterable[IPAddress]) -> frozenset[bytes]:
        """MACs that the kernel knows for these addresses (the peer's). Asks the kernel; no packet is sent."""
        wanted = {address.packed for address in addresses}
        found = set()
        for kind, body in self._requests.dump(_RTM_GETNEIGH, bytes(12)):
            given = attributes(body[12:])
            (state,) = struct.unpack_from("=H", body, 8)
            if kind == _RTM_NEWNEIGH and given.get(_NDA_DST) in wanted and state & _NUD_USABLE:
                found.add(given.get(_NDA_LLADDR, b""))
        return frozenset(mac for mac in found if len(mac) == 6)


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode(errors="replace")


def _held(body: bytes) -> HeldAddress | None:
    _, prefix_length, flags, _, index = struct.unpack_from("=BBBBI", body)
    given = attributes(body[8:])
    packed = given.get(_IFA_LOCAL) or given.get(_IFA_ADDRESS, b"")
    if len(packed) not in (4, 16):
        return None
    if _IFA_FLAGS in given:
        (flags,) = struct.unpack("=I", given[_IFA_FLAGS])
    return HeldAddress(
        address=IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed),
        prefix_length=prefix_length,
        index=index,
        label=_text(given.get(_IFA_LABEL, b"")),
        flags=flags,
        protocol=given.get(_IFA_PROTO, b"\0")[0],
    )


def read_links(messages: Iterable[tuple[int, bytes]]) -> dict[str, Link]:
    """The interfaces of a dump, by name; bonds with their slaves."""
    raw: list[tuple[int, int, int, dict[int, bytes]]] = []
    for kind, body in messages:
        if kind == RTM_NEWLINK:
            _, hardware, index, flags, _ = struct.unpack_from("=BxHiII", body)
            raw.append((hardware, index, flags, attributes(body[16:])))
    names = {index: _text(given.get(_IFLA_IFNAME, b"")) for _, index, _, given in raw}
    slaves: dict[int, list[str]] = {}
    for _, index, _, given in raw:
        if _IFLA_MASTER in given:
            slaves.setdefault(struct.unpack("=I", given[_IFLA_MASTER])[0], []).append(names[index])
    found = {}
    for hardware, index, flags, given in raw:
        info = attributes(given.get(_IFLA_LINKINFO, b""))
        kind_name = _text(info.get(_IFLA_INFO_KIND, b""))
        is_bond = kind_name == "bond"
        active = attributes(info.get(_IFLA_INFO_DATA, b"")).get(_IFLA_BOND_ACTIVE_SLAVE, b"") if is_bond else b""
        mac = given.get(_IFLA_ADDRESS, b"")
        found[names[index]] = Link(
            name=names[index],
            index=index,
            up=bool(flags & _IFF_UP),
            lower_up=bool(flags & _IFF_LOWER_UP),
            ethernet=hardware == _ETHERNET,
            mac=mac if hardware == _ETHERNET and len(mac) == 6 else b"",
            kind=kind_name,
            slaves=tuple(slaves.get(index, ())) if is_bond else (),
            active_slave=names.get(struct.unpack("=I", active)[0], "") if active else "",
        )
    return found
