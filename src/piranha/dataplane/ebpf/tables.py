"""The kernel's tables: loaded or adopted, pinned, and mapped into our memory. Knows layouts, no meaning."""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from piranha.dataplane.ebpf import abi
from piranha.dataplane.ebpf.btf import Btf, abi_hash
from piranha.dataplane.ebpf.map import BpfMap
from piranha.dataplane.ebpf.object import BpfObject
from piranha.dataplane.ebpf.pins import Pins
from piranha.dataplane.ebpf.programs import PinnedPrograms
from piranha.dataplane.ebpf.syscall import possible_cpus, prog_test_run

logger = logging.getLogger(__name__)

OBJECT = Path(__file__).parent / "objects" / "lb.bpf.o"

# Slots for each connection that the table shall hold. Half of them are air: then most entries lie in the way that is
# looked at first, and a packet waits for one cache miss, not two (`make bench`: a tenth less a packet than with 4/3).
SLOTS_PER_CONNECTION = 2
# Words of the reverse index for each connection: half as many again as slots, so that its short lines never fill first.
REVERSE_WORDS_PER_CONNECTION = 3
# Of so many connections one may be the control connection of an FTP session that transferred something.
CONNECTIONS_PER_FTP_CONTROL = 32
# The ticker walks the whole table once in this many ticks.
TICKS_PER_WALK = 50
TICK_MS = 20
# The lease of the VIPs belongs to pulse and is shared with its gate (bpf/gate.h).
GATE_MAP = "gate_lease"
_AS_WALKED = 0xFFFFFFFF
# Programs that user space never attaches to a hook.
SYSCALL_PROGRAMS = ("sweep", "ticker_start", "weigh")
_PINNED_PROGRAMS = ("sweep", "weigh")
"""Programs that another process needs to read or edit the tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """How much the tables hold. Fixed when they are made; adopted tables keep theirs."""

    connections: int = 524_288
    services: int = 16_384
    destinations: int = 65_536
    calls: int = 131_072
    slot_words: int = 1_048_576

    def entries(self) -> dict[str, int]:
        """max_entries by map."""
        slots = self.connections * SLOTS_PER_CONNECTION
        lines = max(4, -(-slots // abi.CONN_WAYS))
        return {
            "conn_tags": lines,
            "conns": lines * abi.CONN_WAYS,
            "rev_tags": max(4, self.connections * REVERSE_WORDS_PER_CONNECTION // abi.REV_WAYS),
            "dests": self.destinations,
            "dest_stats": self.destinations,
            "nexthops": self.destinations,
            "services": self.services,
            "service_ids": self.services,
            "servers": self.destinations,
            "calls": self.calls,
            "service_stats": self.services,
            "cut_room": possible_cpus(),
            "slots": max(1, self.slot_words // abi.SLOT_WORDS),
            "ftp_controls": max(64, self.connections // CONNECTIONS_PER_FTP_CONTROL),
        }


class Programs(Protocol):
    """Loaded programs by name; descriptors are valid until `close()`."""

    def program_fd(self, name: str) -> int: ...

    def close(self) -> None: ...


class Tables:
    """Views of every table, live and writable, and the programs' descriptors.

    `adopted` says that a table from an earlier life was found and goes on. All views stay valid after `close()`.
    """

    def __init__(self, programs: Programs, maps: dict[str, BpfMap], *, adopted: bool, abi_id: str) -> None:
        self.adopted = adopted
        self.abi = abi_id
        self.maps = maps
        self._programs = programs
        self.settings: NDArray[np.void] = maps["settings"].array(abi.SETTINGS)
        self.filter: NDArray[np.void] = maps["filter"].array(abi.FILTER_LINE)
        self.tags: NDArray[np.uint32] = maps["conn_tags"].array(abi.CONN_LINE)["tag"].reshape(-1)
        self.conns: NDArray[np.void] = maps["conns"].array(abi.CONN)
        self.dests: NDArray[np.void] = maps["dests"].array(abi.DEST)
        self.nexthops: NDArray[np.void] = maps["nexthops"].array(abi.NEXTHOP)
        self.client_routes: NDArray[np.void] = maps["client_routes"].array(abi.CLIENT_ROUTE)
        self.services: NDArray[np.void] = maps["services"].array(abi.SERVICE)
        self.slots: NDArray[np.uint32] = maps["slots"].array(abi.SLOT_LINE)["word"].reshape(-1)
        self.mark_rules: NDArray[np.void] = maps["mark_rules"].array(abi.MARK_RULE)
        self.defence: NDArray[np.void] = maps["defence"].array(abi.DEFENCE)
        self.locality: NDArray[np.void] = maps["locality"].array(abi.LOCALITY)
        self.service_stats: NDArray[np.void] = maps["service_stats"].array(abi.DEST_STATS)
        if not adopted:
            self._initialise()

    def _initialise(self) -> None:
        s = self.settings[0]
        hz = ticks_per_second()
        s["key"] = [secrets.randbits(64) | 1 for _ in range(6)]
        s["rev_lines"] = self.maps["rev_tags"].max_entries
        s["hz"] = hz
        s["route_shift"] = hz.bit_length()
        s["conn_reuse_mode"] = 1
        s["ftp_ports"][0] = abi.FTP_PORT
        s["rules"] = abi.Rule.PMTU_DISC
        s["icmp_rate"], s["icmp_burst"] = 1000, 100
        s["tcp_timeout"][: len(abi.TCP_STATES)] = [seconds * hz for _, seconds in abi.TCP_STATES]
        s["sctp_timeout"][: len(abi.SCTP_STATES)] = [seconds * hz for _, seconds in abi.SCTP_STATES]
        s["udp_timeout"] = abi.UDP_TIMEOUT_S * hz
        nobody = self.dests[abi.NOBODY]
        nobody["flags"], nobody["method"], nobody["weight"] = abi.DestFlag.PRESENT, abi.METHOD_BYPASS, 1
        defence = self.defence[0]
        defence["capacity"] = defence["room"] = len(self.conns) // SLOTS_PER_CONNECTION
        defence["amemthresh"], defence["am_droprate"] = 1024, 10
        # Last: programs do nothing while this is 0.
        s["conn_lines"] = self.maps["conn_tags"].max_entries

    @property
    def hz(self) -> int:
        return int(self.settings["hz"][0])

    def program(self, name: str) -> int:
        return self._programs.program_fd(name)

    def dest_stats(self, count: int) -> NDArray[np.void]:
        """Counters of the first `count` destinations, summed over CPUs: fields of DEST_STATS as int64."""
        return _summed(self.maps["dest_stats"], count)

    def dest_stats_of(self, index: int) -> dict[str, int]:
        """Counters of one destination, summed over CPUs; reads no other."""
        raw = self.maps["dest_stats"].lookup(index.to_bytes(4, "little")) or b""
        rows = np.frombuffer(raw, abi.DEST_STATS)
        return {name: int(rows[name].sum()) for name in abi.DEST_STATS.names or ()}

    def clear_dest_stats(self, index: int) -> None:
        stats = self.maps["dest_stats"]
        stats.update(index.to_bytes(4, "little"), bytes(len(stats.lookup(index.to_bytes(4, "little")) or b"")))

    def reasons(self) -> dict[str, int]:
        """Packets refused, handed on or answered, by reason, since the tables were made."""
        totals = self.maps["reasons"].percpu(np.dtype("<u8")).sum(axis=1)
        return {name: int(totals[number]) for number, name in enumerate(abi.reason_names(_btf()))}

    def sweep(self, first_line: int, lines: int) -> tuple[int, int, int]:
        """Walk `lines` lines of the connection table in the kernel; (alive, freed, now in jiffies)."""
        args = np.zeros(1, abi.SWEEP_ARGS)
        args["first_line"], args["lines"] = first_line, lines
        context = bytearray(args.tobytes())
        prog_test_run(self.program("sweep"), ctx_in=context)
        out = np.frombuffer(context, abi.SWEEP_ARGS)[0]
        return int(out["live"]), int(out["expired"]), int(out["now"])

    def weigh(self, live: int | None = None) -> None:
        """Let the kernel decide which defences are in force, with so many entries alive (None: as its own walk found)."""
        args = np.zeros(1, abi.WEIGH_ARGS)
        args["live"] = _AS_WALKED if live is None else live
        prog_test_run(self.program("weigh"), ctx_in=bytearray(args.tobytes()))

    def jiffies(self) -> int:
        """The kernel's clock that `expires` is written in, low 32 bits."""
        return self.sweep(0, 0)[2]

    def start_ticker(self) -> bool:
        """Let the kernel sweep by itself; False when it refuses the timer (lvsd sweeps then)."""
        args = np.zeros(1, abi.TICKER_ARGS)
        args["period_ms"] = TICK_MS
        args["lines"] = max(1, -(-self.maps["conn_tags"].max_entries // TICKS_PER_WALK))
        for attempt in range(20):
            context = bytearray(args.tobytes())
            run = prog_test_run(self.program("ticker_start"), ctx_in=context)
            result = int(np.frombuffer(context, abi.TICKER_ARGS)["result"][0])
            if not result and not run.retval:
                return True
            time.sleep(0.001 * attempt)
        logger.warning("the kernel refuses its timer; lvsd sweeps the connection table itself error=%d", -result)
        return False

    def close(self) -> None:
        """Give the descriptors back; pinned tables and attached programs go on."""
        self._programs.close()
        for bpf_map in self.maps.values():
            bpf_map.close()


def _summed(bpf_map: BpfMap, count: int) -> NDArray[np.void]:
    rows = bpf_map.percpu_head(abi.DEST_STATS, count)
    total = np.zeros(count, [(name, "i8") for name in abi.DEST_STATS.names or ()])
    for name in abi.DEST_STATS.names or ():
        total[name] = rows[name].sum(axis=1)
    return total


def ticks_per_second() -> int:
    """The kernel's HZ: the coarse clocks tick with it."""
    return round(1 / time.clock_getres(6))  # CLOCK_MONOTONIC_COARSE


@functools.cache
def _btf() -> Btf:
    parsed = Btf.from_elf(OBJECT.read_bytes())
    abi.check(parsed)
    return parsed


def _edition() -> str:
    """Names the object and the mirror as they are, byte for byte: cheaper to compare than the ABI, and stricter."""
    digest = hashlib.sha256(OBJECT.read_bytes())
    for name, layout in abi.LAYOUTS.items():
        digest.update(f"{name} {layout.descr}".encode())
    return digest.hexdigest()[:16]


def open_tables(pins: Pins | None, capacity: Capacity) -> Tables:
    """Adopt the pinned tables of our ABI, or make new ones and pin them; then load the programs on them.

    With `pins` None nothing is pinned: the tables live as long as the process (tests, benchmarks).
    Raises PiranhaError when the kernel refuses, AbiMismatch when object and mirror differ.
    """
    btf = _btf()
    bpf_object = BpfObject(OBJECT)
    shared = {name: spec for name, spec in bpf_object.maps.items() if "." not in name and name != GATE_MAP}
    abi_id = abi_hash(shared.values(), (btf.layout(name) for name in abi.LAYOUTS))
    found: dict[str, BpfMap] = {}
    if pins is not None:
        paths = pins.maps(abi_id)
        if set(paths) >= set(shared):
            found = {name: BpfMap.from_pin(paths[name]) for name in shared}
        elif paths:
            pins.remove_abi(abi_id)  # a start that was cut short before anything was attached
    for name, entries in capacity.entries().items():
        if not found:
            bpf_object.set_max_entries(name, entries)
    for name, bpf_map in found.items():
        bpf_object.reuse(name, bpf_map.fd)
    shut_for_good = False
    if pins is not None:
        lease = pins.gate_map(bpf_object.maps[GATE_MAP])
        shut_for_good = lease is None
        if lease is not None:
            bpf_object.reuse(GATE_MAP, lease)
            os.close(lease)
    bpf_object.load()
    if shut_for_good:
        # A lease that cannot be read must not be trusted: XDP leaves every packet to TC, where the gate is first.
        logger.warning("the gate in the kernel is another version's: XDP stands aside; restart pulse, then lvsd")
        (enabled,) = [m.offset for m in btf.layout(GATE_MAP).members if m.name == "enabled"]
        bpf_object.map(GATE_MAP).mmap()[enabled] = 1
    maps = found or {name: bpf_object.map(name) for name in shared}
    tables = Tables(bpf_object, maps, adopted=bool(found), abi_id=abi_id)
    if pins is not None:
        pins.set_edition(abi_id, None)
        if not found:
            for name, bpf_map in maps.items():
                bpf_map.pin(pins.map_path(abi_id, name))
        for name in _PINNED_PROGRAMS:
            pins.replace(bpf_object.program_fd(name), pins.program_path(abi_id, name))
        # Last: who finds the edition finds everything.
        pins.set_edition(abi_id, _edition())
    return tables


def pinned_tables(pins: Pins) -> Tables | None:
    """The tables as an earlier life left them, without loading anything: its own programs read the kernel's clock.

    None where there are none, or where another edition of the object made them; `open_tables` takes those over.
    """
    abi_id = pins.abi_of_edition(_edition())
    if abi_id is None:
        return None
    maps = {name: BpfMap.from_pin(path) for name, path in pins.maps(abi_id).items()}
    return Tables(PinnedPrograms(pins, abi_id), maps, adopted=True, abi_id=abi_id)
