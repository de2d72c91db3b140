"""The eBPF plane's tables as plain memory: what user space writes to the kernel, without a kernel."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from piranha.dataplane.ebpf import abi
from piranha.dataplane.ebpf.tables import Tables

HZ = 250


class MemoryMap:
    """The calls of BpfMap that the records need; values are bytes."""

    def __init__(self) -> None:
        self.entries: dict[bytes, bytes] = {}

    def update(self, key: bytes, value: bytes) -> None:
        self.entries[bytes(key)] = bytes(value)

    def delete(self, key: bytes) -> bool:
        return self.entries.pop(bytes(key), None) is not None

    def items(self, key: np.dtype[Any], value: np.dtype[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        return (
            np.frombuffer(b"".join(self.entries), key),
            np.frombuffer(b"".join(self.entries.values()), value),
        )


@dataclass
class MemoryTables:
    """Duck-typed `Tables`; `now` is the kernel's clock in jiffies."""

    destinations: int = 64
    services_size: int = 16
    slot_words: int = 512
    lines: int = 8
    adopted: bool = False
    now: int = 1_000_000
    maps: dict[str, MemoryMap] = field(
        default_factory=lambda: {name: MemoryMap() for name in ("service_ids", "servers")}
    )

    def __post_init__(self) -> None:
        self.settings = np.zeros(1, abi.SETTINGS)
        self.settings["rules"] = abi.Rule.PMTU_DISC
        self.filter = np.zeros((1 << abi.FILTER_BITS) * 2 // 512, abi.FILTER_LINE)
        self.tags = np.zeros(self.lines * abi.CONN_WAYS, "<u4")
        self.conns = np.zeros(self.lines * abi.CONN_WAYS, abi.CONN)
        self.dests = np.zeros(self.destinations, abi.DEST)
        self.services = np.zeros(self.services_size, abi.SERVICE)
        self.slots = np.zeros(self.slot_words, "<u4")
        self.defence = np.zeros(1, abi.DEFENCE)
        self.locality = np.zeros(1, abi.LOCALITY)
        self.mark_rules = np.zeros(16, abi.MARK_RULE)
        self.service_stats = np.zeros(self.services_size, abi.DEST_STATS)
        self.stats = np.zeros(self.destinations, [(name, "i8") for name in abi.DEST_STATS.names or ()])
        self.hz = HZ

    def dest_stats(self, count: int) -> NDArray[np.void]:
        return self.stats[:count].copy()

    def dest_stats_of(self, index: int) -> dict[str, int]:
        return {name: int(self.stats[name][index]) for name in self.stats.dtype.names or ()}

    def clear_dest_stats(self, index: int) -> None:
        self.stats[index] = np.zeros((), self.stats.dtype)

    def weigh(self, live: int | None = None) -> None:
        """The kernel half of the defences: there is none."""

    def jiffies(self) -> int:
        return self.now

    @property
    def tables(self) -> Tables:
        return cast(Tables, self)

    def table_of(self, service: int) -> list[int]:
        """The destinations that packets of a service are scheduled from."""
        published = int(self.services["table"][service])
        start, length = published & 0xFFFFFFFF, published >> 32
        return [int(word) for word in self.slots[start + 1 : start + 1 + length]]
