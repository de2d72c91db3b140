"""Service and destination records: the table that packets are scheduled from, written by the port's operations.

Order within one edit: a record is complete before anything points to it, and nothing points to it any more before it is
taken apart. Indices of removed destinations are kept while connections use them, and for TRASH_S after (as IPVS does),
so that a server that is removed and added again gets its connections and counters back.
"""

from __future__ import annotations

import logging
from collections import defaultdict

import numpy as np

from piranha.base.clock import Clock
from piranha.dataplane import port
from piranha.dataplane.ebpf import abi
from piranha.dataplane.ebpf.abi import DestFlag, FilterBit, ServiceFlag, SettingFlag
from piranha.dataplane.ebpf.adoption import read_back
from piranha.dataplane.ebpf.estimator import PERIOD_S, Estimator
from piranha.dataplane.ebpf.filter import AddressFilter
from piranha.dataplane.ebpf.record import DestinationRecord, Indices, ServiceRecord, folded
from piranha.dataplane.ebpf.rules import check_destination, check_service
from piranha.dataplane.ebpf.schedulers import REGISTRY
from piranha.dataplane.ebpf.schedulers.base import Candidate, SlotTable
from piranha.dataplane.ebpf.servers import ServerIndex
from piranha.dataplane.ebpf.settings import Settings, jiffies
from piranha.dataplane.ebpf.slots import SlotPool
from piranha.dataplane.ebpf.tables import Tables
from piranha.dataplane.port import RefusalKind, RefusedError
from piranha.model.address import IPAddress
from piranha.model.service import (
    Counters,
    Destination,
    DestinationKey,
    DestinationStatus,
    ForwardingMethod,
    Protocol,
    Service,
    ServiceKey,
    ServiceStatus,
)

logger = logging.getLogger(__name__)

TRASH_S = 120.0
_SERVICE_GRACE_S = 2.0
_COUNTERS = ("conns", "in_packets", "out_packets", "in_bytes", "out_bytes")


class Records:
    """The services and destinations of the plane. `addresses` are those whose next hop is needed, with their users."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock
        self._slots = SlotPool(tables.slots)
        self._filter = AddressFilter(tables.filter)
        self._services: dict[ServiceKey, ServiceRecord] = {}
        self._service_indices = Indices(len(tables.services), "service")
        self._dest_indices = Indices(len(tables.dests), "destination")
        self._serial = 0
        self._marks = self._ftp = 0
        self._leaving_services: list[tuple[float, int]] = []
        self._trash: defaultdict[ServiceKey, dict[DestinationKey, DestinationRecord]] = defaultdict(dict)
        self.addresses: defaultdict[IPAddress, set[int]] = defaultdict(set)
        self._masqueraded: set[int] = set()
        self._with_engine: set[ServiceKey] = set()
        self._servers = ServerIndex(tables.maps["servers"])
        self.settings = Settings(tables, self._filter)
        self._estimator = Estimator()
        self._sampled_at = clock.now()
        if tables.adopted:
            self._adopt()

    # ---- reading ----

    def snapshot(self) -> tuple[ServiceStatus, ...]:
        """Everything, in the order services were added. Columns are read once: thousands of rows cost milliseconds."""
        top = self._dest_indices.top
        stats = self._tables.dest_stats(top)
        counters = [Counters(*row) for row in zip(*(stats[name].tolist() for name in _COUNTERS), strict=True)]
        # A live count may be read between two halves of a change: then it is -1 for a moment.
        active = np.maximum(self._tables.dests["active"][:top].view(np.int32), 0).tolist()
        inactive = np.maximum(self._tables.dests["inactive"][:top].view(np.int32), 0).tolist()
        persistent = np.maximum(self._tables.dests["persistent"][:top].view(np.int32), 0).tolist()
        base = {name: self._tables.service_stats[name].view(np.int64) for name in _COUNTERS}
        found = []
        for key, record in self._services.items():
            total = Counters(*(int(base[name][record.index]) for name in _COUNTERS))
            for removed in self._trash[key].values() if key in self._trash else ():
                total += counters[removed.index]
            rows = []
            for destination in record.destinations.values():
                index = destination.index
                total += counters[index]
                rows.append(
                    DestinationStatus(
                        destination=destination.destination,
                        active_connections=active[index],
                        inactive_connections=inactive[index],
                        persistent_connections=persistent[index],
                        counters=counters[index],
                        rates=self._estimator.of(index),
                    )
                )
            rates = self._estimator.total([row.index for row in record.destinations.values()])
            found.append(ServiceStatus(service=record.service, destinations=tuple(rows), counters=total, rates=rates))
        return tuple(found)

    # ---- operations ----

    def apply(self, operation: port.Operation) -> None:
        """Carry out one operation; scheduler tables are published by `publish`, once for a whole list."""
        match operation:
            case port.AddService(service=service):
                self._add_service(service)
            case port.EditService(service=service):
                self._edit_service(service)
            case port.DeleteService(key=key):
                self._delete_service(key)
            case port.AddDestination(service=key, destination=destination):
                self._add_destination(self._record(key), destination)
            case port.EditDestination(service=key, destination=destination):
                self._edit_destination(self._record(key), destination)
            case port.DeleteDestination(service=service_key, key=destination_key):
                self._delete_destination(self._record(service_key), destination_key)
            case port.Clear():
                for key in list(self._services):
                    self._delete_service(key)
            case port.ZeroCounters(key=zeroed):
                for record in [self._record(zeroed)] if zeroed is not None else self._services.values():
                    self._zero(record)
            case port.SetMarkRules(rules=rules):
                self.settings.set_mark_rules(rules)
            case port.SetSettings(settings=settings):
                self.settings.set_rules(settings)
            case port.StartDaemon() | port.StopDaemon():
                raise RefusedError(RefusalKind.UNSUPPORTED, "connection sync is a part of lvsd, which does not run")
            case port.SetTimeouts(timeouts=timeouts):
                self.settings.set_timeouts(timeouts)

    def _zero(self, record: ServiceRecord) -> None:
        self._tables.service_stats[record.index] = (0, 0, 0, 0, 0)
        trash = self._trash.get(record.service.key, {})
        for row in [*record.destinations.values(), *trash.values()]:
            self._tables.clear_dest_stats(row.index)
            self._estimator.forget(row.index)

    def index_of(self, service: ServiceKey, destination: DestinationKey) -> int | None:
        """Where the kernel keeps a destination that is in the table, or was and may still have connections."""
        record = self._services.get(service)
        present = {} if record is None else record.destinations
        found = present.get(destination) or self._trash.get(service, {}).get(destination)
        return None if found is None else found.index

    def publish(self) -> None:
        """Let packets see every table that changed since the last call."""
        now = self._clock.now()
        for record in self._services.values():
            if record.pending is not None:
                row = self._tables.services[record.index]
                old = int(row["table"])
                row["table"] = self._slots.write(record.pending, now)
                self._slots.release(old, now)
                record.pending = None

    def _record(self, key: ServiceKey) -> ServiceRecord:
        record = self._services.get(key)
        if record is None:
            raise RefusedError(RefusalKind.NO_SERVICE, f"no such service: {key}")
        return record

    def _scheduler(self, service: Service) -> int:
        scheduler = REGISTRY.get(service.scheduler)
        if scheduler is None:
            known = ", ".join(sorted(REGISTRY))
            raise RefusedError(
                RefusalKind.NO_SCHEDULER,
                f"{service.key}: unknown scheduler {service.scheduler}",
                mend=f"known are {known}",
            )
        return scheduler.number

    def _add_service(self, service: Service) -> None:
        if service.key in self._services:
            raise RefusedError(RefusalKind.EXISTS, f"the service exists already: {service.key}")
        check_service(service)
        number = self._scheduler(service)
        index = self._service_indices.take()
        row = self._tables.services[index]
        self._serial += 1
        row["table"] = 0
        row["key"] = np.frombuffer(abi.pack_service_key(service.key), abi.SERVICE_KEY)[0]
        row["scheduler"], row["serial"], row["index"] = number, self._serial, index
        self._write_service(row, service)
        self._start_counting(index, service.key)
        self._tables.maps["service_ids"].update(abi.pack_service_key(service.key), index.to_bytes(4, "little"))
        self._filter.add(service.key.address, FilterBit.VIP)
        self._services[service.key] = ServiceRecord(index, service)
        self._note_kind(service.key, 1)

    def _start_counting(self, index: int, key: ServiceKey) -> None:
        """A service begins at 0, though destinations of a former one may return with what they have counted."""
        self._tables.service_stats[index] = (0, 0, 0, 0, 0)
        for removed in self._trash.get(key, {}).values():
            self._add_to_service(index, removed.index, -1)

    def _add_to_service(self, service: int, destination: int, sign: int) -> None:
        """Move what a destination has counted into, or out of, the service's own base."""
        for name, count in self._tables.dest_stats_of(destination).items():
            self._tables.service_stats[name].view(np.int64)[service] += sign * count

    def _edit_service(self, service: Service) -> None:
        record = self._record(service.key)
        check_service(service)
        number = self._scheduler(service)
        changed = service.scheduler != record.service.scheduler
        record.service = service
        if changed:
            # One table serves both schedulers for a moment: any table's words are destinations of this service.
            record.pending = None
            self._tables.services[record.index]["scheduler"] = number
            self._rebuild(record, [], SlotTable())
        self._write_service(self._tables.services[record.index], service)

    def _write_service(self, row: np.void, service: Service) -> None:
        # Before the service says so itself: its packets are read from then on.
        self._note_engine(service.key, service.engine)
        row["persistent"] = jiffies(service.persistent_s, self._tables.hz) if service.persistent_s else 0
        row["mask"] = abi.pack_persistence_mask(service)
        row["flags"] = (
            ServiceFlag.PRESENT
            | (ServiceFlag.PERSISTENT if service.persistent_s else 0)
            | (ServiceFlag.ONE_PACKET if service.one_packet else 0)
            | (ServiceFlag.SIP if service.engine else 0)
            | int(service.flags)
        )

    def _delete_service(self, key: ServiceKey) -> None:
        record = self._record(key)
        self._tables.maps["service_ids"].delete(abi.pack_service_key(key))
        row = self._tables.services[record.index]
        row["flags"] = 0
        for destination in list(record.destinations):
            self._delete_destination(record, destination, rebuild=False)
        now = self._clock.now()
        self._slots.release(int(row["table"]), now)
        row["table"] = 0
        self._filter.remove(key.address, FilterBit.VIP)
        self._leaving_services.append((now + _SERVICE_GRACE_S, record.index))
        del self._services[key]
        self._note_kind(key, -1)
        self._note_engine(key, "")

    def _note_engine(self, key: ServiceKey, engine: str) -> None:
        (self._with_engine.add if engine else self._with_engine.discard)(key)
        self.settings.set_flag(SettingFlag.CALLS, bool(self._with_engine))

    def _note_kind(self, key: ServiceKey, count: int) -> None:
        """Packets are asked for their mark while a service has one, and read for FTP while one may carry it."""
        if key.mark:
            self._marks += count
            self.settings.set_flag(SettingFlag.MARKS, self._marks > 0)
        if key.mark or (key.protocol is Protocol.TCP and key.port in (0, *self.settings.ftp_ports())):
            self._ftp += count
            self.settings.set_flag(SettingFlag.FTP, self._ftp > 0)

    def _add_destination(self, record: ServiceRecord, destination: Destination) -> None:
        if destination.key in record.destinations:
            raise RefusedError(
                RefusalKind.EXISTS, f"{record.service.key}: the destination exists already: {destination.key}"
            )
        check_destination(record.service.key, destination)
        before = record.candidates()
        row_record = self._from_trash(record.service.key, destination.key)
        if row_record is None:
            fold = folded(record.service.key, destination.key)
            row_record = DestinationRecord(self._dest_indices.take(), destination, fold)
            row = self._tables.dests[row_record.index]
            row["flags"] = 0
            row["addr"] = np.frombuffer(abi.pack_address(destination.key.address), "u1")
            row["port"] = destination.key.port
            row["active"] = row["inactive"] = row["persistent"] = 0
            row["upper"] = row["lower"] = row["overload"] = 0
            row["nexthop"] = 0
            self._tables.clear_dest_stats(row_record.index)
            self.addresses[destination.key.address].add(row_record.index)
            self._hold(record.service.key, destination.key)
        row_record.destination, row_record.removed_at = destination, None
        row_record.last_weight = destination.weight
        row = self._tables.dests[row_record.index]
        self._serial += 1
        row["service"], row["serial"] = record.index, self._serial
        self._write_destination(row_record, record.service.key)
        record.destinations[destination.key] = row_record
        row["flags"] |= DestFlag.PRESENT
        self._rebuild(record, before)

    def _from_trash(self, service: ServiceKey, key: DestinationKey) -> DestinationRecord | None:
        found = self._trash.get(service, {}).pop(key, None)
        if found is not None and not self._trash[service]:
            del self._trash[service]
        return found

    def _edit_destination(self, record: ServiceRecord, destination: Destination) -> None:
        row_record = record.destinations.get(destination.key)
        if row_record is None:
            raise _no_destination(record, destination.key)
        check_destination(record.service.key, destination)
        before = record.candidates()
        row_record.destination = destination
        row_record.last_weight = destination.weight or row_record.last_weight
        self._write_destination(row_record, record.service.key)
        self._rebuild(record, before)

    def _delete_destination(self, record: ServiceRecord, key: DestinationKey, *, rebuild: bool = True) -> None:
        row_record = record.destinations.get(key)
        if row_record is None:
            raise _no_destination(record, key)
        before = record.candidates()
        del record.destinations[key]
        self._tables.dests[row_record.index]["flags"] &= ~int(DestFlag.PRESENT) & 0xFF
        self._servers.remove(record.service.key, key, row_record.index)
        row_record.removed_at = self._clock.now()
        self._trash[record.service.key][key] = row_record
        if rebuild:
            self._rebuild(record, before)

    def _write_destination(self, record: DestinationRecord, service: ServiceKey) -> None:
        row = self._tables.dests[record.index]
        row["method"] = abi.METHODS[record.destination.method]
        self._tables.dests.view("<u4").reshape(-1, abi.DEST_WORDS)[record.index, -1] = abi.pack_tunnel(
            record.destination
        )
        row["weight"] = record.destination.weight
        upper, old = record.destination.upper_threshold, int(row["upper"])
        if upper == 0 or upper > old:
            row["overload"] = 0
        row["upper"], row["lower"] = upper, record.destination.lower_threshold
        masqueraded = record.destination.method is ForwardingMethod.MASQUERADE
        change = self._servers.add if masqueraded else self._servers.remove
        change(service, record.destination.key, record.index)
        if masqueraded and record.index not in self._masqueraded:
            self._masqueraded.add(record.index)
            row["flags"] |= DestFlag.MASQUERADED
            self.settings.set_flag(SettingFlag.MASQ, True)

    def _rebuild(self, record: ServiceRecord, before: list[Candidate], old: SlotTable | None = None) -> None:
        if old is None:
            old = record.pending or self._slots.read(int(self._tables.services[record.index]["table"]))
        scheduler = REGISTRY[record.service.scheduler]
        record.pending = scheduler.build(old, before, record.candidates())

    # ---- next hops ----

    def set_next_hop(self, address: IPAddress, nexthop: int, *, local: bool) -> None:
        """Point every destination at `address` to a next-hop record; 0 takes it away."""
        for index in self.addresses.get(address, ()):
            row = self._tables.dests[index]
            row["flags"] = (int(row["flags"]) & ~int(DestFlag.LOCAL)) | (DestFlag.LOCAL if local else 0)
            row["nexthop"] = nexthop

    @property
    def has_local_masqueraded(self) -> bool:
        """Whether replies of this host's own servers have to be translated on their way out."""
        return any(int(self._tables.dests[i]["flags"]) & DestFlag.LOCAL for i in self._masqueraded)

    # ---- time ----

    def collect(self) -> None:
        """Free what nobody uses any more; to be called about once a second."""
        now = self._clock.now()
        self._servers.settle()
        if now - self._sampled_at >= PERIOD_S:
            self._sampled_at = now
            self._estimator.sample(self._tables.dest_stats(self._dest_indices.top))
        for service, removed in [(s, r) for s, trash in self._trash.items() for r in trash.values()]:
            if self._idle(removed, now):
                self._from_trash(service, removed.destination.key)
                self._free(removed, service)
        # A removed destination names its service by index, for the next life of lvsd: that must stay true.
        named = {int(self._tables.dests[r.index]["service"]) for trash in self._trash.values() for r in trash.values()}
        for due, index in list(self._leaving_services):
            if due <= now and index not in named:
                self._leaving_services.remove((due, index))
                self._service_indices.give(index)

    def _idle(self, removed: DestinationRecord, now: float) -> bool:
        row = self._tables.dests[removed.index]
        old = removed.removed_at is not None and now - removed.removed_at >= TRASH_S
        return old and not row["active"] and not row["inactive"]

    def _hold(self, service: ServiceKey, destination: DestinationKey) -> None:
        """Look at packets of both addresses for as long as connections to the destination may live."""
        self._filter.add(service.address, FilterBit.VIP)
        self._filter.add(destination.address, FilterBit.SERVER)

    def _free(self, removed: DestinationRecord, service_key: ServiceKey) -> None:
        index = removed.index
        service = self._services.get(service_key)
        if service is not None:
            self._add_to_service(service.index, index, 1)
        address = removed.destination.key.address
        self.addresses[address].discard(index)
        if not self.addresses[address]:
            del self.addresses[address]
        self._filter.remove(service_key.address, FilterBit.VIP)
        self._filter.remove(address, FilterBit.SERVER)
        self._masqueraded.discard(index)
        if not self._masqueraded:
            self.settings.set_flag(SettingFlag.MASQ, False)
        self._tables.dests[index]["service"] = 0
        self._dest_indices.give(index)

    # ---- a new life ----

    def _adopt(self) -> None:
        """Go on with what an earlier life wrote; packets do not notice."""
        found = read_back(self._tables, self._clock.now())
        for service in found.services:
            self._services[service.service.key] = service
            self._note_kind(service.service.key, 1)
            if service.service.engine:
                self._with_engine.add(service.service.key)
            self._filter.add(service.service.key.address, FilterBit.VIP)
            for destination in service.destinations.values():
                self._adopt_destination(service.service.key, destination)
        for key, removed in found.removed:
            self._adopt_destination(key, removed)
            row = self._tables.dests[removed.index]
            row["flags"] = int(row["flags"]) & ~int(DestFlag.PRESENT)
            self._trash[key][removed.destination.key] = removed
        self._leaving_services = [(self._clock.now() + _SERVICE_GRACE_S, index) for index in found.leaving]
        self._service_indices.adopt([*found.leaving, *(service.index for service in found.services)])
        self._dest_indices.adopt(found.destinations)
        self._serial = found.serial
        self.settings.adopt()
        self._filter.settle()
        masqueraded = [
            (s.service.key, d.destination.key, d.index)
            for s in found.services
            for d in s.destinations.values()
            if d.destination.method is ForwardingMethod.MASQUERADE
        ]
        self._servers.adopt(sorted(masqueraded, key=lambda place: int(self._tables.dests["serial"][place[2]])))
        self._slots.adopt([int(self._tables.services[service.index]["table"]) for service in found.services])
        for service in found.services:
            self._mend_table(service)
        self.publish()
        logger.info("tables adopted services=%d destinations=%d", len(found.services), len(found.destinations))

    def _adopt_destination(self, service: ServiceKey, record: DestinationRecord) -> None:
        self.addresses[record.destination.key.address].add(record.index)
        self._hold(service, record.destination.key)
        if int(self._tables.dests[record.index]["flags"]) & DestFlag.MASQUERADED:
            self._masqueraded.add(record.index)

    def _mend_table(self, record: ServiceRecord) -> None:
        """Make anew the scheduler's table that an interrupted life did not publish; others keep their turn."""
        candidates = record.candidates()
        held = self._slots.read(int(self._tables.services[record.index]["table"]))
        due = REGISTRY[record.service.scheduler].build(held, candidates, candidates)
        if sorted(held.words) != sorted(due.words):
            self._rebuild(record, [], SlotTable())


def _no_destination(record: ServiceRecord, key: DestinationKey) -> RefusedError:
    return RefusedError(RefusalKind.NO_DESTINATION, f"{record.service.key}: no such destination: {key}")
