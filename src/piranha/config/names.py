"""Names in an `lvs.cf`: hosts by the resolver, ports by the services list. Bounded in time; tests pass in a fake."""

from __future__ import annotations

import socket
import threading
import time
from ipaddress import IPv4Address, ip_address
from typing import Protocol as TypingProtocol

from piranha.model.address import IPAddress


class Names(TypingProtocol):
    """Where the parser looks names up."""

    def host(self, name: str) -> IPAddress | None:
        """The address of a host, IPv4 before IPv6; None where there is none or the answer takes too long."""
        ...

    def port(self, name: str) -> int | None:
        """The TCP port of a service, else its UDP port."""
        ...


class FixedNames:
    """Names from two tables, for tests and for texts that must not reach the network."""

    def __init__(self, hosts: dict[str, str] | None = None, ports: dict[str, int] | None = None) -> None:
        self._hosts = {name: ip_address(text) for name, text in (hosts or {}).items()}
        self._ports = dict(ports or {})

    def host(self, name: str) -> IPAddress | None:
        return self._hosts.get(name)

    def port(self, name: str) -> int | None:
        return self._ports.get(name)


class SystemNames:
    """Names as this machine knows them.

    All host look-ups of one object together take at most `budget_s`; later ones then fail at once. A resolver
    that hangs is left behind in its thread, which does not keep the process alive.
    """

    def __init__(self, budget_s: float = 3.0) -> None:
        self._left_s = budget_s
        self._hosts: dict[str, IPAddress | None] = {}
        self._ports: dict[str, int | None] = {}

    def host(self, name: str) -> IPAddress | None:
        if name not in self._hosts:
            self._hosts[name] = self._look_up(name)
        return self._hosts[name]

    def port(self, name: str) -> int | None:
        if name not in self._ports:
            self._ports[name] = _service_port(name)
        return self._ports[name]

    def _look_up(self, name: str) -> IPAddress | None:
        if self._left_s <= 0:
            return None
        answers: list[IPAddress] = []
        thread = threading.Thread(target=_resolve_into, args=(answers, name), name=f"resolve {name}", daemon=True)
        started_at = time.monotonic()
        thread.start()
        thread.join(self._left_s)
        self._left_s -= time.monotonic() - started_at
        return answers[0] if answers else None


def _resolve_into(answers: list[IPAddress], name: str) -> None:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        addresses = [ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    except (OSError, ValueError):
        return
    answers.extend(sorted(addresses, key=lambda address: not isinstance(address, IPv4Address)))


def _service_port(name: str) -> int | None:
    for protocol in ("tcp", "udp"):
        try:
            return socket.getservbyname(name, protocol)
        except (OSError, ValueError):
            continue
    return None
