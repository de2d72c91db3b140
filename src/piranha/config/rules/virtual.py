"""Rules on one virtual server and its real servers: what is missing, doubled, or without effect."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

from piranha.config.rules.advice import Advice, PlacedVirtual
from piranha.model.address import IPAddress, prefix_length
from piranha.model.service import ForwardingMethod

_WEIGHTLESS_SCHEDULERS = frozenset(("rr", "lc"))


def switched_off(virtual: PlacedVirtual) -> Iterator[Advice]:
    """`active` left out means off, which surprises everybody."""
    if "active" not in virtual.places.values:
        message = f"virtual server `{virtual.value.name}` is off, because `active` is left out"
        yield Advice(virtual.places.header, message, "write `active = 1`, or `active = 0` to say so")
    for server, places in virtual.servers:
        if "active" not in places.values:
            message = f"real server `{server.name}` is not used, because `active` is left out"
            yield Advice(places.header, message, "write `active = 1`, or `active = 0` to say so")


def address(virtual: PlacedVirtual) -> Iterator[Advice]:
    place = virtual.places.of("address")
    if virtual.value.address is None:
        if virtual.value.fwmark:
            return
        message = f"active virtual server `{virtual.value.name}` has no address"
        yield Advice(place, message, "write `address = VIP DEVICE`, or `active = 0`")
        return
    vip = virtual.value.address.address
    problem = _unusable(vip)
    if problem:
        yield Advice(place, f"{vip} is {problem} and cannot be a VIP", "write an address that clients can reach")
    directors = (virtual.configuration.primary, virtual.configuration.backup)
    if vip in directors:
        message = f"{vip} is a director's own address: as a VIP it would move away from it at a takeover"
        yield Advice(place, message, "write an address that belongs to no host")


def servers(virtual: PlacedVirtual) -> Iterator[Advice]:
    value = virtual.value
    active = virtual.active_servers
    if not active:
        mend = "give a `server` block with `active = 1`"
        message = f"active virtual server `{value.name}` has no active real server"
        yield Advice(virtual.places.header, message, mend)
    elif all(server.weight == 0 for server, _ in active):
        message = f"every real server of `{value.name}` has weight 0: new connections are refused"
        yield Advice(active[0].places.of("weight"), message, "give at least one of them a weight above 0")
    names: dict[str, int] = {}
    keys: dict[tuple[IPAddress, int], int] = {}
    for server, places in virtual.servers:
        line = names.setdefault(server.name, places.header.line)
        if line != places.header.line:
            message = f"another real server is named `{server.name}` (line {line})"
            yield Advice(places.header, message, "give each a name of its own")
        if server.address is None or not server.active:
            continue
        line = keys.setdefault((server.address, server.port), places.header.line)
        if line != places.header.line:
            message = f"{server.address} port {server.port} is listed twice in `{value.name}` (line {line})"
            yield Advice(places.of("address"), message, "remove one of the two blocks, or give it another port")


def server_addresses(virtual: PlacedVirtual) -> Iterator[Advice]:
    vip = virtual.value.address.address if virtual.value.address else None
    for server, places in virtual.active_servers:
        place = places.of("address")
        if server.address is None:
            yield Advice(place, f"active real server `{server.name}` has no address", "write `address = RIP`")
            continue
        problem = _unusable(server.address)
        if problem and not server.address.is_loopback:
            message = f"{server.address} is {problem} and cannot be a real server"
            yield Advice(place, message, "write the real server's own address")
        if vip is None:
            continue
        if server.address == vip:
            message = f"real server `{server.name}` has the VIP as its address"
            yield Advice(place, message, "write the real server's own address (RIP)")
        method = virtual.forwarding_of(server)
        if server.address.version != vip.version and method is not ForwardingMethod.TUNNEL:
            message = (
                f"an IPv{server.address.version} server behind an IPv{vip.version} VIP needs a tunnel, not {method}"
            )
            yield Advice(place, message, "write `forward = tunnel`, or an address of the VIP's family")


def server_ports(virtual: PlacedVirtual) -> Iterator[Advice]:
    value = virtual.value
    for server, places in virtual.servers:
        if server.port == value.port or server.port == 0 or (value.port == 0 and "port" in places.values):
            continue
        if "port" not in places.values:
            message = f"real server `{server.name}` has port {server.port}: the virtual server's port stands after it"
            mend = f"move `port = {value.port}` above the `server` blocks"
            yield Advice(places.header, message, mend)
            continue
        method = virtual.forwarding_of(server)
        if server.active and method is not ForwardingMethod.MASQUERADE and not value.fwmark:
            message = (
                f"port {server.port} differs from the virtual server's port {value.port}: with {method} forwarding "
                "packets keep their port"
            )
            yield Advice(places.of("port"), message, "remove the line, or use `nat`")


def weights(virtual: PlacedVirtual) -> Iterator[Advice]:
    value = virtual.value
    given = [server for server in virtual.active_servers if server.value.weight > 0]
    if value.scheduler in _WEIGHTLESS_SCHEDULERS and len({server.value.weight for server in given}) > 1:
        message = f"the weights have no effect with `scheduler = {value.scheduler}`"
        uneven = next(server for server in given if server.value.weight != given[0].value.weight)
        yield Advice(uneven.places.of("weight"), message, f"write `scheduler = w{value.scheduler}`")


def sorry_server(virtual: PlacedVirtual) -> Iterator[Advice]:
    sorry = virtual.value.sorry_server
    if sorry is None:
        return
    place = virtual.places.of("sorry_server")
    for server, _ in virtual.servers:
        if server.address == sorry:
            message = f"sorry_server {sorry} is also real server `{server.name}`, and down when it is"
            yield Advice(place, message, "write a server of its own")
            break
    vip = virtual.value.address.address if virtual.value.address else None
    if vip is not None and vip.version != sorry.version:
        yield Advice(
            place, f"sorry_server is IPv{sorry.version}, the VIP IPv{vip.version}", "write one of the VIP's family"
        )


def persistence(virtual: PlacedVirtual) -> Iterator[Advice]:
    mask, place = virtual.value.pmask, virtual.places.of("pmask")
    if mask is None:
        return
    if not virtual.value.persistent_s:
        yield Advice(place, "pmask has no effect without persistent", "write `persistent = 300`")
    elif isinstance(mask, IPv4Address) and prefix_length(mask) is None:
        message = f"the ones of pmask = {mask} are not in a row: clients of many networks count as one"
        yield Advice(place, message, "write `255.255.255.0`, unless that is meant")


def _unusable(ip: IPAddress) -> str:
    if ip.is_unspecified:
        return "the unspecified address"
    if ip.is_multicast:
        return "a multicast address"
    if ip.is_loopback:
        return "a loopback address"
    return "the broadcast address" if ip.version == 4 and int(ip) == 2**32 - 1 else ""


ALWAYS = (switched_off,)
WHEN_ACTIVE = (address, servers, server_addresses, server_ports, weights, sorry_server, persistence)
