"""Sockets for checks: opening them towards a probe's server, and what their errors say about it."""

from __future__ import annotations

import errno
import os
import socket

from piranha.model.check import Probe
from piranha.model.check_block import CheckKind
from piranha.monitor.outcome import CheckImpossibleError

# linux/in.h and linux/in6.h; Python's socket module does not name them.
_IP_RECVERR = 11
_IPV6_RECVERR = 25
_IP_BIND_ADDRESS_NO_PORT = 24

_FLAGS = socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC

_OUR_OWN = {
    errno.EMFILE: "no file descriptors left",
    errno.ENFILE: "no file descriptors left on this machine",
    errno.ENOBUFS: "no socket buffers left",
    errno.ENOMEM: "no memory left",
    errno.EADDRNOTAVAIL: "no local address or port left towards the server",
    errno.EAFNOSUPPORT: "this machine does not speak the server's address family",
    errno.EINVAL: "the address cannot be connected to (a link-local one needs its interface)",
}
_THE_SERVERS = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset",
    errno.ECONNABORTED: "connection aborted",
    errno.EPIPE: "connection closed while sending",
}
_THE_WAYS = {
    errno.EHOSTUNREACH: "no route to host",
    errno.ENETUNREACH: "network unreachable",
    errno.ENETDOWN: "network down",
    errno.ETIMEDOUT: "connection timed out",
}


def open_socket(probe: Probe, kind: socket.SocketKind) -> socket.socket:
    """A non-blocking socket of the probe's address family and kind. Raises CheckImpossibleError."""
    family = socket.AF_INET if probe.address.version == 4 else socket.AF_INET6
    try:
        if probe.kind is CheckKind.ICMP:
            return _open_echo(family)
        return socket.socket(family, kind | _FLAGS)
    except OSError as error:
        raise CheckImpossibleError(
            f"cannot open a socket: {our_fault(error) or os.strerror(error.errno or 0)}"
        ) from error


def _open_echo(family: socket.AddressFamily) -> socket.socket:
    """The kernel's ping socket; where groups may not have one (`ping_group_range`), a raw one."""
    protocol = socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6
    try:
        return socket.socket(family, socket.SOCK_DGRAM | _FLAGS, protocol)
    except PermissionError:
        return socket.socket(family, socket.SOCK_RAW | _FLAGS, protocol)


def ask_errors(sock: socket.socket, probe: Probe) -> None:
    """Have the kernel say "host unreachable" too, which it keeps to itself otherwise."""
    if probe.address.version == 4:
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)


def bind(sock: socket.socket, probe: Probe) -> None:
    """Give the socket the probe's source address and mark. Raises CheckImpossibleError."""
    try:
        if probe.mark:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, probe.mark)
        if probe.source is not None:
            sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((str(probe.source), 0))
    except PermissionError as error:
        raise CheckImpossibleError("marking a check's packets needs CAP_NET_ADMIN") from error
    except OSError as error:
        raise CheckImpossibleError(f"cannot ask from {probe.source}: {os.strerror(error.errno or 0)}") from error


def socket_address(probe: Probe) -> tuple[str, int] | tuple[str, int, int, int]:
    """The server's address as `connect` wants it; it never needs a name look-up. Raises CheckImpossibleError."""
    if probe.address.version == 4:
        return probe.address_text, probe.port
    scope = probe.address.scope_id
    if scope is None:
        return probe.address_text, probe.port, 0, 0
    try:
        number = int(scope) if scope.isdecimal() else socket.if_nametoindex(scope)
    except OSError as error:
        raise CheckImpossibleError(f"there is no interface {scope} to reach {probe.address} through") from error
    return probe.address_text.partition("%")[0], probe.port, 0, number


def our_fault(error: OSError) -> str | None:
    """What of ours is missing, where an error says nothing about the server."""
    return _OUR_OWN.get(error.errno or 0)


def reason_of(error: OSError) -> tuple[str, bool]:
    """What an error says in words, and whether it is the server's own answer."""
    number = error.errno or 0
    if number in _THE_SERVERS:
        return _THE_SERVERS[number], True
    return _THE_WAYS.get(number) or os.strerror(number), False
