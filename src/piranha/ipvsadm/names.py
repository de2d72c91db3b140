"""Names of hosts and ports, and where they are looked up."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol as TypingProtocol

from piranha.model.address import IPAddress
from piranha.model.service import Protocol

_WITH_PORT_NAMES = frozenset((Protocol.TCP, Protocol.UDP, Protocol.SCTP))


class Names(TypingProtocol):
    """A source of names; None where there is none."""

    def address(self, host: str) -> IPv4Address | None: ...

    def host(self, address: IPAddress) -> str | None: ...

    def port(self, name: str, protocol: Protocol) -> int | None: ...

    def service(self, port: int, protocol: Protocol) -> str | None: ...


class SystemNames:
    """The names of this host (`nsswitch.conf`). Asks for each once; may block as long as the system's resolver does."""

    def __init__(self) -> None:
        self._hosts: dict[IPAddress, str | None] = {}
        self._services: dict[tuple[int, Protocol], str | None] = {}

    def address(self, host: str) -> IPv4Address | None:
        # An empty name is no name; the socket module would make it 0.0.0.0.
        try:
            return IPv4Address(socket.gethostbyname(host)) if host else None
        except (OSError, ValueError):
            return None

    def host(self, address: IPAddress) -> str | None:
        if address not in self._hosts:
            try:
                self._hosts[address] = socket.gethostbyaddr(str(address))[0]
            except OSError:
                self._hosts[address] = None
        return self._hosts[address]

    def port(self, name: str, protocol: Protocol) -> int | None:
        if protocol not in _WITH_PORT_NAMES:
            return None
        try:
            return socket.getservbyname(name, protocol.word)
        except (OSError, ValueError):
            return None

    def service(self, port: int, protocol: Protocol) -> str | None:
        if protocol not in _WITH_PORT_NAMES:
            return None
        wanted = (port, protocol)
        if wanted not in self._services:
            try:
                self._services[wanted] = socket.getservbyport(port, protocol.word)
            except OSError:
                self._services[wanted] = None
        return self._services[wanted]


def dotted(text: str) -> IPv4Address | None:
    """An IPv4 address as inet_aton(3) takes it: 10.1, octal and hexadecimal parts, and text after a blank included."""
    try:
        return IPv4Address(socket.inet_aton(text))
    except (OSError, ValueError):
        return None


def colons(text: str) -> IPv6Address | None:
    """An IPv6 address as inet_pton(3) takes it."""
    try:
        return IPv6Address(socket.inet_pton(socket.AF_INET6, text))
    except (OSError, ValueError):
        return None
