"""Rules on the kind of service: what contradicts itself, and what has no effect or not the one that was meant."""

from __future__ import annotations

from collections.abc import Iterator

from piranha.config.rules.advice import Advice, PlacedVirtual
from piranha.model import contradiction
from piranha.model.service import ForwardingMethod, Protocol, TunnelType


def contradictions(virtual: PlacedVirtual) -> Iterator[Advice]:
    """What every data plane refuses; the director leaves such a virtual or real server out."""
    version = virtual.configuration.version_of(virtual.value)
    for directive, reason, mend in contradiction.of_virtual(virtual.value, version):
        yield Advice(virtual.places.of(directive), f"{reason}: the virtual server will not be switched", mend)
    for server, places in virtual.active_servers:
        for directive, reason, mend in contradiction.of_server(server, virtual.forwarding_of(server)):
            yield Advice(places.of(directive), f"{reason}: the real server will not be used", mend)


def scheduler(virtual: PlacedVirtual) -> Iterator[Advice]:
    if virtual.value.scheduler == "none":
        message = "scheduler = none gives no new connections; those that exist go on"
        yield Advice(virtual.places.of("scheduler"), message, "choose another scheduler to serve new clients")


def one_packet(virtual: PlacedVirtual) -> Iterator[Advice]:
    if not virtual.value.one_packet:
        return
    for server, places in virtual.active_servers:
        if virtual.forwarding_of(server) is ForwardingMethod.MASQUERADE:
            message = "with one_packet no connection is kept, and masqueraded replies keep the real server's address"
            yield Advice(places.header, message, "use `forward = direct` or `tunnel`, or remove `one_packet`")
            return


def check_ports(virtual: PlacedVirtual) -> Iterator[Advice]:
    """A service of every port, or of a mark, says by itself no port for the checks."""
    value = virtual.value
    if value.port != 0 or value.send_program is not None:
        return
    for server, places in virtual.active_servers:
        if server.port == 0 and not (value.checks or server.checks):
            message = f"real server `{server.name}` has no port that could be checked, and will not be used"
            yield Advice(places.header, message, "write `port = N` in its block, or `send_program`")


def tunnels(virtual: PlacedVirtual) -> Iterator[Advice]:
    """Tunnel directives that the forwarding method, or the type of tunnel, does not have."""
    for server, places in virtual.active_servers:
        method = virtual.forwarding_of(server)
        for name in ("tunnel", "tunnel_port", "tunnel_checksum"):
            if name not in places.values:
                continue
            if method is not ForwardingMethod.TUNNEL:
                message = f"{name} has no effect on {method} forwarding"
                yield Advice(places.of(name), message, "write `forward = tunnel`, or remove the line")
            elif name == "tunnel_port" and server.tunnel is not TunnelType.GUE:
                message = f"tunnel_port has no effect on {server.tunnel}"
                yield Advice(places.of(name), message, "write `tunnel = gue`, or remove the line")
            elif name == "tunnel_checksum" and server.tunnel is TunnelType.IPIP:
                message = "tunnel_checksum has no effect on ipip, which has no checksum"
                yield Advice(places.of(name), message, "write `tunnel = gue` or `gre`, or remove the line")


def sctp_checks(virtual: PlacedVirtual) -> Iterator[Advice]:
    if virtual.value.protocol is Protocol.SCTP and virtual.value.send_program is None and not virtual.value.checks:
        message = "an SCTP server is checked by a TCP connect to the same port, which it may not answer"
        yield Advice(virtual.places.of("protocol"), message, "write a `check` block")


RULES = (contradictions, scheduler, one_packet, check_ports, tunnels, sctp_checks)
