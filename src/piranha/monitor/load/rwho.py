"""What rwhod tells: its broadcast and its spool file (`struct whod`). Pure."""

from __future__ import annotations

import struct
import sys
from dataclasses import dataclass

from piranha.monitor.load.reading import LoadUnknownError, average_of

PORT = 513
SPOOL = "/var/spool/rwho"
SILENT_S = 11 * 60
"""After so long `ruptime` calls a host down; one that broadcasts every three minutes has then missed three."""
HEAD_BYTES = 60
_VERSION, _STATUS = 1, 1
_LOAD_SCALE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Whod:
    """`received_at` is seconds since 1970, and means something in a spool file alone."""

    host: str
    average: float
    received_at: int


def whod_of(data: bytes, *, from_spool: bool) -> Whod:
    """Read a broadcast (network order) or a spool file (this host's order). Raises LoadUnknownError."""
    if len(data) < HEAD_BYTES:
        raise LoadUnknownError("it is too short for rwhod's")
    order = ("<" if sys.byteorder == "little" else ">") if from_spool else ">"
    version, kind, _, _, received, host, load = struct.unpack_from(f"{order}BB2sII32sI", data)
    if (version, kind) != (_VERSION, _STATUS):
        raise LoadUnknownError("it is none of rwhod's")
    name = host.split(b"\0", 1)[0].decode("ascii", "replace")
    return Whod(host=name, average=average_of(load / _LOAD_SCALE), received_at=received)
