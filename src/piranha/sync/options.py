"""What may follow a record of protocol version 1: sequence adjustments and persistence-engine data.

Layout: type, length, data (Linux `net/netfilter/ipvs/ip_vs_sync.c`). Pure.
"""

from __future__ import annotations

import struct

from piranha.dataplane.exchange import Extra, Flag, SequenceAdjustment

_SEQUENCE, _ENGINE_DATA, _ENGINE_NAME = 1, 2, 3
_OPTIONAL = 0x40
_SEQUENCES = struct.Struct("!6I")
_LONGEST = {_ENGINE_DATA: 255, _ENGINE_NAME: 16}

SEQUENCES_SIZE = _SEQUENCES.size


class OptionError(ValueError):
    """Options that cannot be read: the rest of the datagram is then worth nothing."""


class UnknownOptionError(ValueError):
    """An option that must be understood, and is not: its record is left out."""


def pack_sequences(extra: Extra) -> bytes:
    """The inbound direction, then the outbound one."""
    inbound, outbound = extra.sequence_in or SequenceAdjustment(), extra.sequence_out or SequenceAdjustment()
    words = [
        value & 0xFFFFFFFF for one in (inbound, outbound) for value in (one.initial, one.delta, one.previous_delta)
    ]
    return _SEQUENCES.pack(*words)


def unpack_sequences(data: bytes) -> tuple[SequenceAdjustment, SequenceAdjustment]:
    words = _SEQUENCES.unpack(data)
    inbound, outbound = (
        SequenceAdjustment(initial=words[at], delta=words[at + 1], previous_delta=words[at + 2]) for at in (0, 3)
    )
    return inbound, outbound


def sequence_flags(extra: Extra) -> int:
    """The flags that announce them."""
    return (Flag.IN_SEQUENCE if extra.sequence_in else 0) | (Flag.OUT_SEQUENCE if extra.sequence_out else 0)


def pack(extra: Extra) -> bytes:
    parts = []
    if sequence_flags(extra):
        parts.append((_SEQUENCE, pack_sequences(extra)))
    if extra.engine_data:
        parts.append((_ENGINE_DATA, extra.engine_data))
    if extra.engine:
        parts.append((_ENGINE_NAME, extra.engine))
    for kind, data in parts:
        if len(data) > _LONGEST.get(kind, SEQUENCES_SIZE):
            raise ValueError(f"option {kind} has {len(data)} bytes")
    return b"".join(bytes([kind, len(data)]) + data for kind, data in parts)


def unpack(data: bytes, flags: int) -> Extra:
    """Raises OptionError for what contradicts its lengths or comes twice, UnknownOptionError for the rest."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        if at + 2 > len(data):
            raise OptionError("an option is cut off")
        kind, length = data[at] & ~_OPTIONAL, data[at + 1]
        value = data[at + 2 : at + 2 + length]
        if not length or len(value) < length:
            raise OptionError(f"option {kind} has no data or is cut off")
        if kind in (_SEQUENCE, _ENGINE_DATA, _ENGINE_NAME):
            if kind in found:
                raise OptionError(f"option {kind} comes twice")
            if length > _LONGEST.get(kind, SEQUENCES_SIZE) or (kind == _SEQUENCE and length != SEQUENCES_SIZE):
                raise OptionError(f"option {kind} has {length} bytes")
            found[kind] = value
        elif not data[at] & _OPTIONAL:
            raise UnknownOptionError(f"option {kind} is not known")
        at += 2 + length
    sequences = unpack_sequences(found[_SEQUENCE]) if _SEQUENCE in found else (None, None)
    return Extra(
        sequence_in=sequences[0] if flags & Flag.IN_SEQUENCE else None,
        sequence_out=sequences[1] if flags & Flag.OUT_SEQUENCE else None,
        engine=found.get(_ENGINE_NAME, b""),
        engine_data=found.get(_ENGINE_DATA, b""),
    )
