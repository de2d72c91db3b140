"""Reading back what an earlier life wrote into the kernel's tables. Changes nothing there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from piranha.dataplane.ebpf import abi
from piranha.dataplane.ebpf.abi import DestFlag, ServiceFlag
from piranha.dataplane.ebpf.record import DestinationRecord, ServiceRecord, folded
from piranha.dataplane.ebpf.schedulers import REGISTRY
from piranha.dataplane.ebpf.tables import Tables
from piranha.model.service import Destination, DestinationKey, SchedulerFlag, Service, ServiceKey

_SCHEDULER_FLAGS = 0x38
_SCHEDULER_NAMES = {scheduler.number: name for name, scheduler in REGISTRY.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """`services` in the order of adding, with their destinations; `removed` are destinations that connections may use.

    `destinations` are all places in use; `leaving` are places of removed services that a removed destination names.
    """

    services: tuple[ServiceRecord, ...]
    removed: tuple[tuple[ServiceKey, DestinationRecord], ...]
    destinations: tuple[int, ...]
    leaving: tuple[int, ...]
    serial: int


def read_back(tables: Tables, now: float) -> Found:
    """Whatever an interrupted life left half done is not reachable by packets: only indexed services count."""
    services, dests = tables.services, tables.dests
    keys, indices = tables.maps["service_ids"].items(abi.SERVICE_KEY, np.dtype("<u4"))
    present = sorted(zip(indices.tolist(), range(len(keys)), strict=True), key=lambda p: int(services[p[0]]["serial"]))
    by_index: dict[int, ServiceRecord] = {}
    for index, place in present:
        key = abi.unpack_service_key(keys[place])
        by_index[index] = ServiceRecord(index, _read_service(key, services[index], tables.hz))
    used = np.flatnonzero(dests["service"])
    removed: list[tuple[ServiceKey, DestinationRecord]] = []
    for index in used[np.argsort(dests["serial"][used], kind="stable")].tolist():
        row = dests[index]
        owner = by_index.get(int(row["service"]))
        key = abi.unpack_service_key(services[row["service"]]["key"]) if owner is None else owner.service.key
        destination = _read_destination(row)
        record = DestinationRecord(index, destination, folded(key, destination.key), destination.weight)
        if owner is not None and row["flags"] & DestFlag.PRESENT:
            owner.destinations[destination.key] = record
        else:
            record.removed_at = now
            removed.append((key, record))
    named = {int(service) for service in dests["service"][used]}
    return Found(
        services=tuple(by_index.values()),
        removed=tuple(removed),
        destinations=tuple(used.tolist()),
        leaving=tuple(sorted(named - set(by_index))),
        serial=max((int(a.max()) for a in (services["serial"], dests["serial"]) if len(a)), default=0),
    )


def _read_service(key: ServiceKey, row: np.void, hz: int) -> Service:
    flags = int(row["flags"])
    return Service(
        key=key,
        scheduler=_SCHEDULER_NAMES[int(row["scheduler"])],
        flags=SchedulerFlag(flags & _SCHEDULER_FLAGS),
        persistent_s=round(int(row["persistent"]) / hz),
        persistence_prefix=abi.unpack_persistence_mask(int(row["mask"]), key.address.version),
        engine="sip" if flags & ServiceFlag.SIP else "",
        one_packet=bool(flags & ServiceFlag.ONE_PACKET),
    )


def _read_destination(row: np.void) -> Destination:
    return Destination(
        key=DestinationKey(address=abi.unpack_address(row["addr"]), port=int(row["port"])),
        method=abi.METHOD_NAMES[int(row["method"])],
        weight=max(0, int(row["weight"])),
        upper_threshold=int(row["upper"]),
        lower_threshold=int(row["lower"]),
        tunnel=abi.TUNNELS[int(row["tunnel_type"])],
        tunnel_port=int(row["tunnel_port"]),
        tunnel_checksum=abi.TUNNEL_CHECKSUMS[int(row["tunnel_flags"])],
    )
