"""Datagrams of connection sync: the kernel's version 1 read and written, its version 0 read. Pure.

Sources: Linux `net/netfilter/ipvs/ip_vs_sync.c`, and captures of it (docs/design/sync.md shows the layout). Whole columns
are translated at once; only records with options, and datagrams that mix IP versions, are walked one by one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from piranha.dataplane.exchange import Entries, Extra, Flag, joined
from piranha.sync import options
from piranha.sync.layout import IS_IPV6, OLD_RECORD, RECORDS, to_entries, to_records
from piranha.sync.options import OptionError, UnknownOptionError

_HEADER = struct.Struct("!BBHBBH")
_OLD_HEADER = struct.Struct("!BBH")
_RECORD_HEAD = struct.Struct("!BBH")
_SIZE_MASK, _VERSION_SHIFT = 0x0FFF, 12
_MOST_RECORDS = 255
SHORTEST = 1024
"""No `max_length` below this is taken, as in the kernel."""


class DatagramError(ValueError):
    """A datagram, or the rest of one, that cannot be read."""


@dataclass(slots=True)
class Reading:
    """What some datagrams said. `faults` are those that could not be read to their end, `foreign` other groups'."""

    entries: Entries
    datagrams: int = 0
    foreign: int = 0
    unknown_options: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Pile:
    """Records of one kind, in order."""

    dtype: np.dtype[np.void]
    parts: list[NDArray[np.void]] = field(default_factory=list)
    extras: dict[int, Extra] = field(default_factory=dict)
    count: int = 0

    def add(self, records: NDArray[np.void]) -> None:
        self.parts.append(records)
        self.count += len(records)

    def entries(self) -> Entries:
        records = np.concatenate(self.parts) if len(self.parts) != 1 else self.parts[0]
        return Entries(to_entries(records), self.extras)


def read(datagrams: Iterable[bytes], sync_id: int = 0) -> Reading:
    """All that the datagrams say. With `sync_id` 0 every group's are read, else that one's.

    Never raises: of a datagram that breaks off, the records before the break count, as in the kernel.
    """
    reading = Reading(Entries(to_entries(np.zeros(0, RECORDS[4]))))
    piles = [_Pile(RECORDS[4]), _Pile(RECORDS[6]), _Pile(OLD_RECORD)]
    for data in datagrams:
        reading.datagrams += 1
        try:
            if not _read_one(data, sync_id, piles, reading):
                reading.foreign += 1
        except DatagramError as error:
            reading.faults.append(str(error))
    filled = [pile.entries() for pile in piles if pile.parts]
    if filled:
        reading.entries = joined(filled)
    return reading


def _read_one(data: bytes, sync_id: int, piles: list[_Pile], reading: Reading) -> bool:
    if len(data) < _OLD_HEADER.size:
        raise DatagramError(f"{len(data)} bytes are no datagram of connection sync")
    first, group, size = _OLD_HEADER.unpack_from(data)
    if size != len(data):
        raise DatagramError(f"a datagram of {len(data)} bytes says that it has {size}")
    if sync_id not in (0, group):
        return False
    if len(data) >= _HEADER.size and first == 0 and data[5] == 1 and data[6:8] == b"\0\0":
        _read_new(data, data[4], piles, reading)
    else:
        _read_old(data, first, piles[2])
    return True


def _read_new(data: bytes, count: int, piles: list[_Pile], reading: Reading) -> None:
    for pile, kind in zip(piles, (0, IS_IPV6), strict=False):
        if len(data) == _HEADER.size + count * pile.dtype.itemsize:
            records = np.frombuffer(data, pile.dtype, count, _HEADER.size)
            if (records["size"] == pile.dtype.itemsize).all() and (records["type"] == kind).all():
                pile.add(records)
                return
    at = _HEADER.size
    for _ in range(count):
        at = _read_record(data, at, piles, reading)


def _read_record(data: bytes, at: int, piles: list[_Pile], reading: Reading) -> int:
    """Where the next record begins."""
    if at + _RECORD_HEAD.size > len(data):
        raise DatagramError("a record is cut off")
    kind, _, word = _RECORD_HEAD.unpack_from(data, at)
    size = int(word) & _SIZE_MASK
    if word >> _VERSION_SHIFT:
        raise DatagramError(f"a record has version {word >> _VERSION_SHIFT}")
    if kind & ~IS_IPV6:
        raise DatagramError(f"a record has type {kind}")
    pile = piles[kind]
    end = at + size
    if size < pile.dtype.itemsize or end > len(data):
        raise DatagramError(f"a record of {size} bytes does not fit")
    records = np.frombuffer(data, pile.dtype, 1, at)
    if size > pile.dtype.itemsize:
        try:
            pile.extras[pile.count] = options.unpack(data[at + pile.dtype.itemsize : end], int(records["flags"][0]))
        except UnknownOptionError:
            reading.unknown_options += 1
            return end + -end % 4
        except OptionError as error:
            raise DatagramError(str(error)) from None
    pile.add(records)
    return end + -end % 4


def _read_old(data: bytes, count: int, pile: _Pile) -> None:
    at = _OLD_HEADER.size
    for _ in range(count):
        if at + OLD_RECORD.itemsize > len(data):
            raise DatagramError("a record is cut off")
        records = np.frombuffer(data, OLD_RECORD, 1, at)
        at += OLD_RECORD.itemsize
        flags = int(records["flags"][0])
        if flags & (Flag.IN_SEQUENCE | Flag.OUT_SEQUENCE):
            if at + options.SEQUENCES_SIZE > len(data):
                raise DatagramError("a record's sequence adjustment is cut off")
            inbound, outbound = options.unpack_sequences(data[at : at + options.SEQUENCES_SIZE])
            at += options.SEQUENCES_SIZE
            extra = Extra(sequence_in=inbound, sequence_out=outbound)
            pile.extras[pile.count] = replace(
                extra,
                sequence_in=inbound if flags & Flag.IN_SEQUENCE else None,
                sequence_out=outbound if flags & Flag.OUT_SEQUENCE else None,
            )
        pile.add(records)


def write(entries: Entries, sync_id: int, max_length: int) -> Iterator[tuple[bytes, NDArray[np.intp]]]:
    """Version 1 datagrams of at most `max_length` bytes, each with the places of its entries in what was handed in."""
    plain = np.ones(len(entries), np.bool_)
    plain[list(entries.extras)] = False
    for version in (4, 6):
        places = np.flatnonzero(plain & (entries.rows["version"] == version))
        records = to_records(entries.rows[places], version)
        most = min(_MOST_RECORDS, (max_length - _HEADER.size) // records.dtype.itemsize)
        for first in range(0, len(records), most):
            part = records[first : first + most]
            yield _datagram(part.tobytes(), len(part), sync_id), places[first : first + most]
    yield from _write_extras(entries, sync_id, max_length)


def _datagram(body: bytes, count: int, sync_id: int) -> bytes:
    return _HEADER.pack(0, sync_id, _HEADER.size + len(body), count, 1, 0) + body


def _write_extras(entries: Entries, sync_id: int, max_length: int) -> Iterator[tuple[bytes, NDArray[np.intp]]]:
    body, places = b"", list[int]()
    for place in sorted(entries.extras):
        record = _record(entries.rows[place], entries.extras[place])
        padding = b"\0" * (-len(body) % 4)
        if places and (
            _HEADER.size + len(body) + len(padding) + len(record) > max_length or len(places) == _MOST_RECORDS
        ):
            yield _datagram(body, len(places), sync_id), np.array(places, np.intp)
            body, places, padding = b"", [], b""
        body += padding + record
        places.append(place)
    if places:
        yield _datagram(body, len(places), sync_id), np.array(places, np.intp)


def _record(row: np.void, extra: Extra) -> bytes:
    """A record with options; the last of a datagram is not padded."""
    tail = options.pack(extra)
    record = to_records(np.array([row]), int(row["version"]))
    record["size"] += len(tail)
    record["flags"] |= np.uint32(options.sequence_flags(extra))
    return bytes(record.tobytes() + tail)
