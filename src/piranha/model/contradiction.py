"""What cannot stand together in a virtual server: IPVS refuses such a service, and so does every data plane.

One list for both who speak of it: `piranha config check`, and the director that leaves such a server out.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import NamedTuple

from piranha.model.address import IPAddress, prefix_length
from piranha.model.configuration import RealServer, VirtualServer
from piranha.model.service import ForwardingMethod, PersistencePrefix, Protocol, TunnelChecksum, TunnelType

_BITS = {4: 32, 6: 128}


class Contradiction(NamedTuple):
    """A directive, why it cannot be, and the mend."""

    directive: str
    reason: str
    mend: str


def persistence_prefix(pmask: IPAddress | int | None, version: int) -> PersistencePrefix:
    """The client network that counts as one client, as `Service.persistence_prefix` has it.

    Raises ValueError with the reason when `pmask` says no such network for this IP version.
    """
    bits = _BITS[version]
    if pmask is None:
        return None
    if not isinstance(pmask, int) and pmask.version != version:
        raise ValueError(f"pmask = {pmask} is an IPv{pmask.version} mask, but the address is IPv{version}")
    prefix = pmask if isinstance(pmask, int) else prefix_length(pmask)
    if prefix is None and isinstance(pmask, IPv4Address):
        return pmask
    if prefix is None:
        raise ValueError(f"pmask = {pmask} is not a netmask: its one-bits are not in a row")
    if not 1 <= prefix <= bits:
        raise ValueError(f"pmask = {pmask} is not from 1 to {bits} bits of an IPv{version} address")
    return None if prefix == bits else prefix


def of_virtual(virtual: VirtualServer, version: int) -> Iterator[Contradiction]:
    """Contradictions of a virtual server whose packets are of this IP version."""
    for word in virtual.scheduler_flags:
        if word.scheduler not in ("", virtual.scheduler):
            reason = f"{word} is a flag of scheduler {word.scheduler}, not of {virtual.scheduler}"
            yield Contradiction("scheduler_flags", reason, f"remove it, or write scheduler = {word.scheduler}")
    is_datagram = virtual.protocol is Protocol.UDP or virtual.fwmark != 0
    if virtual.one_packet and not is_datagram:
        reason = f"one_packet is for UDP and firewall marks, not for {virtual.protocol.word}"
        yield Contradiction("one_packet", reason, "remove the line, or write protocol = udp")
    if virtual.port == 0 and not virtual.fwmark and not virtual.persistent_s:
        reason = "port = 0 (every port) needs persistence, so that one client stays with one server"
        yield Contradiction("port", reason, "write persistent = 300, or name the port")
    if virtual.persistence_engine is not None:
        engine = virtual.persistence_engine
        if not virtual.persistent_s:
            reason = f"persistence_engine = {engine} needs persistence"
            yield Contradiction("persistence_engine", reason, "write persistent = 300 too")
        if not is_datagram:
            reason = f"persistence_engine = {engine} is for UDP, not for {virtual.protocol.word}"
            yield Contradiction("persistence_engine", reason, "remove the line, or write protocol = udp")
    if virtual.persistent_s:
        try:
            persistence_prefix(virtual.pmask, version)
        except ValueError as error:
            mend = "write a mask as 255.255.255.0, or a length as 24" if version == 4 else "write a length as 64"
            yield Contradiction("pmask", str(error), mend)


def of_server(server: RealServer, method: ForwardingMethod) -> Iterator[Contradiction]:
    """Contradictions of a real server that is reached by this method."""
    upper, lower = server.upper_threshold, server.lower_threshold
    if lower > upper:
        reason = f"lower_threshold = {lower} is above upper_threshold = {upper}"
        if upper == 0:
            reason = f"lower_threshold = {lower} stands without an upper_threshold"
        yield Contradiction("lower_threshold", reason, "write upper_threshold above it, or remove the line")
    if method is not ForwardingMethod.TUNNEL:
        return
    if server.tunnel is TunnelType.GUE and server.tunnel_port == 0:
        reason = "tunnel = gue needs the UDP port that the real server listens on"
        yield Contradiction("tunnel", reason, "write tunnel_port = 6080")
    if server.tunnel is TunnelType.GRE and server.tunnel_checksum is TunnelChecksum.REMOTE:
        reason = "tunnel_checksum = remcsum is for gue, not for gre"
        yield Contradiction("tunnel_checksum", reason, "write tunnel_checksum = csum or nocsum")
