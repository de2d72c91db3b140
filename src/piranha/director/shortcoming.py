"""What a data plane cannot do of what a configuration asks for, by its capabilities. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from piranha.dataplane.port import Capabilities
from piranha.model.configuration import RealServer, VirtualServer
from piranha.model.service import ForwardingMethod


class Shortcoming(NamedTuple):
    """What a plane cannot do for a directive, and the mend."""

    directive: str
    reason: str
    mend: str


def of_virtual(virtual: VirtualServer, plane: Capabilities) -> Iterator[Shortcoming]:
    """What the plane cannot do of what a virtual server asks for."""
    if virtual.fwmark and not plane.firewall_marks:
        reason = f"fwmark = {virtual.fwmark} cannot be switched by this data plane"
        yield Shortcoming("fwmark", reason, "remove the fwmark line and name the address and port")
    if virtual.protocol not in plane.protocols and not virtual.fwmark:
        reason = f"protocol = {virtual.protocol.word} cannot be switched by this data plane"
        available = ", ".join(protocol.word for protocol in sorted(plane.protocols))
        yield Shortcoming("protocol", reason, f"choose one that it has ({available})")
    if virtual.port == 0 and not virtual.fwmark and not plane.all_ports:
        reason = "port = 0 (every port) cannot be switched by this data plane"
        yield Shortcoming("port", reason, "name the port")
    if virtual.scheduler not in plane.schedulers:
        available = ", ".join(sorted(plane.schedulers))
        reason = f"scheduler = {virtual.scheduler} is not in this data plane"
        yield Shortcoming("scheduler", reason, f"choose one that it has ({available})")
    if virtual.scheduler_flags and virtual.scheduler not in plane.scheduler_flags:
        words = " ".join(virtual.scheduler_flags)
        reason = f"scheduler_flags = [ {words} ] are not in this data plane"
        yield Shortcoming("scheduler_flags", reason, "remove the line")
    if virtual.persistent_s and not plane.persistence:
        reason = f"persistent = {virtual.persistent_s:g} cannot be kept by this data plane"
        yield Shortcoming(
            "persistent", reason, "remove the persistent line to have each connection scheduled on its own"
        )
    if virtual.persistence_engine is not None and virtual.persistence_engine not in plane.engines:
        reason = f"persistence_engine = {virtual.persistence_engine} is not in this data plane"
        yield Shortcoming("persistence_engine", reason, "remove the line to go by the client's address")
    if virtual.one_packet and not plane.one_packet:
        reason = "one_packet = 1 cannot be switched by this data plane"
        yield Shortcoming("one_packet", reason, "remove the line")


def of_server(server: RealServer, method: ForwardingMethod, plane: Capabilities) -> Iterator[Shortcoming]:
    """What the plane cannot do of what a real server asks for."""
    if server.upper_threshold and not plane.thresholds:
        reason = f"upper_threshold = {server.upper_threshold} cannot be kept by this data plane"
        yield Shortcoming("upper_threshold", reason, "remove the line")
    if method is ForwardingMethod.TUNNEL and server.tunnel not in plane.tunnels:
        available = ", ".join(sorted(plane.tunnels))
        reason = f"tunnel = {server.tunnel} cannot be switched by this data plane"
        yield Shortcoming("tunnel", reason, f"choose one that it has ({available})")
