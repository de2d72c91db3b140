"""Next hops: where a packet for an address leaves, and with which MACs; kept right as routes and neighbours change.

The kernel is asked for every route (RTM_GETROUTE, many in one message: some 70 µs each), so that policy rules,
multipath, next-hop objects and source selection are exactly its own. Events say which answers to ask for again.
"""

from __future__ import annotations

import socket
import struct
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from itertools import islice
from typing import Any

from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg

from piranha.dataplane.ebpf.netlink import (
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_REQUEST,
    RTM_DELADDR,
    RTM_DELLINK,
    RTM_DELNEIGH,
    RTM_DELROUTE,
    RTM_GETLINK,
    RTM_GETNEIGH,
    RTM_GETROUTE,
    RTM_NEWADDR,
    RTM_NEWLINK,
    RTM_NEWNEIGH,
    RTM_NEWROUTE,
    EventsLost,
    NetlinkSocket,
    Reply,
)
from piranha.model.address import IPAddress

_GROUP_LINK, _GROUP_NEIGHBOUR = 1, 3
_GROUP_ADDRESS4, _GROUP_ROUTE4, _GROUP_RULE4 = 5, 7, 8
_GROUP_ADDRESS6, _GROUP_ROUTE6, _GROUP_RULE6 = 9, 11, 19
_GROUP_NEXT_HOP = 32
_GROUPS = (
    _GROUP_LINK, _GROUP_NEIGHBOUR, _GROUP_ADDRESS4, _GROUP_ROUTE4, _GROUP_RULE4,
    _GROUP_ADDRESS6, _GROUP_ROUTE6, _GROUP_RULE6, _GROUP_NEXT_HOP,
)  # fmt: skip
_ROUTE_UNICAST, _ROUTE_LOCAL, _ROUTE_ANYCAST = 1, 2, 4
_NUD_REACHABLE, _NUD_STALE, _NUD_DELAY, _NUD_PROBE, _NUD_PERMANENT = 0x02, 0x04, 0x08, 0x10, 0x80
_NUD_USABLE = _NUD_REACHABLE | _NUD_STALE | _NUD_DELAY | _NUD_PROBE | _NUD_PERMANENT
_NUD_INCOMPLETE, _NUD_NOARP = 0x01, 0x40
_NUD_SETTLED = _NUD_REACHABLE | _NUD_DELAY | _NUD_PROBE | _NUD_PERMANENT | _NUD_INCOMPLETE | _NUD_NOARP
_NTF_USE = 0x01
_IFF_UP, _ARPHRD_ETHER = 0x1, 1
_RTA_DST, _NDA_DST, _RTM_F_CLONED = 1, 1, 0x200
_REQUESTS_AT_ONCE = 64
_NEIGHBOURS_AT_ONCE = 256
_LOOKS_PER_TOUCH = 64
_EVENTS_AT_ONCE = 200
"""Datagrams of events taken in one `poll`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NextHop:
    """The way to one address. `gateway` is None where the address is on the link itself.

    `destination_mac` is None while the neighbour is not resolved, or where the link has no MAC addresses; `source` is
    the address that the kernel would send from. `local` means this host itself; `ifindex` is then that of lo.
    """

    ifindex: int
    gateway: IPAddress | None
    source: IPAddress | None
    source_mac: bytes
    destination_mac: bytes | None
    mtu: int
    local: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Link:
    mac: bytes
    mtu: int
    up: bool
    ethernet: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """What the kernel answered for one address. `mtu` is 0 where the route has none of its own."""

    ifindex: int
    gateway: IPAddress | None
    source: IPAddress | None
    mtu: int
    local: bool
    plain: bool


_NeighbourKey = tuple[int, IPAddress]
OnChange = Callable[[Mapping[IPAddress, NextHop | None]], None]


class NextHopResolver:
    """Next hops of a set of addresses, in the network namespace of the thread that made it.

    `fileno()` becomes readable when something changed: call `poll()` then (`loop.add_reader`), and `refresh()` every
    second.
    `on_change` is called from within these and from `set_addresses`, with the changed next hops only
    (None for an address that is no longer asked for).
    """

    def __init__(self, on_change: OnChange | None = None) -> None:
        self._on_change = on_change
        self._events = NetlinkSocket(_GROUPS)
        self._requests = NetlinkSocket()
        self._links: dict[int, _Link] = {}
        self._neighbours: dict[_NeighbourKey, tuple[int, bytes]] = {}
        self._ways: dict[IPAddress, _Way | None] = {}
        self._users: defaultdict[_NeighbourKey, set[IPAddress]] = defaultdict(set)
        self._current: dict[IPAddress, NextHop | None] = {}
        self._to_ask: dict[IPAddress, None] = {}
        self._to_touch: deque[_NeighbourKey] = deque()
        self._to_verify: deque[IPAddress] = deque()
        self._reload()

    def fileno(self) -> int:
        return self._events.fileno()

    def close(self) -> None:
        self._events.close()
        self._requests.close()

    def current(self) -> dict[IPAddress, NextHop | None]:
        """The next hop of every address; None where there is no route."""
        return dict(self._current)

    @property
    def pending(self) -> int:
        """Addresses whose route is still to be asked for again."""
        return len(self._to_ask)

    def set_addresses(self, addresses: Iterable[IPAddress]) -> None:
        """Replace the set of addresses; new ones are resolved before this returns (20,000 in one to two seconds)."""
        wanted = dict.fromkeys(addresses)
        dropped: dict[IPAddress, NextHop | None] = {}
        for address in [known for known in self._current if known not in wanted]:
            if self._current.pop(address) is not None:
                dropped[address] = None
            self._set_way(address, None)
            del self._ways[address]
            self._to_ask.pop(address, None)
        fresh = [address for address in wanted if address not in self._current]
        self._to_verify = deque(wanted)
        self._to_ask = {**dict.fromkeys(fresh), **self._to_ask}
        if dropped and self._on_change is not None:
            self._on_change(dropped)
        self._settle(len(fresh))

    def poll(self, *, routes_at_once: int = 2048) -> None:
        """Take in what changed and tell of it. Bounded: what is left over comes with the next `poll` or `refresh`."""
        touched: set[IPAddress] = set()
        try:
            for _ in range(_EVENTS_AT_ONCE):
                replies = self._events.events()
                if not replies:
                    break
                for reply in replies:
                    touched |= self._take(reply)
        except EventsLost:
            self._reload()
            self._to_ask = dict.fromkeys(self._current)
        self._settle(routes_at_once, touched)

    def refresh(
        self, *, neighbours_at_once: int = _NEIGHBOURS_AT_ONCE, routes_at_once: int = 2048, verified_at_once: int = 64
    ) -> None:
        """Keep neighbours alive and look some routes up again, in turn; for every second.

        A neighbour that is not resolved, failed, or only believed (stale) is asked for anew, by the kernel.
        """
        for _ in range(min(verified_at_once, len(self._to_verify))):
            address = self._to_verify.popleft()
            if address in self._current:
                self._to_verify.append(address)
                self._to_ask[address] = None
        self.poll(routes_at_once=routes_at_once)
        if not self._to_touch:
            self._to_touch.extend(self._users)
        self._touch(neighbours_at_once)

    def _reload(self) -> None:
        """Read links and neighbours anew; routes are not kept, they are asked for."""
        for link in self._requests.dump(ifinfmsg(), RTM_GETLINK):
            self._links[link["index"]] = _link(link)
        self._neighbours = {}
        for message in self._requests.dump(ndmsg(), RTM_GETNEIGH):
            if (entry := _neighbour(message)) is not None:
                self._neighbours[entry[0]] = entry[1]

    def _take(self, reply: Reply) -> set[IPAddress]:
        """One event: remember it; the addresses whose next hop it may change without a new route."""
        body = reply.body
        if reply.type in (RTM_NEWNEIGH, RTM_DELNEIGH):
            entry = _neighbour(body)
            if entry is None:
                return set()
            key, value = entry
            if reply.type == RTM_DELNEIGH:
                self._neighbours.pop(key, None)
            else:
                self._neighbours[key] = value
            return set(self._users.get(key, ()))
        if reply.type in (RTM_NEWLINK, RTM_DELLINK):
            return self._take_link(reply)
        if reply.type in (RTM_NEWROUTE, RTM_DELROUTE):
            self._ask_within(body)
        elif reply.type in (RTM_NEWADDR, RTM_DELADDR):
            self._ask_through(body["index"])
        else:
            self._to_ask = dict.fromkeys(self._current)
        return set()

    def _take_link(self, reply: Reply) -> set[IPAddress]:
        if reply.body["family"] != socket.AF_UNSPEC:
            return set()  # the bridge's own messages (AF_BRIDGE) tell of a port, not of the link
        index, before = reply.body["index"], self._links.get(reply.body["index"])
        if reply.type == RTM_DELLINK:
            self._links.pop(index, None)
            self._neighbours = {key: value for key, value in self._neighbours.items() if key[0] != index}
        else:
            self._links[index] = _link(reply.body)
        after = self._links.get(index)
        if before == after:
            return set()
        if before is None or after is None or before.up != after.up:
            self._ask_through(index)
        return {address for address, way in self._ways.items() if way is not None and way.ifindex == index}

    def _ask_through(self, ifindex: int) -> None:
        """Look up again what leaves by this interface, has no route, or no source; new routes tell of themselves."""
        for address in self._current:
            way = self._ways.get(address)
            if way is None or way.ifindex == ifindex or way.source is None:
                self._to_ask[address] = None

    def _ask_within(self, route: Any) -> None:
        if route["flags"] & _RTM_F_CLONED:
            return
        family, length = route["family"], route["dst_len"]
        if family not in (socket.AF_INET, socket.AF_INET6):
            return
        version, bits = (4, 32) if family == socket.AF_INET else (6, 128)
        prefix = int(ip_address(route.get_attr("RTA_DST"))) >> (bits - length) if length else 0
        for address in self._current:
            if address.version == version and int(address) >> (bits - length) == prefix:
                self._to_ask[address] = None

    def _settle(self, routes_at_once: int, touched: Iterable[IPAddress] = ()) -> None:
        """Ask for the routes that are due, put next hops together anew, and tell of those that changed."""
        affected = dict.fromkeys(touched)
        due = list(islice(self._to_ask, routes_at_once))
        for start in range(0, len(due), _REQUESTS_AT_ONCE):
            batch = due[start : start + _REQUESTS_AT_ONCE]
            for address, way in zip(batch, self._ask(batch), strict=True):
                self._to_ask.pop(address, None)
                self._set_way(address, way)
                affected[address] = None
        changed: dict[IPAddress, NextHop | None] = {}
        for address in affected:
            hop = self._put_together(address)
            if address not in self._current or self._current[address] != hop:
                self._current[address] = changed[address] = hop
        if changed and self._on_change is not None:
            self._on_change(changed)
        self._touch(_NEIGHBOURS_AT_ONCE, only_unknown=True)

    def _ask(self, addresses: list[IPAddress]) -> list[_Way | None]:
        numbers = [self._requests.next_sequence() for _ in addresses]
        requests = [_route_request(address, n) for address, n in zip(addresses, numbers, strict=True)]
        answers = self._requests.exchange(requests)
        return [_way(answers[number]) for number in numbers]

    def _key(self, address: IPAddress, way: _Way | None) -> _NeighbourKey | None:
        """The neighbour that has to be resolved for this address, if any."""
        if way is None or way.local or not way.plain:
            return None
        return way.ifindex, address if way.gateway is None else way.gateway

    def _set_way(self, address: IPAddress, way: _Way | None) -> None:
        before, after = self._key(address, self._ways.get(address)), self._key(address, way)
        if before is not None and before != after:
            self._users[before].discard(address)
            if not self._users[before]:
                del self._users[before]
        if after is not None:
            if after not in self._users:
                self._to_touch.appendleft(after)
            self._users[after].add(address)
        self._ways[address] = way

    def _put_together(self, address: IPAddress) -> NextHop | None:
        way = self._ways.get(address)
        link = None if way is None else self._links.get(way.ifindex)
        if way is None or link is None:
            return None
        key = self._key(address, way)
        state, mac = self._neighbours.get(key, (0, b"")) if key is not None else (0, b"")
        usable = link.ethernet and link.up and state & _NUD_USABLE and len(mac) == 6
        return NextHop(
            ifindex=way.ifindex,
            gateway=way.gateway,
            source=way.source,
            source_mac=link.mac,
            destination_mac=mac if usable else None,
            mtu=way.mtu or link.mtu,
            local=way.local,
        )

    def _touch(self, at_once: int, *, only_unknown: bool = False) -> None:
        """Have the kernel resolve or confirm neighbours, those first that were never asked for."""
        requests: list[bytes] = []
        looked = 0
        while self._to_touch and len(requests) < at_once and looked < _LOOKS_PER_TOUCH * at_once:
            key = self._to_touch[0]
            state, link = self._neighbours.get(key, (0, b""))[0], self._links.get(key[0])
            if only_unknown and state:
                break
            self._to_touch.popleft()
            looked += 1
            if key in self._users and not state & _NUD_SETTLED and link is not None and link.up and link.ethernet:
                requests.append(_use_request(key, self._requests.next_sequence()))
        self._requests.exchange(requests)


def _link(message: Any) -> _Link:
    mac = message.get_attr("IFLA_ADDRESS") or ""
    return _Link(
        mac=_mac(mac) if message["ifi_type"] == _ARPHRD_ETHER else bytes(6),
        mtu=message.get_attr("IFLA_MTU") or 0,
        up=bool(message["flags"] & _IFF_UP),
        ethernet=message["ifi_type"] == _ARPHRD_ETHER,
    )


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _neighbour(message: Any) -> tuple[_NeighbourKey, tuple[int, bytes]] | None:
    """A neighbour of IPv4 or IPv6 as (key, (state, MAC)); None for others (bridges' tables come as neighbours too)."""
    address = message.get_attr("NDA_DST")
    if message["family"] not in (socket.AF_INET, socket.AF_INET6) or address is None:
        return None
    mac = message.get_attr("NDA_LLADDR") or ""
    return (message["ifindex"], ip_address(address)), (message["state"], _mac(mac))


def _family(address: IPAddress) -> int:
    return int(socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6)


def _route_request(address: IPAddress, sequence: int) -> bytes:
    packed = address.packed
    body = struct.pack("=8BI", _family(address), len(packed) * 8, 0, 0, 0, 0, 0, 0, 0)
    body += struct.pack("=HH", 4 + len(packed), _RTA_DST) + packed
    return struct.pack("=IHHII", 16 + len(body), RTM_GETROUTE, NLM_F_REQUEST, sequence, 0) + body


def _use_request(key: _NeighbourKey, sequence: int) -> bytes:
    ifindex, address = key
    packed = address.packed
    body = struct.pack("=B3xiHBB", _family(address), ifindex, 0, _NTF_USE, 0)
    body += struct.pack("=HH", 4 + len(packed), _NDA_DST) + packed
    flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_ACK
    return struct.pack("=IHHII", 16 + len(body), RTM_NEWNEIGH, flags, sequence, 0) + body


def _way(reply: Reply) -> _Way | None:
    body = reply.body
    if body is None or body["type"] not in (_ROUTE_UNICAST, _ROUTE_LOCAL, _ROUTE_ANYCAST):
        return None
    ifindex, source, via = body.get_attr("RTA_OIF"), body.get_attr("RTA_PREFSRC"), body.get_attr("RTA_VIA")
    gateway = via["addr"] if via is not None else body.get_attr("RTA_GATEWAY")
    metrics = body.get_attr("RTA_METRICS")
    if not ifindex:
        return None
    return _Way(
        ifindex=ifindex,
        gateway=ip_address(gateway) if gateway else None,
        source=ip_address(source) if source else None,
        mtu=(metrics.get_attr("RTAX_MTU") or 0) if metrics is not None else 0,
        local=body["type"] != _ROUTE_UNICAST,
        plain=body.get_attr("RTA_ENCAP_TYPE") is None,
    )
