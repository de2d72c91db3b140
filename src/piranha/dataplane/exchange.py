"""Connections as directors tell each other of them: columns, whatever plane they come from or go to.

Numbers are IPVS's own (Linux `include/uapi/linux/ip_vs.h`): methods, flags, states. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntFlag

import numpy as np
from numpy.typing import NDArray

ENTRY = np.dtype(
    [
        ("client", "u1", (16,)),
        ("virtual", "u1", (16,)),
        ("server", "u1", (16,)),
        ("client_port", "<u2"),
        ("virtual_port", "<u2"),
        ("server_port", "<u2"),
        ("state", "<u2"),
        ("flags", "<u4"),
        ("mark", "<u4"),
        ("timeout_s", "<u4"),
        ("protocol", "u1"),
        ("version", "u1"),
        ("pad", "u1", (2,)),
    ]
)
"""One connection or template. Addresses are 16 bytes in network order, IPv4 as ::ffff:a.b.c.d.

`timeout_s` is the time it has left; 0 says that its state decides. `version` is the IP version. In a template of a
firewall mark `virtual` is the mark: as an IPv4 address, or in the first four bytes.
"""

_V4_PREFIX = np.frombuffer(b"\0" * 10 + b"\xff\xff", "u1")


class Flag(IntFlag):
    """IP_VS_CONN_F_*, the lowest three bits apart: those are the forwarding method."""

    SYNC = 0x20
    HASHED = 0x40
    NO_OUTPUT = 0x80
    INACTIVE = 0x100
    OUT_SEQUENCE = 0x200
    IN_SEQUENCE = 0x400
    NO_CLIENT_PORT = 0x800
    TEMPLATE = 0x1000
    ONE_PACKET = 0x2000


METHOD_MASK = 0x07
MASQUERADE, LOCAL, TUNNEL, DIRECT, BYPASS = range(5)
NO_OUTPUT_METHODS = (LOCAL, TUNNEL, DIRECT, BYPASS)


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceAdjustment:
    """How far one direction's sequence numbers are shifted: before and after the last change, which was at `initial`."""

    initial: int = 0
    delta: int = 0
    previous_delta: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Extra:
    """What few entries have beside their columns."""

    sequence_in: SequenceAdjustment | None = None
    sequence_out: SequenceAdjustment | None = None
    engine: bytes = b""
    engine_data: bytes = b""


@dataclass(frozen=True, slots=True)
class Entries:
    """Rows of ENTRY, and the extras of some of them by row number."""

    rows: NDArray[np.void]
    extras: Mapping[int, Extra] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def chosen(self, places: NDArray[np.intp]) -> Entries:
        """The rows at these places, in their order."""
        if not self.extras:
            return Entries(self.rows[places])
        wanted = places.tolist()
        extras = {new: self.extras[old] for new, old in enumerate(wanted) if old in self.extras}
        return Entries(self.rows[places], extras)


def is_ipv4(addresses: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which of the 16-byte addresses, shape (n, 16), stand for IPv4."""
    return np.asarray((addresses[:, :12] == _V4_PREFIX).all(axis=1), np.bool_)


def joined(parts: list[Entries]) -> Entries:
    """All of them in order."""
    if len(parts) == 1:
        return parts[0]
    extras: dict[int, Extra] = {}
    start = 0
    for part in parts:
        extras.update({start + place: extra for place, extra in part.extras.items()})
        start += len(part)
    rows = np.concatenate([part.rows for part in parts]) if parts else np.zeros(0, ENTRY)
    return Entries(rows, extras)
