"""The connection table as `/proc/net/ip_vs_conn` shows it (Linux `ip_vs_conn_seq_show`).

The kernel walks its table from the start for every page that is read, so a long list costs the square of its length. It
is a view for people, asked for by a person; nothing periodic reads it.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address

from piranha.base.errors import PiranhaError
from piranha.dataplane.port import Connection, ConnectionFilter, ConnectionPage
from piranha.model.address import IPAddress
from piranha.model.service import Protocol

PATH = "/proc/thread-self/net/ip_vs_conn"
_CHUNK_BYTES = 64 * 1024
_LONGEST_READ_S = 10.0
_TEMPLATE_STATES = frozenset({"NONE", "ASSURED"})
_PROTOCOLS = {protocol.name: protocol for protocol in Protocol}

logger = logging.getLogger(__name__)


class ConnectionTable:
    """The table of the network namespace of the thread that made this object, whichever thread asks later."""

    def __init__(self) -> None:
        """Raises PiranhaError where the kernel does not show the table."""
        try:
            self._fd = os.open(PATH, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise PiranhaError(f"cannot read /proc/net/ip_vs_conn: {error.strerror}") from error

    def page(self, wanted: ConnectionFilter) -> ConnectionPage:
        """A negative limit is none. A list that takes longer than ten seconds is cut off, with a warning in the log."""
        return select(self._lines(), wanted)

    def close(self) -> None:
        os.close(self._fd)

    def _lines(self) -> Iterator[str]:
        os.lseek(self._fd, 0, os.SEEK_SET)
        until = time.monotonic() + _LONGEST_READ_S
        rest = b""
        while chunk := os.read(self._fd, _CHUNK_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (line.decode("ascii", errors="replace") for line in lines)
            if time.monotonic() > until:
                logger.warning("connection list cut off seconds=%d", _LONGEST_READ_S)
                return


def select(lines: Iterable[str], wanted: ConnectionFilter) -> ConnectionPage:
    """The page of `wanted` from the lines of the file, its heading included."""
    rows: list[Connection] = []
    total = 0
    conditions = _conditions(wanted)
    for line in lines:
        words = line.split()
        if len(words) < _WORDS or words[0] not in _PROTOCOLS:
            continue
        if any(words[at] != word for at, word in conditions):
            continue
        total += 1
        if wanted.limit < 0 or len(rows) < wanted.limit:
            rows.append(_connection(words))
    return ConnectionPage(total=total, rows=tuple(rows))


_PROTOCOL, _CLIENT, _CLIENT_PORT, _VIRTUAL, _VIRTUAL_PORT = 0, 1, 2, 3, 4
_DESTINATION, _DESTINATION_PORT, _STATE, _EXPIRES, _ENGINE, _ENGINE_DATA = 5, 6, 7, 8, 9, 10
_WORDS = 9


def _conditions(wanted: ConnectionFilter) -> list[tuple[int, str]]:
    """(column, what must stand there): a line is judged by its text, without making values of it."""
    conditions: list[tuple[int, str]] = []
    if wanted.protocol is not None:
        conditions.append((_PROTOCOL, wanted.protocol.name))
    for column, address in (
        (_CLIENT, wanted.client),
        (_VIRTUAL, wanted.virtual),
        (_DESTINATION, wanted.destination),
    ):
        if address is not None:
            conditions.append((column, _written(address)))
    if wanted.virtual_port is not None:
        conditions.append((_VIRTUAL_PORT, f"{wanted.virtual_port:04X}"))
    if wanted.state is not None:
        conditions.append((_STATE, wanted.state.upper()))
    return conditions


def _connection(words: list[str]) -> Connection:
    protocol = _PROTOCOLS[words[_PROTOCOL]]
    virtual = _read(words[_VIRTUAL])
    client_port = int(words[_CLIENT_PORT], 16)
    return Connection(
        protocol=protocol,
        client=_read(words[_CLIENT]),
        client_port=client_port,
        virtual=virtual,
        virtual_port=int(words[_VIRTUAL_PORT], 16),
        destination=_read(words[_DESTINATION]),
        destination_port=int(words[_DESTINATION_PORT], 16),
        state=words[_STATE],
        expires_s=float(words[_EXPIRES]),
        is_template=client_port == 0 and words[_STATE] in _TEMPLATE_STATES,
        # The template of a firewall mark belongs to no protocol and has the mark where others have the VIP.
        mark=int(virtual) & 0xFFFFFFFF if protocol is Protocol.IP else 0,
        engine=words[_ENGINE] if len(words) > _ENGINE else "",
        engine_data=" ".join(words[_ENGINE_DATA:]),
    )


def _written(address: IPAddress) -> str:
    return f"{int(address):08X}" if isinstance(address, IPv4Address) else address.exploded


def _read(text: str) -> IPAddress:
    return IPv6Address(text) if ":" in text else IPv4Address(int(text, 16))
