"""`host[:port]` of services and real servers, in both directions."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from piranha.ipvsadm.names import Names, colons, dotted
from piranha.ipvsadm.numbers import number
from piranha.model.address import IPAddress
from piranha.model.service import Protocol

LONGEST = 59
"""Characters of an endpoint that ipvsadm keeps, names included."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`port` is None where the text has none."""

    address: IPAddress
    port: int | None


def read_endpoint(text: str, protocol: Protocol, names: Names) -> Endpoint | None:
    """The endpoint, or None where `text` is none.

    IPv6 has brackets when a port follows, and only then; names and brackets do not go together.
    """
    port_text: str | None
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or not rest.startswith(":"):
            return None
        port_text = rest[1:]
    elif text.isascii() and text.isdigit():
        return None
    else:
        host, port_text = text, None
    address: IPv4Address | IPv6Address | None = colons(host)
    if address is None:
        host, colon, after = host.rpartition(":")
        if colon:
            port_text = after
        else:
            # A port after the brackets of something else than IPv6 is lost.
            host, port_text = after, None
        address = dotted(host) or names.address(host)
        if address is None:
            return None
    if port_text is None:
        return Endpoint(address, None)
    port = number(port_text, 0, 65535)
    if port is None:
        port = names.port(port_text, protocol)
    return None if port is None else Endpoint(address, port)


class EndpointWriter:
    """Endpoints as a listing shows them: numeric, or with names where there are any."""

    def __init__(self, names: Names | None) -> None:
        """`names` None is numeric."""
        self._names = names
        self._hosts: dict[IPAddress, str] = {}

    def write(self, address: IPAddress, port: int, protocol: Protocol) -> str:
        shown = self._hosts.get(address)
        if shown is None:
            name = self._names.host(address) if self._names is not None else None
            shown = name or str(address)
            if address.version == 6:
                shown = f"[{shown}]"
            self._hosts[address] = shown
        if self._names is None:
            return f"{shown}:{port}"
        return f"{shown}:{self._names.service(port, protocol) or port}"[:LONGEST]
