"""ONC-RPC calls and replies, as little as rstat and the port mapper need (RFC 5531, RFC 1833). Pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from piranha.monitor.load.reading import LoadUnknownError

PORTMAP_PORT = 111
PORTMAP_PROGRAM, PORTMAP_VERSION, PORTMAP_GETPORT = 100000, 2, 3
UDP = 17
_CALL, _REPLY, _RPC_VERSION = 0, 1, 2
_SUCCESS, _MISMATCH = 0, 2
_WHY = {1: "the program is not there", 3: "it does not know the procedure", 4: "it could not read the question"}


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionMismatch:
    """The program speaks versions `low` to `high`, though perhaps not all between them."""

    low: int
    high: int


def call(xid: int, program: int, version: int, procedure: int, *arguments: int) -> bytes:
    """A call without credentials."""
    words = (xid, _CALL, _RPC_VERSION, program, version, procedure, 0, 0, 0, 0, *arguments)
    return struct.pack(f">{len(words)}I", *words)


def get_port(xid: int, program: int, version: int) -> bytes:
    """Ask the port mapper for a program's UDP port."""
    return call(xid, PORTMAP_PROGRAM, PORTMAP_VERSION, PORTMAP_GETPORT, program, version, UDP, 0)


def results_of(datagram: bytes, xid: int) -> tuple[int, ...] | VersionMismatch | None:
    """The results of the call `xid` as 32-bit words; None for a datagram that is no reply to it.

    Raises LoadUnknownError for a reply that says no, or is cut off.
    """
    words = struct.unpack_from(f">{len(datagram) // 4}I", datagram)
    if len(words) < 3 or words[:2] != (xid, _REPLY):
        return None
    if words[2] != 0:
        raise LoadUnknownError("the call was denied")
    if len(words) < 5:
        raise LoadUnknownError("the reply is cut off")
    # The verifier's length counts bytes, padded to whole words.
    at = 5 + (words[4] + 3) // 4
    if len(words) <= at:
        raise LoadUnknownError("the reply is cut off")
    status, rest = words[at], words[at + 1 :]
    if status == _MISMATCH and len(rest) >= 2:
        return VersionMismatch(low=rest[0], high=rest[1])
    if status != _SUCCESS:
        raise LoadUnknownError(_WHY.get(status, f"the call failed ({status})"))
    return rest
