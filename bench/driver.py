"""The driver's user half: a stream of flows through one program, and what each packet cost in CPU time."""

from __future__ import annotations

import struct
import time
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bench import build
from bench.frames import Frame
from bench.net import Net
from piranha.dataplane.ebpf.object import BpfObject
from piranha.dataplane.ebpf.syscall import prog_test_run

Hook = Literal["xdp", "tc"]

FILL = 0x85EBCA6B
"""The permutation in which tables are filled; no look-up uses it."""

_DRIVER = np.dtype(
    [
        ("counter", "<u8"),
        ("multiplier", "<u4"),
        ("mask", "<u4"),
        ("flows", "<u4"),
        ("network", "<u4"),
        ("client_at", "<u4"),
        ("port_at", "<u4"),
        ("services", "<u4"),
        ("vip", "<u4"),
        ("vip_at", "<u4"),
        ("depends_at", "<u4"),
        ("frame_length", "<u4"),
        ("pad", "<u4"),
        ("header", "<u8", (10,)),
    ]
)


@dataclass(frozen=True, slots=True)
class Stream:
    """Packets of one frame over `flows` flows (and as many VIPs as there are services)."""

    frame: Frame
    flows: int
    services: int = 1
    hook: Hook = "xdp"


@dataclass(frozen=True, slots=True)
class Run:
    """What one run says: CPU nanoseconds a packet, driver included, and the last packet's verdict and bytes."""

    ns: float
    verdict: int
    packet: bytes


class Driver:
    """The loaded driver; one for a process, since the programs under test share the device and the namespace."""

    def __init__(self, net: Net) -> None:
        self._object = BpfObject(build.DRIVER)
        self._object.btf.check(_DRIVER, "driver")
        self._object.load()
        self._state = self._object.map("driver").array(_DRIVER)
        self._contexts: dict[Hook, bytearray] = {"xdp": bytearray(24), "tc": bytearray(192)}
        struct.pack_into("=I", self._contexts["xdp"], 12, net.ifindex)
        struct.pack_into("=I", self._contexts["tc"], 40, net.ifindex)

    def idle(self, hook: Hook) -> int:
        """The program whose cost is the driver's own."""
        return self._object.program_fd(f"idle_{hook}")

    @property
    def growing(self) -> int:
        """Idle, but leaves a frame 20 bytes longer behind."""
        return self._object.program_fd("grow_xdp")

    @property
    def parsing(self) -> int:
        """Reads the headers and does nothing."""
        return self._object.program_fd("parse_xdp")

    def run(self, program: int, stream: Stream, packets: int, *, multiplier: int = FILL, start: int = 0) -> Run:
        """`packets` packets, from place `start` of the permutation on; as many as there are flows: each flow once."""
        state, frame = self._state[0], stream.frame
        state["counter"], state["multiplier"] = start, multiplier
        state["flows"], state["mask"] = stream.flows, (1 << (stream.flows - 1).bit_length()) - 1
        state["network"], state["client_at"], state["port_at"] = frame.network, frame.client_at, frame.port_at
        state["services"], state["vip"], state["vip_at"] = stream.services, frame.vip, frame.vip_at
        state["depends_at"], state["frame_length"] = frame.depends_at, len(frame.raw)
        state["header"] = np.frombuffer(frame.raw[:80], "<u8")
        self._object.map(f"{stream.hook}_target").update_fd(bytes(4), program)
        drive, context = self._object.program_fd(f"drive_{stream.hook}"), bytearray(self._contexts[stream.hook])
        if stream.hook == "xdp":
            struct.pack_into("=I", context, 4, len(frame.raw))
        before = time.thread_time_ns()
        result = prog_test_run(drive, frame.raw, context, repeat=packets)
        ns = (time.thread_time_ns() - before) / packets
        return Run(ns, result.retval, result.data_out)

    def close(self) -> None:
        self._object.close()
