"""The eBPF data plane: the port of `dataplane/port.py` on the kernel programs in `bpf/`."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from piranha.base.clock import Clock, MonotonicClock
from piranha.base.errors import PiranhaError
from piranha.base.paths import Paths
from piranha.dataplane.ebpf import abi
from piranha.dataplane.ebpf.conntable import ConnectionTable
from piranha.dataplane.ebpf.defence import defences
from piranha.dataplane.ebpf.hookset import HookPrograms, HookReport, HookSet
from piranha.dataplane.ebpf.hops import NextHopRecords
from piranha.dataplane.ebpf.interfaces import InterfaceInfo, interfaces, served
from piranha.dataplane.ebpf.locality import Locality
from piranha.dataplane.ebpf.nexthop import NextHop, NextHopResolver
from piranha.dataplane.ebpf.pins import Pins
from piranha.dataplane.ebpf.records import Records
from piranha.dataplane.ebpf.rules import ENGINES
from piranha.dataplane.ebpf.schedulers import REGISTRY
from piranha.dataplane.ebpf.syncdaemons import SyncDaemons
from piranha.dataplane.ebpf.synctable import SyncTable
from piranha.dataplane.ebpf.tables import Capacity, Tables, open_tables
from piranha.dataplane.port import (
    Capabilities,
    ConnectionFilter,
    ConnectionPage,
    Operation,
    PlaneStatus,
    StartDaemon,
    StopDaemon,
    SyncDaemon,
)
from piranha.model.address import IPAddress
from piranha.model.configuration import Configuration, HookChoice
from piranha.model.mark import MarkRule
from piranha.model.rules import PlaneRules
from piranha.model.service import DestinationKey, Protocol, ServiceKey, ServiceStatus, Timeouts, TunnelType

logger = logging.getLogger(__name__)

_ROUND_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneSettings:
    """What `lvs.cf` says of the plane itself."""

    interfaces: tuple[str, ...] = ()
    hook: HookChoice = HookChoice.AUTO
    capacity: Capacity = field(default_factory=Capacity)

    @staticmethod
    def of(configuration: Configuration) -> PlaneSettings:
        return PlaneSettings(interfaces=configuration.interfaces, hook=configuration.hook)


class EbpfPlane:
    """One plane in the network namespace of the thread that opened it.

    What it puts into the kernel is pinned and forwards on when the process is gone; `open` adopts it again.
    """

    def __init__(
        self, tables: Tables, pins: Pins | None, settings: PlaneSettings, clock: Clock, resolver: NextHopResolver | None
    ) -> None:
        self.capabilities = Capabilities(
            schedulers=frozenset(REGISTRY),
            persistence=True,
            firewall_marks=True,
            protocols=frozenset((Protocol.TCP, Protocol.UDP, Protocol.SCTP)),
            scheduler_flags=frozenset(("sh", "mh")),
            all_ports=True,
            one_packet=True,
            thresholds=True,
            engines=ENGINES,
            tunnels=frozenset(TunnelType),
        )
        self.tables = tables
        self._pins = pins
        self._settings = settings
        self._records = Records(tables, clock)
        self._conns = ConnectionTable(tables)
        self._hops = NextHopRecords(tables, self._records, clock)
        self._hooks = HookSet(pins) if pins is not None else None
        self._report = HookReport(hooks={})
        self._resolver = resolver
        self._addresses: set[IPAddress] = set()
        self._ticker = False
        self._next_line = 0
        self._locality = Locality(tables)
        self._daemons = SyncDaemons()
        self.sync_table = SyncTable(tables, self._daemons)

    @staticmethod
    def open(paths: Paths, settings: PlaneSettings, clock: Clock | None = None) -> EbpfPlane:
        """Adopt or make the tables, start the sweep, attach the programs. Raises PiranhaError with the mend."""
        _require_interfaces(settings)
        pins = Pins(paths.bpffs)
        pins.mount()
        tables = open_tables(pins, settings.capacity)
        plane = EbpfPlane(tables, pins, settings, clock or MonotonicClock(), None)
        try:
            plane._start()
        except BaseException:
            plane.close()
            raise
        return plane

    def _start(self) -> None:
        self._resolver = NextHopResolver(self._take_next_hops)
        self._ticker = self.tables.start_ticker()
        self._resolve()
        self.attach()
        if not self._report.hooks:
            raise PiranhaError(
                "no interface to work on", mend="bring one up with an address, or name it: `interfaces = [ eth0 ]`"
            )
        if self._report.failures and all(word == "none" for word in self._report.hooks.values()):
            raise PiranhaError(self._report.failures[0])
        self._retire_other_abis()

    def _retire_other_abis(self) -> None:
        """Programs of another version are replaced by now; its tables go, and with them its connections."""
        for other in self._pins.abis() if self._pins is not None else ():
            if other != self.tables.abi:
                logger.warning("tables of another version removed abi=%s", other)
                assert self._pins is not None
                self._pins.remove_abi(other)

    # ---- the port ----

    def snapshot(self) -> tuple[ServiceStatus, ...]:
        return self._records.snapshot()

    def apply(self, operations: Sequence[Operation]) -> None:
        done = 0
        try:
            for operation in operations:
                if isinstance(operation, StartDaemon | StopDaemon):
                    self._daemons.apply(operation)
                else:
                    self._records.apply(operation)
                    done += 1
        finally:
            self._records.publish()
            if done:
                self.sync_table.touch()
                self._resolve()

    def timeouts(self) -> Timeouts:
        return self._records.settings.timeouts()

    def mark_rules(self) -> tuple[MarkRule, ...]:
        return self._records.settings.mark_rules()

    def rules(self) -> PlaneRules:
        return self._records.settings.rules()

    def daemons(self) -> tuple[SyncDaemon, ...]:
        return self._daemons()

    def connections(self, wanted: ConnectionFilter) -> ConnectionPage:
        return self._conns.page(wanted)

    def connection_counts(self) -> NDArray[np.int64]:
        return self._conns.counts()

    def expire(self, service: ServiceKey, destination: DestinationKey) -> int:
        index = self._records.index_of(service, destination)
        return 0 if index is None else self._conns.expire(index)

    def status(self) -> PlaneStatus:
        notes = self._report.failures + self._report.notes
        if not self._ticker:
            notes += ("the kernel refuses its timer: lvsd sweeps the connection table itself",)
        return PlaneStatus(
            name="ebpf",
            hooks=dict(self._report.hooks),
            reasons={name: count for name, count in self.tables.reasons().items() if count},
            connections=self._conns.count(),
            connection_capacity=self._conns.capacity,
            notes=notes,
            defences=defences(self.tables),
            losses=self._locality.losses(),
        )

    def close(self) -> None:
        if self._hooks is not None:
            self._hooks.close()
        if self._resolver is not None:
            self._resolver.close()
        self.sync_table.close()
        self.tables.close()

    def reconfigure(self, configuration: Configuration) -> None:
        """Take over interfaces and hook of a reloaded file. Raises PiranhaError, and stays, when one is missing."""
        wanted = replace(self._settings, interfaces=configuration.interfaces, hook=configuration.hook)
        if wanted != self._settings:
            _require_interfaces(wanted)
            self._settings = wanted
            self.attach()

    # ---- keeping it right ----

    async def run(self) -> None:
        """Follow routes, neighbours and interfaces, and do the housekeeping, until cancelled."""
        loop = asyncio.get_running_loop()
        resolver = self._resolver
        assert resolver is not None
        loop.add_reader(resolver.fileno(), resolver.poll)
        try:
            while True:
                await asyncio.sleep(_ROUND_S)
                self.keep()
        finally:
            loop.remove_reader(resolver.fileno())

    def keep(self) -> None:
        """One round of housekeeping."""
        if self._resolver is not None:
            self._resolver.refresh()
        self._records.collect()
        self._hops.forget_adopted()
        if self._hooks is not None:
            self.attach()
        if not self._ticker:
            self._sweep_part()

    def _sweep_part(self) -> None:
        lines = len(self.tables.tags) // abi.CONN_WAYS
        part = min(lines, 65536)
        self.tables.sweep(self._next_line, part)
        self._next_line = (self._next_line + part) % lines
        self.tables.weigh(int(np.count_nonzero(self.tables.tags)))

    def attach(self) -> None:
        """Compare the programs on the interfaces with what should be there, and make it so."""
        assert self._hooks is not None
        found = served(interfaces(), self._settings.interfaces)
        programs = HookPrograms(
            ingress=self.tables.program("lb_tc"),
            egress=self.tables.program("lb_tc_egress") if self._records.has_local_masqueraded else None,
            xdp=self.tables.program("lb_xdp"),
        )
        report = self._hooks.converge(programs, found, self._settings.hook)
        for text in report.failures + report.notes:
            if text not in self._report.failures + self._report.notes:
                logger.warning("%s", text)
        self._report = report
        self._tell_devices([i for i in found if "xdp" in report.hooks.get(i.name, "")])

    def _tell_devices(self, found: list[InterfaceInfo]) -> None:
        """Tell the XDP program its own MAC addresses, and by which devices it may send."""
        if len(found) > abi.OWN_MACS:
            logger.warning("more than %d interfaces with XDP: TC serves the others", abi.OWN_MACS)
        found = found[: abi.OWN_MACS]
        macs, devices = np.zeros(abi.OWN_MACS, "<u8"), np.zeros(abi.OWN_MACS, "<u4")
        for place, interface in enumerate(found):
            macs[place] = int.from_bytes(interface.mac, "little")
            devices[place] = interface.index
        row = self.tables.settings[0]
        if not np.array_equal(row["mac"], macs) or not np.array_equal(row["xdp_device"], devices):
            row["mac"], row["xdp_device"] = macs, devices
        self._hops.set_xdp_devices(frozenset(int(d) for d in devices if d))

    def _resolve(self) -> None:
        if self._resolver is None:
            return
        wanted = set(self._records.addresses)
        if wanted != self._addresses:
            self._addresses = wanted
            self._resolver.set_addresses(wanted)
        self._hops.refresh()

    def _take_next_hops(self, changed: Mapping[IPAddress, NextHop | None]) -> None:
        self._hops.update(changed)


def _require_interfaces(settings: PlaneSettings) -> None:
    known = {name for _, name in socket.if_nameindex()}
    for name in settings.interfaces:
        if name not in known:
            raise PiranhaError(
                f"interfaces: there is no interface {name}", mend=f"there are {', '.join(sorted(known))}"
            )


def unload(paths: Paths) -> bool:
    """Take the whole plane out of the kernel: programs, pins, tables. False when there was nothing."""
    pins = Pins(paths.bpffs)
    if not pins.mounted:
        return False
    hooks = HookSet(pins)
    hooks.detach_all()
    hooks.close()
    pins.remove_all()
    pins.unmount()
    return True
