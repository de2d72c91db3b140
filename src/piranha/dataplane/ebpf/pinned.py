"""The eBPF plane as lvsd left it in the kernel, opened to read and edit: nothing is loaded, attached or swept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from piranha.base.clock import MonotonicClock
from piranha.base.paths import Paths
from piranha.dataplane.ebpf.conntable import ConnectionTable
from piranha.dataplane.ebpf.hops import NextHopRecords
from piranha.dataplane.ebpf.pins import Pins
from piranha.dataplane.ebpf.records import Records
from piranha.dataplane.ebpf.tables import Tables, pinned_tables
from piranha.dataplane.port import ConnectionFilter, ConnectionPage, Operation, SyncDaemon
from piranha.model.address import IPAddress
from piranha.model.service import ServiceStatus, Timeouts

if TYPE_CHECKING:
    from piranha.dataplane.ebpf.nexthop import NextHopResolver


class PinnedPlane:
    """Reads and edits the tables; the programs that are attached see every edit at once.

    The caller holds lvsd's lock. Next hops are looked up for what is new, and not followed.
    """

    def __init__(self, tables: Tables) -> None:
        clock = MonotonicClock()
        self._tables = tables
        self._records = Records(tables, clock)
        self._connections = ConnectionTable(tables)
        self._hops: NextHopRecords | None = None
        self._resolver: NextHopResolver | None = None
        self._clock = clock
        self._asked: set[IPAddress] = set()
        self._had_local = self._records.has_local_masqueraded

    @staticmethod
    def open(paths: Paths) -> PinnedPlane | None:
        """None where no plane stands in the kernel, or one of another edition: `EbpfPlane.open` is for those."""
        pins = Pins(paths.bpffs)
        tables = pinned_tables(pins) if pins.mounted else None
        return None if tables is None else PinnedPlane(tables)

    @property
    def needs_programs(self) -> bool:
        """Whether an edit asks for a program that is not attached: replies of this host's own servers leave by one."""
        return self._records.has_local_masqueraded and not self._had_local

    @property
    def capacity(self) -> int:
        """Connections that there is room for."""
        return self._connections.capacity

    def snapshot(self) -> tuple[ServiceStatus, ...]:
        return self._records.snapshot()

    def connections(self, wanted: ConnectionFilter) -> ConnectionPage:
        return self._connections.page(wanted)

    def timeouts(self) -> Timeouts:
        return self._records.settings.timeouts()

    def daemons(self) -> tuple[SyncDaemon, ...]:
        return ()

    def apply(self, operations: Sequence[Operation]) -> None:
        """As the port's."""
        try:
            for operation in operations:
                self._records.apply(operation)
        finally:
            self._records.publish()
            self._point_new_destinations()

    def close(self) -> None:
        if self._resolver is not None:
            self._resolver.close()
        self._tables.close()

    def _point_new_destinations(self) -> None:
        nexthops = self._tables.dests["nexthop"].tolist()
        fresh = {
            address
            for address, users in self._records.addresses.items()
            if address not in self._asked and not all(nexthops[user] for user in users)
        }
        if self._hops is None and fresh:
            from piranha.dataplane.ebpf.nexthop import NextHopResolver

            self._hops = NextHopRecords(self._tables, self._records, self._clock)
            self._hops.set_xdp_devices(frozenset(int(d) for d in self._tables.settings[0]["xdp_device"] if d))
            self._resolver = NextHopResolver(self._hops.update)
        if self._hops is not None and self._resolver is not None:
            if fresh:
                self._asked |= fresh
                self._resolver.set_addresses(self._asked)
            self._hops.refresh()
