"""Next-hop records: what the resolver found, written where packets read it.

A record is never changed once a destination points to it: a new one is written, the destinations' word is turned to it,
and the old one is free after a grace time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from piranha.base.clock import Clock
from piranha.base.errors import PiranhaError
from piranha.dataplane.ebpf import abi
from piranha.dataplane.ebpf.abi import NextHopFlag
from piranha.dataplane.ebpf.records import Records
from piranha.dataplane.ebpf.tables import Tables
from piranha.model.address import IPAddress

if TYPE_CHECKING:
    # Whoever only reads the table starts without the resolver.
    from piranha.dataplane.ebpf.nexthop import NextHop

_GRACE_S = 1.0


class NextHopRecords:
    """One record for each real server's address that has a way; `xdp_devices` are those that XDP may send by."""

    def __init__(self, tables: Tables, records: Records, clock: Clock) -> None:
        self._tables = tables
        self._records = records
        self._clock = clock
        self._known: dict[IPAddress, NextHop] = {}
        self._index: dict[IPAddress, int] = {}
        self._xdp_devices: frozenset[int] = frozenset()
        self._waiting: deque[tuple[float, int]] = deque()
        used = {int(i) for i in np.unique(tables.dests["nexthop"])}
        self._free = [i for i in range(len(tables.nexthops) - 1, 0, -1) if i not in used]
        self._adopted = used - {0}

    def update(self, changed: Mapping[IPAddress, NextHop | None]) -> None:
        """Take over what the resolver says of some addresses."""
        for address, hop in changed.items():
            if hop is None:
                self._known.pop(address, None)
                self._release(address)
                self._records.set_next_hop(address, 0, local=False)
            else:
                self._known[address] = hop
                self._write(address, hop)

    def forget_adopted(self) -> None:
        """Records of an earlier life are free once every destination got a new one."""
        now = self._clock.now()
        still = {int(i) for i in np.unique(self._tables.dests["nexthop"])}
        self._waiting.extend((now + _GRACE_S, index) for index in self._adopted - still)
        self._adopted &= still

    def refresh(self) -> None:
        """Write anew what destinations added since point nowhere; to be called after every change of destinations."""
        # Read once: thousands of single elements of an array cost more than all of it.
        pointed = self._tables.dests["nexthop"].tolist()
        for address, users in self._records.addresses.items():
            index = self._index.get(address)
            if index is not None and any(pointed[user] != index for user in users):
                self._records.set_next_hop(address, index, local=self._known[address].local)

    def set_xdp_devices(self, devices: frozenset[int]) -> None:
        if devices != self._xdp_devices:
            self._xdp_devices = devices
            for address, hop in self._known.items():
                self._write(address, hop)

    def _write(self, address: IPAddress, hop: NextHop) -> None:
        index = self._take()
        row = self._tables.nexthops[index]
        ready = hop.destination_mac is not None and not hop.local
        row["ifindex"], row["mtu"] = hop.ifindex, hop.mtu
        row["dmac"] = np.frombuffer(hop.destination_mac or bytes(6), "u1")
        row["smac"] = np.frombuffer(hop.source_mac or bytes(6), "u1")
        row["flags"] = (NextHopFlag.READY if ready else 0) | (
            NextHopFlag.XDP if ready and hop.ifindex in self._xdp_devices else 0
        )
        row["gateway"] = np.frombuffer(abi.pack_address(hop.gateway or address), "u1")
        source = hop.source if hop.source is not None else address
        row["source"] = np.frombuffer(abi.pack_address(source), "u1")
        row["learned"] = self._learned(address, hop)
        self._release(address)
        self._index[address] = index
        self._records.set_next_hop(address, index, local=hop.local)

    def _learned(self, address: IPAddress, hop: NextHop) -> int:
        """What packets learned of the way, as long as it is the same one."""
        old = self._index.get(address)
        if old is None:
            return 0
        row = self._tables.nexthops[old]
        same = int(row["ifindex"]) == hop.ifindex and int(row["mtu"]) == hop.mtu
        same = same and row["gateway"].tobytes() == abi.pack_address(hop.gateway or address)
        return int(row["learned"]) if same else 0

    def _take(self) -> int:
        now = self._clock.now()
        while self._waiting and self._waiting[0][0] <= now:
            self._free.append(self._waiting.popleft()[1])
        if not self._free:
            raise PiranhaError(f"no room for another next hop ({len(self._tables.nexthops) - 1} are in use)")
        return self._free.pop()

    def _release(self, address: IPAddress) -> None:
        index = self._index.pop(address, None)
        if index is not None:
            self._waiting.append((self._clock.now() + _GRACE_S, index))
