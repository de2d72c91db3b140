"""Sockets of connection sync: to and from one multicast group on one interface, as the kernel's daemons have them."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address

from piranha.base.errors import PiranhaError
from piranha.dataplane.port import SyncDaemon
from piranha.model.address import IPAddress

DEFAULT_GROUP = IPv4Address("224.0.0.81")
_BUFFER_BYTES = 8 * 1024 * 1024
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_IP_MTU_DISCOVER, _PMTUDISC_DONT = 10, 0
LONGEST = 65_535


def group_of(daemon: SyncDaemon) -> IPAddress:
    return daemon.group or DEFAULT_GROUP


def open_sender(daemon: SyncDaemon) -> socket.socket:
    """A connected socket; what it sends is not heard on this host. Raises PiranhaError."""
    group = group_of(daemon)
    opened = _open(group, daemon.interface, "send connection sync on")
    try:
        if group.version == 4:
            opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, _membership(group, daemon.interface))
            opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, daemon.ttl)
            opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
            opened.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_DONT)
        else:
            index = socket.if_nametoindex(daemon.interface)
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, daemon.ttl)
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
        _enlarge(opened, socket.SO_SNDBUF, _SO_SNDBUFFORCE)
        opened.connect(_target(group, daemon))
    except OSError as error:
        opened.close()
        raise _refusal("send connection sync on", daemon.interface, error) from error
    return opened


def open_receiver(daemon: SyncDaemon) -> socket.socket:
    """A socket that hears the group on the interface, whoever sends. Raises PiranhaError."""
    group = group_of(daemon)
    opened = _open(group, daemon.interface, "hear connection sync on")
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _enlarge(opened, socket.SO_RCVBUF, _SO_RCVBUFFORCE)
        opened.bind(_target(group, daemon))
        if group.version == 4:
            opened.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, _membership(group, daemon.interface))
        else:
            request = group.packed + struct.pack("=i", socket.if_nametoindex(daemon.interface))
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
    except OSError as error:
        opened.close()
        raise _refusal("hear connection sync on", daemon.interface, error) from error
    return opened


def _open(group: IPAddress, interface: str, what: str) -> socket.socket:
    family = socket.AF_INET if group.version == 4 else socket.AF_INET6
    opened = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
    except OSError as error:
        opened.close()
        raise _refusal(what, interface, error) from error
    return opened


def _refusal(what: str, interface: str, error: OSError) -> PiranhaError:
    mend = "name an interface that is there and up: `syncd_iface = eth0`"
    return PiranhaError(f"cannot {what} {interface}: {error.strerror}", mend=mend)


def _membership(group: IPAddress, interface: str) -> bytes:
    """A `struct ip_mreqn`: by index, so that the interface needs no address yet."""
    return group.packed + b"\0" * 4 + struct.pack("=i", socket.if_nametoindex(interface))


def _target(group: IPAddress, daemon: SyncDaemon) -> tuple[str, int] | tuple[str, int, int, int]:
    if group.version == 4:
        return str(group), daemon.port
    return str(group), daemon.port, 0, socket.if_nametoindex(daemon.interface)


def _enlarge(opened: socket.socket, plain: int, forced: int) -> None:
    """A burst of a whole second fits; without CAP_NET_ADMIN as much as the system allows."""
    try:
        opened.setsockopt(socket.SOL_SOCKET, forced, _BUFFER_BYTES)
    except PermissionError:
        opened.setsockopt(socket.SOL_SOCKET, plain, _BUFFER_BYTES)
