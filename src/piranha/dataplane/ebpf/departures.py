"""Connection sync, the way out: which entries of the live table a listener has not been told of yet.

The table itself is the queue. What a listener was told stands beside it, four words a slot; a walk compares the two and
yields what differs, so nothing is lost when a listener is slow, and packets pay nothing. Level, not edge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from piranha.dataplane.ebpf import abi, extras
from piranha.dataplane.ebpf.tables import Tables
from piranha.dataplane.exchange import DIRECT, ENTRY, MASQUERADE, TUNNEL, Entries, Flag, is_ipv4

_CHUNK_SLOTS = 16_384  # a mebibyte of entries: what one step reads stays in the cache
_CREATED_MIX, _DEST_MIX = np.uint32(0x9E3779B1), np.uint32(0x85EBCA6B)
_LIFE, _DEST, _EXPIRES, _PACKETS, _CONTROL, _CREATED = 1, 2, 3, 4, 5, 7  # words of the second half of `struct conn`
_METHODS = np.array([MASQUERADE, DIRECT | Flag.NO_OUTPUT, TUNNEL | Flag.NO_OUTPUT, MASQUERADE], "<u4")
_TOLD = np.dtype([("who", "<u4"), ("life", "<u4"), ("expires", "<u4"), ("packets", "<u4")])


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What a rule sees of some live entries. `told_*` is what the listener knows of those that are `known`.

    `left` and `told_left` count jiffies until the entry here and the listener's expire; `in_persistence` are
    connections that a template made.
    """

    protocol: NDArray[np.uint8]
    state: NDArray[np.uint8]
    template: NDArray[np.bool_]
    in_persistence: NDArray[np.bool_]
    session: NDArray[np.bool_]
    packets: NDArray[np.uint32]
    left: NDArray[np.int32]
    known: NDArray[np.bool_]
    told_state: NDArray[np.uint8]
    told_packets: NDArray[np.uint32]
    told_left: NDArray[np.int32]
    hz: int


Rule = Callable[[Columns], NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class Due:
    """Entries to tell of, and the receipt for `Departures.told`."""

    entries: Entries
    slots: NDArray[np.intp]
    receipt: NDArray[np.void]


class Departures:
    """One listener's view of the table. `rule` decides which entries are worth telling, and when again."""

    def __init__(self, tables: Tables, rule: Rule) -> None:
        self.rule = rule
        self._tables = tables
        self._told = np.zeros(len(tables.tags), _TOLD)
        conns = tables.conns
        # The second half of an entry has all that a comparison needs; 32 bytes are copied at once.
        self._halves = conns.view(np.dtype((np.void, 32))).reshape(-1, 2)[:, 1]
        self._hz = tables.hz

    def forget(self) -> None:
        """The listener knows nothing any more."""
        self._told["who"] = 0

    def pieces(self) -> Iterator[Due | None]:
        """Once through the table, what is due in each piece of it, or None; the caller may pause between them."""
        slots = len(self._tables.tags)
        for first in range(0, slots, _CHUNK_SLOTS):
            yield self._look(first, min(first + _CHUNK_SLOTS, slots))

    def told(self, due: Due, places: NDArray[np.intp] | slice = slice(None)) -> None:
        """The listener has been told of these, or of some of them by their places."""
        self._told[due.slots[places]] = due.receipt[places]

    def learned(self, slots: NDArray[np.intp]) -> None:
        """These entries came from there: the listener knows them as they are."""
        half, who = self._read(slots, self._tables.tags[slots])
        self._told[slots] = _receipt(half, who)

    def _read(self, slots: NDArray[np.intp], tags: NDArray[np.uint32]) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Second halves of entries, shape (n, 8), and a word that names each one's connection."""
        half = self._halves[slots].view("<u4").reshape(-1, 8)
        return half, tags ^ half[:, _CREATED] * _CREATED_MIX ^ half[:, _DEST] * _DEST_MIX

    def _look(self, first: int, last: int) -> Due | None:
        tags = self._tables.tags[first:last]
        inside = np.flatnonzero((tags & 3) == abi.TAG_VALID)
        if not inside.size:
            return None
        slots = inside + first
        here = tags[inside]
        now = np.uint32(self._tables.jiffies())
        half, who = self._read(slots, here)
        told = self._told[slots]
        columns, alive = self._columns(half, who, told, now)
        due = np.flatnonzero(alive & self.rule(columns))
        if not due.size:
            return None
        return self._tell(slots[due], here[due], half[due], who[due], now)

    def _columns(
        self, half: NDArray[np.uint32], who: NDArray[np.uint32], told: NDArray[np.void], now: np.uint32
    ) -> tuple[Columns, NDArray[np.bool_]]:
        life, left = half[:, _LIFE], (half[:, _EXPIRES] - now).view(np.int32)
        flags = life >> np.uint32(16)
        columns = Columns(
            protocol=life.astype(np.uint8),
            state=(life >> np.uint32(8)).astype(np.uint8),
            template=(flags & abi.CONN_TEMPLATE) != 0,
            in_persistence=half[:, _CONTROL] != 0,
            session=(flags & abi.CONN_FTP) != 0,
            packets=half[:, _PACKETS],
            left=left,
            known=told["who"] == who,
            told_state=(told["life"] >> np.uint32(8)).astype(np.uint8),
            told_packets=told["packets"],
            told_left=(told["expires"] - now).view(np.int32),
            hz=self._hz,
        )
        return columns, (left > 0) & ((flags & abi.CONN_RETIRED) == 0)

    def _tell(
        self,
        slots: NDArray[np.intp],
        tags: NDArray[np.uint32],
        half: NDArray[np.uint32],
        who: NDArray[np.uint32],
        now: np.uint32,
    ) -> Due | None:
        """The entries whole; those that changed hands while they were read are left for the next walk."""
        rows = self._tables.conns[slots]
        same = (self._tables.tags[slots] == tags) & (rows["dest"] == half[:, _DEST])
        # No message can carry two families, nor a connection that bypasses all servers: they stay with this director.
        crossing = is_ipv4(rows["caddr"]) != is_ipv4(self._tables.dests["addr"][rows["dest"]])
        home = crossing | (rows["dest"] == 0)
        self._told[slots[home]] = _receipt(half[home], who[home])
        fit = same & ~home
        if not fit.all():
            slots, half, who, rows = slots[fit], half[fit], who[fit], rows[fit]
            if not slots.size:
                return None
        found = extras.read(self._tables, slots, rows, half[:, _LIFE] >> np.uint32(16))
        return Due(Entries(self._entries(rows, half, now), found), slots, _receipt(half, who))

    def _entries(self, rows: NDArray[np.void], half: NDArray[np.uint32], now: np.uint32) -> NDArray[np.void]:
        life = half[:, _LIFE]
        flags = life >> np.uint32(16)
        dests = self._tables.dests[half[:, _DEST]]
        marks = self._tables.services["key"]["mark"][dests["service"]]
        template = (flags & abi.CONN_TEMPLATE) != 0
        entries = np.zeros(len(rows), ENTRY)
        entries["client"], entries["virtual"], entries["server"] = rows["caddr"], rows["vaddr"], dests["addr"]
        entries["client_port"], entries["virtual_port"] = rows["cport"], rows["vport"]
        own = ((flags & abi.CONN_KEEP_PORT) != 0) | (dests["port"] == 0) | (template & (rows["vport"] == 0))
        below = (flags & abi.CONN_PORT_BELOW) != 0
        entries["server_port"] = np.where(own, rows["vport"], dests["port"] - below)
        entries["protocol"], entries["state"] = life, (life >> np.uint32(8)) & 0xFF
        entries["mark"] = marks
        left = (half[:, _EXPIRES] - now).view(np.int32)
        entries["timeout_s"] = np.maximum(-(-left // self._hz), 1)
        entries["flags"] = (
            _METHODS[flags & abi.CONN_METHOD]
            | np.where((flags & abi.CONN_INACTIVE) != 0, np.uint32(Flag.INACTIVE), np.uint32(0))
            | np.where(template, np.uint32(Flag.TEMPLATE), np.uint32(0))
            | np.where((flags & abi.CONN_NO_CPORT) != 0, np.uint32(Flag.NO_CLIENT_PORT), np.uint32(0))
        )
        v4 = is_ipv4(rows["caddr"])
        entries["version"] = np.where(v4, 4, 6)
        _move_marks(entries, template & (entries["protocol"] == 0) & ~v4)
        return entries


def _move_marks(entries: NDArray[np.void], which: NDArray[np.bool_]) -> None:
    """A mark's template of IPv6: our table has the mark in the last four bytes, IPVS in the first."""
    if which.any():
        virtual = entries["virtual"]
        virtual[which, :4] = virtual[which, 12:]
        virtual[which, 4:] = 0


def _receipt(half: NDArray[np.uint32], who: NDArray[np.uint32]) -> NDArray[np.void]:
    receipt = np.empty(len(who), _TOLD)
    receipt["who"], receipt["life"] = who, half[:, _LIFE]
    receipt["expires"], receipt["packets"] = half[:, _EXPIRES], half[:, _PACKETS]
    return receipt
