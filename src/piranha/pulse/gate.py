"""The lease gate in the kernel (bpf/gate.bpf.c): claim and drop the lease on the VIPs, hang the gate, read its state.

The lease is renewed by no call from here: the kernel renews it when it sees an active heartbeat leave. So whatever
happens to this process, the VIPs fall silent one lease after its last heartbeat. docs/design/lease.md.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import socket
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from piranha.base.errors import PiranhaError
from piranha.base.paths import Paths
from piranha.dataplane.ebpf import object as bpf_objects
from piranha.dataplane.ebpf.map import BpfMap
from piranha.dataplane.ebpf.object import BpfObject
from piranha.dataplane.ebpf.pins import Pins
from piranha.dataplane.ebpf.syscall import BpfError
from piranha.model.address import IPAddress
from piranha.pulse.gate_hooks import GateHooks, Side

logger = logging.getLogger(__name__)

OBJECT = Path(bpf_objects.__file__).parent / "objects" / "gate.bpf.o"
WORD_BYTES = 4
FOREVER = 2**63 - 1
"""A lease without end, for a director that nobody could relieve."""
COUNTERS = (
    "arp_dropped",
    "ndp_dropped",
    "ipv4_dropped",
    "ipv6_dropped",
    "announcements_dropped",
    "late_heartbeats",
    "foreign_heartbeats",
)
"""Names of `enum gate_counter` in the order of their numbers."""
_MAPS = ("gate_lease", "gate_vips", "gate_counters")
_CLOCK_MONOTONIC_COARSE = 6
_ALL_JIFFIES = 2**64 - 1


class GateLease(ctypes.Structure):
    """`struct gate_lease`, in the memory that the kernel programs read."""

    _fields_ = (
        ("until_ns", ctypes.c_uint64),
        ("until_jiffies", ctypes.c_uint64),
        ("lease_ns", ctypes.c_uint64),
        ("lease_jiffies", ctypes.c_uint64),
        ("active_word", ctypes.c_uint32),
        ("heartbeat_port", ctypes.c_uint16),
        ("enabled", ctypes.c_uint8),
        ("pad", ctypes.c_uint8),
        ("owner", ctypes.c_uint32),
        ("pad2", ctypes.c_uint32),
        ("renewals", ctypes.c_uint64),
        ("renewed_ns", ctypes.c_uint64),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class GateState:
    """What the kernel says of the lease. Times are nanoseconds of CLOCK_BOOTTIME; `until_ns` 0 is no lease.

    `counters`: packets and heartbeats by the names of COUNTERS, since the gate was made.
    """

    enabled: bool
    until_ns: int
    lease_ns: int
    renewals: int
    renewed_ns: int
    counters: dict[str, int]

    def held(self, now_ns: int) -> bool:
        return now_ns < self.until_ns


class Gate:
    """The gate of one director, in the network namespace of the thread that opened it.

    It stays in the kernel, in force, when this process ends; `open` adopts it, lease and all. Nothing here waits.
    """

    def __init__(self, loaded: BpfObject, maps: dict[str, BpfMap], pins: Pins, hooks: GateHooks) -> None:
        self._object = loaded
        self._maps = maps
        self._pins = pins
        self._hooks = hooks
        self._lease = GateLease.from_buffer(maps["gate_lease"].mmap())

    @staticmethod
    def open(paths: Paths, *, use_tcx: bool | None = None) -> Gate:
        """Load the programs on the pinned maps, or on new ones. Attaches nothing. Raises PiranhaError with the mend."""
        pins = Pins(paths.bpffs)
        pins.mount()
        loaded = BpfObject(OBJECT)
        maps: dict[str, BpfMap] = {}
        try:
            for name in _MAPS:
                fd = pins.gate_map(loaded.maps[name])
                if fd is None:
                    # Another version's gate is taken off whole. Its map stays as it is for the XDP program that holds it
                    # on: enabled, and never renewed again, so that every packet takes the way through TC.
                    _remove(pins, use_tcx)
                    fd = pins.gate_map(loaded.maps[name])
                if fd is None:
                    raise PiranhaError("the gate of another version is in the way", mend="run `piranha unload`")
                maps[name] = BpfMap(fd)
                loaded.reuse(name, fd)
            loaded.load()
            return Gate(loaded, maps, pins, GateHooks(pins, use_tcx=use_tcx))
        except BaseException:
            for bpf_map in maps.values():
                bpf_map.close()
            loaded.close()
            raise

    # ---- what it should do ----

    def enable(self, *, active_word: bytes, heartbeat_port: int, lease_ns: int) -> None:
        """Put the gate in force. A heartbeat is active when its first four bytes are `active_word`.

        Only datagrams of this process's user count, that were made on this host, to `heartbeat_port`. A lease that is
        held goes on; without one the gate is shut from this moment.
        """
        if len(active_word) != WORD_BYTES:
            raise ValueError(f"the word of an active heartbeat has {WORD_BYTES} bytes, not {len(active_word)}")
        lease = self._lease
        lease.lease_ns = lease_ns
        # A whole tick less would always be right, but a lease shorter than two ticks then never holds for XDP.
        lease.lease_jiffies = lease_ns * _ticks_per_second() // 1_000_000_000
        lease.active_word = int.from_bytes(active_word, "little")
        lease.heartbeat_port = socket.htons(heartbeat_port)
        lease.owner = os.geteuid()
        lease.enabled = 1

    def disable(self) -> None:
        """Let everything through, as for a director without a partner. The lease is dropped."""
        self.drop()
        self._lease.enabled = 0

    def set_addresses(self, addresses: Iterable[IPAddress]) -> None:
        """Guard these addresses and no others."""
        table = self._maps["gate_vips"]
        wanted, present = {_key(address) for address in addresses}, set(table.keys())
        for key in sorted(wanted - present):
            table.update(key, struct.pack("=I", 1))
        for key in present - wanted:
            table.delete(key)

    def claim(self, until_ns: int) -> None:
        """Take the lease anew: open until then, whatever it was before. FOREVER needs no heartbeats.

        Send an active heartbeat at once: the kernel's fast path waits for the first renewal.
        """
        self._lease.until_jiffies = _ALL_JIFFIES if until_ns >= FOREVER else 0
        self._lease.until_ns = until_ns

    def drop(self) -> None:
        """Give the lease up: from here on nothing answers for a VIP, and no heartbeat under way renews it."""
        self._lease.until_ns = 0
        self._lease.until_jiffies = 0

    def state(self) -> GateState:
        lease = self._lease
        return GateState(
            enabled=bool(lease.enabled),
            until_ns=lease.until_ns,
            lease_ns=lease.lease_ns,
            renewals=lease.renewals,
            renewed_ns=lease.renewed_ns,
            counters=self._counters(),
        )

    def until_ns(self) -> int:
        """The end of the lease as the kernel has it now; costs one read of memory."""
        until: int = self._lease.until_ns
        return until

    def _counters(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for number, name in enumerate(COUNTERS):
            raw = self._maps["gate_counters"].lookup(number.to_bytes(4, "little")) or b""
            found[name] = sum(struct.unpack(f"={len(raw) // 8}Q", raw))
        return found

    # ---- where it hangs ----

    def attach(self, interfaces: Iterable[str]) -> list[str]:
        """Hang the gate on these devices (those that carry VIPs or heartbeats) and on no others.

        Returns what could not be done; call it again, with all of them, when links come and go. Also mends what somebody
        else took away: attachments and pins.
        """
        failures: list[str] = []
        devices: dict[str, int] = {}
        for name in dict.fromkeys(interfaces):
            try:
                devices[name] = socket.if_nametoindex(name)
            except OSError:
                failures.append(f"{name}: there is no such interface; the gate is attached when it appears")
        self._mend_pins()
        programs = {Side.INGRESS: self.program("gate_ingress"), Side.EGRESS: self.program("gate_egress")}
        return failures + self._hooks.converge(programs, devices)

    def detach(self) -> None:
        """Take the gate off every device. Packets are let through from here on."""
        self._hooks.detach_all()

    def attached(self) -> frozenset[str]:
        """The devices on which both programs hang."""
        names = dict(socket.if_nameindex())
        return frozenset(
            names[index] for index, sides in self._hooks.places().items() if len(sides) == len(Side) and index in names
        )

    def program(self, name: str) -> int:
        """The descriptor of a program, valid until `close`."""
        return self._object.program_fd(name)

    def _mend_pins(self) -> None:
        for name, bpf_map in self._maps.items():
            path = self._pins.gate_map_path(name)
            if not path.exists():
                self._pins.replace(bpf_map.fd, path)

    def close(self) -> None:
        """Let go; the gate stays in the kernel and in force."""
        self._hooks.close()
        for bpf_map in self._maps.values():
            bpf_map.close()
        self._object.close()


def unload(paths: Paths) -> bool:
    """Take the gate of this network namespace out of the kernel, whoever put it there; False when there was none."""
    pins = Pins(paths.bpffs)
    if not pins.mounted or not pins.has_gate:
        return False
    # The data plane's XDP program may hold the map on: a lease that nobody renews would keep it aside for ever.
    with contextlib.suppress(BpfError):
        lease = BpfMap.from_pin(pins.gate_map_path("gate_lease"))
        lease.update(bytes(lease.key_size), bytes(lease.value_size))
        lease.close()
    _remove(pins, None)
    return True


def boot_time_ns() -> int:
    """The clock of the lease: it goes on while the machine is suspended."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def _remove(pins: Pins, use_tcx: bool | None) -> None:
    hooks = GateHooks(pins, use_tcx=use_tcx)
    try:
        hooks.detach_all()
    finally:
        hooks.close()
    pins.remove_gate()


def _key(address: IPAddress) -> bytes:
    return b"\0" * 10 + b"\xff\xff" + address.packed if isinstance(address, IPv4Address) else address.packed


def _ticks_per_second() -> int:
    """The kernel's HZ: the coarse clocks tick with it."""
    return round(1 / time.clock_getres(_CLOCK_MONOTONIC_COARSE))
