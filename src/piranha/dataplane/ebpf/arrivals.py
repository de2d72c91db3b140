"""Connection sync, the way in: entries from elsewhere are put into the live table, bound to destinations of ours.

The kernel program `sync_in` writes them, with the code that packets use; a batch takes about a microsecond an entry.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from piranha.dataplane.ebpf import abi, extras
from piranha.dataplane.ebpf.destinations import DestinationIndex, keeps_port, persistence
from piranha.dataplane.ebpf.object import BpfObject
from piranha.dataplane.ebpf.syscall import prog_test_run
from piranha.dataplane.ebpf.tables import Tables
from piranha.dataplane.exchange import Entries, Flag, is_ipv4
from piranha.model.service import Protocol

OBJECT = Path(__file__).parent / "objects" / "sync.bpf.o"
TEMPLATE_S = 180
"""Life of a template that comes without a time (IPVS: IP_VS_SYNC_CONN_TIMEOUT)."""
_TEMPLATE_STATES = 2

RECORD = np.dtype(
    [
        ("caddr", *abi.ADDR),
        ("vaddr", *abi.ADDR),
        ("cport", ">u2"),
        ("vport", ">u2"),
        ("life", "<u4"),
        ("dest", "<u4"),
        ("timeout", "<u4"),
        ("span", "<u4"),
        ("outcome", "<u2"),
        ("keep", "<u2"),
        ("slot", "<u4"),
        ("pad", "<u4"),
    ]
)
"""`struct sync_record` of bpf/sync.h."""


class Outcome(IntEnum):
    """What became of an entry; the first eight are `enum sync_outcome` of bpf/sync.h."""

    MADE = 0
    UPDATED = 1
    REPLACED = 2
    STALE = 3
    KNOWN = 4
    NO_DESTINATION = 5
    FULL = 6
    RACE = 7
    INVALID = 8


_IN_TABLE = (Outcome.MADE, Outcome.UPDATED, Outcome.REPLACED)


@dataclass(frozen=True, slots=True)
class Taken:
    """`outcomes` by row of what was handed in; `slots` of those that are now in the table."""

    outcomes: NDArray[np.uint8]
    slots: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, np.intp))

    def count(self, outcome: Outcome) -> int:
        return int((self.outcomes == outcome).sum())

    @property
    def homeless(self) -> NDArray[np.intp]:
        """Rows whose destination is not there (yet)."""
        return np.flatnonzero(self.outcomes == Outcome.NO_DESTINATION)


class Arrivals:
    """The way into one plane's table. Loads its program on first use."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._index: DestinationIndex | None = None
        self._states = np.zeros(256, np.uint16)
        self._states[Protocol.TCP], self._states[Protocol.UDP] = len(abi.TCP_STATES), 1
        self._states[Protocol.SCTP] = len(abi.SCTP_STATES)
        self._object = _load(tables)
        self._program = self._object.program_fd("sync_in")
        records = self._object.map("sync_records")
        self.batch = records.max_entries
        self._records: NDArray[np.void] = records.array(RECORD)
        self._calls: NDArray[np.void] = self._object.map("sync_calls").array(abi.CALL)

    def services_changed(self) -> None:
        """Services or destinations came or went: they are looked up anew with the next entries."""
        self._index = None

    def take(self, entries: Entries, *, keep: bool = False) -> Taken:
        """Put them into the table. `keep` leaves an entry that is there, and not expired, as it is."""
        rows = entries.rows
        outcomes = np.full(len(rows), Outcome.INVALID, np.uint8)
        valid = np.flatnonzero(self._acceptable(rows) & self._has_known_engine(entries))
        if self._index is None:
            self._index = DestinationIndex(self._tables)
        dests = self._index.find(rows[valid])
        outcomes[valid[dests == 0]] = Outcome.NO_DESTINATION
        bound, dests = valid[dests != 0], dests[dests != 0]
        slots = []
        for first in range(0, len(bound), self.batch):
            part = slice(first, first + self.batch)
            records = self._prepare(rows[bound[part]], dests[part], keep)
            if entries.extras:
                self._give_calls(records, entries, bound[part])
            records = self._run(records)
            outcomes[bound[part]] = records["outcome"]
            slots.append(records["slot"][np.isin(records["outcome"], _IN_TABLE)].astype(np.intp))
        for place, extra in entries.extras.items():
            if extra.sequence_out is not None and outcomes[place] in _IN_TABLE:
                extras.write_session(self._tables, rows[place], extra.sequence_out)
        return Taken(outcomes, np.concatenate(slots) if slots else np.zeros(0, np.intp))

    def close(self) -> None:
        self._object.close()

    def _acceptable(self, rows: NDArray[np.void]) -> NDArray[np.bool_]:
        """Protocols and states that the plane has, as IPVS checks them; nothing that it cannot keep."""
        flags = rows["flags"]
        template = (flags & Flag.TEMPLATE) != 0
        states = np.where(template, _TEMPLATE_STATES, self._states[rows["protocol"]])
        odd = (flags & (Flag.ONE_PACKET | Flag.NO_CLIENT_PORT)) != 0
        known = (self._states[rows["protocol"]] != 0) | (template & (rows["protocol"] == Protocol.IP))
        same_family = is_ipv4(rows["client"]) == (rows["version"] == 4)
        return np.asarray(known & ~odd & same_family & (rows["state"] < states), np.bool_)

    def _has_known_engine(self, entries: Entries) -> NDArray[np.bool_]:
        """Whether a template's persistence engine, where it has one, is one of ours."""
        known = np.ones(len(entries), np.bool_)
        for place, extra in entries.extras.items():
            template = bool(entries.rows["flags"][place] & Flag.TEMPLATE)
            if template and (extra.engine or extra.engine_data):
                known[place] = extra.engine == extras.SIP and bool(extra.engine_data)
        return known

    def _give_calls(self, records: NDArray[np.void], entries: Entries, places: NDArray[np.intp]) -> None:
        """The calls of those records that are templates of one, at the records' own indices."""
        for index, place in enumerate(places.tolist()):
            extra = entries.extras.get(place)
            if extra is not None and extra.engine_data and entries.rows["flags"][place] & Flag.TEMPLATE:
                records["life"][index] |= np.uint32(abi.CONN_CALL << 16)
                self._calls[index] = extras.pack_call(extra.engine_data)[0]

    def _prepare(self, rows: NDArray[np.void], dests: NDArray[np.uint32], keep: bool) -> NDArray[np.void]:
        records = np.zeros(len(rows), RECORD)
        flags = rows["flags"]
        template = (flags & Flag.TEMPLATE) != 0
        records["caddr"], records["vaddr"] = rows["client"], rows["virtual"]
        records["cport"], records["vport"] = rows["client_port"], rows["virtual_port"]
        ours = np.where(template, abi.CONN_TEMPLATE, 0)
        ours |= np.where(~template & keeps_port(self._tables, rows, dests), abi.CONN_KEEP_PORT, 0)
        ours |= np.where((flags & Flag.INACTIVE) != 0, abi.CONN_INACTIVE, 0)
        records["life"] = (
            rows["protocol"].astype(np.uint32) | rows["state"].astype(np.uint32) << 8 | ours.astype(np.uint32) << 16
        )
        records["dest"], records["keep"] = dests, keep
        timeout = self._timeouts(rows, template)
        records["timeout"] = timeout
        span = persistence(self._tables, dests)
        records["span"] = np.where(template, np.where(span != 0, span, timeout), 0)
        marks = template & (rows["protocol"] == 0) & (rows["version"] == 6)
        if marks.any():  # IPVS has the mark in the first four bytes, our table in the last
            virtual = records["vaddr"]
            virtual[marks, 12:] = virtual[marks, :4]
            virtual[marks, :4] = 0
        return records

    def _timeouts(self, rows: NDArray[np.void], template: NDArray[np.bool_]) -> NDArray[np.uint32]:
        """In jiffies: what the entry says, else its state's own."""
        s, hz = self._tables.settings[0], self._tables.hz
        state = rows["state"] & (abi.STATES - 1)
        own = np.full(len(rows), int(s["udp_timeout"]), np.uint64)
        for protocol, column in ((Protocol.TCP, "tcp_timeout"), (Protocol.SCTP, "sctp_timeout")):
            of = rows["protocol"] == protocol
            own[of] = s[column][state[of]]
        own[template] = TEMPLATE_S * hz
        said = rows["timeout_s"].astype(np.uint64) * np.uint64(hz)
        return np.clip(np.where(said != 0, said, own), 1, 2**31 - 1).astype(np.uint32)

    def _run(self, records: NDArray[np.void]) -> NDArray[np.void]:
        count = len(records)
        self._records[:count] = records
        prog_test_run(self._program, ctx_in=bytearray(count.to_bytes(4, "little")))
        return self._records[:count].copy()


def _load(tables: Tables) -> BpfObject:
    bpf_object = BpfObject(OBJECT)
    bpf_object.btf.check(RECORD, "sync_record")
    for name in bpf_object.maps:
        if name in tables.maps:
            bpf_object.reuse(name, tables.maps[name].fd)
    bpf_object.load()
    return bpf_object
