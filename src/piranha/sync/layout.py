"""Records of both protocol versions as numpy layouts, and their translation from and to rows of ENTRY. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from piranha.dataplane.exchange import ENTRY, METHOD_MASK, Flag

_HEAD = [
    ("type", "u1"),
    ("protocol", "u1"),
    ("size", ">u2"),  # version 0 in the upper 4 bits
    ("flags", ">u4"),
    ("state", ">u2"),
    ("client_port", ">u2"),
    ("virtual_port", ">u2"),
    ("server_port", ">u2"),
    ("mark", ">u4"),
    ("timeout_s", ">u4"),
]


def _record(address_bytes: int) -> np.dtype[np.void]:
    addresses = [(name, "u1", (address_bytes,)) for name in ("client", "virtual", "server")]
    return np.dtype([*_HEAD, *addresses])


RECORDS = {4: _record(4), 6: _record(16)}
"""Version 1, by IP version: 36 and 72 bytes."""
IS_IPV6 = 1
"""Bit of `type`."""

OLD_RECORD = np.dtype(
    [
        ("reserved", "u1"),
        ("protocol", "u1"),
        ("client_port", ">u2"),
        ("virtual_port", ">u2"),
        ("server_port", ">u2"),
        ("client", "u1", (4,)),
        ("virtual", "u1", (4,)),
        ("server", "u1", (4,)),
        ("flags", ">u2"),
        ("state", ">u2"),
    ]
)
"""Version 0: IPv4 alone, 24 bytes."""

# What a receiver takes of the flags (IP_VS_CONN_F_BACKUP_MASK).
_TAKEN = (
    METHOD_MASK
    | Flag.NO_OUTPUT
    | Flag.INACTIVE
    | Flag.OUT_SEQUENCE
    | Flag.IN_SEQUENCE
    | Flag.NO_CLIENT_PORT
    | Flag.TEMPLATE
)
_ADDRESSES = ("client", "virtual", "server")
_NUMBERS = ("protocol", "state", "client_port", "virtual_port", "server_port", "mark", "timeout_s")


def to_entries(records: NDArray[np.void]) -> NDArray[np.void]:
    """Rows of ENTRY from records of one kind. What a version does not carry is 0."""
    entries = np.zeros(len(records), ENTRY)
    names = records.dtype.names or ()
    for name in _NUMBERS:
        if name in names:
            entries[name] = records[name]
    flags = records["flags"].astype(np.uint32) & np.uint32(_TAKEN)
    entries["flags"] = flags
    # A template has two states; IPVS takes any other for the first.
    odd = ((flags & Flag.TEMPLATE) != 0) & (entries["state"] > 1)
    entries["state"][odd] = 0
    width = records.dtype["client"].shape[0]
    entries["version"] = 4 if width == 4 else 6
    for name in _ADDRESSES:
        column = entries[name]
        if width == 4:
            column[:, 10:12] = 0xFF
        column[:, 16 - width :] = records[name]
    return entries


def to_records(entries: NDArray[np.void], version: int) -> NDArray[np.void]:
    """Version 1 records, without options, of rows that all have this IP version."""
    records = np.zeros(len(entries), RECORDS[version])
    records["type"] = 0 if version == 4 else IS_IPV6
    records["size"] = RECORDS[version].itemsize
    records["flags"] = entries["flags"] & ~np.uint32(Flag.SYNC | Flag.HASHED)
    for name in _NUMBERS:
        records[name] = entries[name]
    for name in _ADDRESSES:
        records[name] = entries[name][:, 16 - records.dtype[name].shape[0] :]
    return records
