"""The heartbeat's bytes: a header in clear, then fields that are sealed.

    word 4 | version 1 | reserved 1 | key id 2 | node 8 | boot 16 | sequence 8        header, 40 bytes
    type 1 | length 1 | value                                                         fields, sealed

Numbers are in network order. The word says whether the sender is active, so that the kernel's gate, which cannot open the
seal, renews the lease when such a message leaves. A receiver skips fields that it does not know and takes the defaults for those
that are missing: so a newer or an older Piranha is understood.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag

ACTIVE_WORD = b"PiA1"
BACKUP_WORD = b"PiB1"
VERSION = 1
HEADER_BYTES = 40
NODE_BYTES = 8
BOOT_BYTES = 16
NAME_BYTES = 64
MAC_BYTES = 6
MAX_MACS = 32
MAX_FIELDS_BYTES = 1024
MAX_SEQUENCE = 2**64 - 1

_HEADER = struct.Struct("!4sBBH8s16sQ")


class HeartbeatError(ValueError):
    """Bytes that are no heartbeat of ours; the text says why."""


class Place(IntEnum):
    """The configured place of a director; the primary wins a tie."""

    PRIMARY = 0
    SECONDARY = 1


class Flag(IntFlag):
    """What a director says of itself."""

    READY = 1  # lvsd is up and has the table loaded
    SYNCED = 2  # has the other's connections, or there were none to have
    MAINTENANCE = 4
    DEAF = 8  # hears nothing of its peer
    LINK_DOWN = 16  # a watched interface has no carrier
    FAREWELL = 32  # leaves with this message, its gate shut
    TAKE_OVER = 64  # has given up, and asks the peer to become active now
    GIVE_UP = 128  # asks the peer to stop being active
    OFFER = 256  # is active, and asks whether the peer is willing to take over
    WILLING = 512  # would take over at the word: its addresses are raised, its gate is shut


class _Field(IntEnum):
    TERM = 1
    PLACE = 2
    FLAGS = 3
    ECHO = 4
    SPEAKS = 5
    NEWEST_KEY = 6
    NAME = 7
    MACS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The part in clear. `boot` is drawn anew at each start of pulse; `sequence` rises with every message sent."""

    active: bool
    key_id: int
    node: bytes
    boot: bytes
    sequence: int
    version: int = VERSION

    def encode(self) -> bytes:
        word = ACTIVE_WORD if self.active else BACKUP_WORD
        return _HEADER.pack(word, self.version, 0, self.key_id, self.node, self.boot, self.sequence)

    @staticmethod
    def decode(message: bytes) -> Header:
        """Raises `HeartbeatError` for anything that is no heartbeat."""
        if len(message) < HEADER_BYTES:
            raise HeartbeatError(f"{len(message)} bytes are no heartbeat")
        word, version, _, key_id, node, boot, sequence = _HEADER.unpack_from(message)
        if word not in (ACTIVE_WORD, BACKUP_WORD):
            raise HeartbeatError(f"begins with {word.hex(' ')}, no heartbeat")
        if version < 1:
            raise HeartbeatError("version 0 does not exist")
        return Header(
            active=word == ACTIVE_WORD, key_id=key_id, node=node, boot=boot, sequence=sequence, version=version
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Echo:
    """The latest message of the other director that the sender has heard."""

    boot: bytes
    sequence: int


NO_FLAGS = Flag(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """The sealed part. `speaks` is the highest version that the sender understands, `newest_key` the id of its newest key.

    `macs` are the hardware addresses from which the sender announces VIPs, at most `MAX_MACS`.
    """

    term: int = 0
    place: Place = Place.SECONDARY
    flags: Flag = NO_FLAGS
    echo: Echo | None = None
    speaks: int = VERSION
    newest_key: int = 0
    name: str = ""
    macs: tuple[bytes, ...] = ()

    def encode(self) -> bytes:
        name = self.name.encode()[:NAME_BYTES].decode(errors="ignore").encode()
        fields = [
            _field(_Field.TERM, struct.pack("!Q", self.term)),
            _field(_Field.PLACE, struct.pack("!B", self.place)),
            _field(_Field.FLAGS, struct.pack("!I", self.flags)),
            _field(_Field.SPEAKS, struct.pack("!B", self.speaks)),
            _field(_Field.NEWEST_KEY, struct.pack("!H", self.newest_key)),
            _field(_Field.NAME, name),
        ]
        if self.echo is not None:
            fields.append(_field(_Field.ECHO, self.echo.boot + struct.pack("!Q", self.echo.sequence)))
        if self.macs:
            fields.append(_field(_Field.MACS, b"".join(self.macs[:MAX_MACS])))
        return b"".join(fields)

    @staticmethod
    def decode(fields: bytes) -> Contents:
        """Raises `HeartbeatError` where a known field has a wrong length or the last one is cut off."""
        values = _split(fields)
        echo = values.get(_Field.ECHO)
        if echo is not None and len(echo) != BOOT_BYTES + 8:
            raise HeartbeatError(f"an echo of {len(echo)} bytes")
        place = _number(values, _Field.PLACE, 1, Place.SECONDARY)
        return Contents(
            term=_number(values, _Field.TERM, 8, 0),
            place=Place.PRIMARY if place == Place.PRIMARY else Place.SECONDARY,
            flags=_known(_number(values, _Field.FLAGS, 4, 0)),
            echo=Echo(boot=echo[:BOOT_BYTES], sequence=int.from_bytes(echo[BOOT_BYTES:], "big")) if echo else None,
            speaks=_number(values, _Field.SPEAKS, 1, VERSION),
            newest_key=_number(values, _Field.NEWEST_KEY, 2, 0),
            name=values.get(_Field.NAME, b"")[:NAME_BYTES].decode(errors="replace"),
            macs=_macs(values.get(_Field.MACS, b"")),
        )


_ALL_FLAGS = Flag(sum(Flag))


def _known(flags: int) -> Flag:
    return Flag(flags) & _ALL_FLAGS


def _macs(value: bytes) -> tuple[bytes, ...]:
    if len(value) % MAC_BYTES:
        raise HeartbeatError(f"hardware addresses of {len(value)} bytes")
    return tuple(value[at : at + MAC_BYTES] for at in range(0, len(value), MAC_BYTES))


def _field(kind: _Field, value: bytes) -> bytes:
    return bytes((kind, len(value))) + value


def _split(fields: bytes) -> dict[int, bytes]:
    """Field by type; of a repeated one the last."""
    if len(fields) > MAX_FIELDS_BYTES:
        raise HeartbeatError(f"{len(fields)} bytes of fields are too many")
    values: dict[int, bytes] = {}
    at = 0
    while at < len(fields):
        if at + 2 > len(fields) or at + 2 + fields[at + 1] > len(fields):
            raise HeartbeatError("the last field is cut off")
        end = at + 2 + fields[at + 1]
        values[fields[at]] = fields[at + 2 : end]
        at = end
    return values


def _number(values: dict[int, bytes], kind: _Field, length: int, default: int) -> int:
    value = values.get(kind)
    if value is None:
        return default
    if len(value) != length:
        raise HeartbeatError(f"field {kind.name} of {len(value)} bytes instead of {length}")
    return int.from_bytes(value, "big")
