"""Configuration into the kernel: 5,000 services of 4 servers each, and a change of one line after that."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_address
from statistics import median

from bench.bench import Bench
from bench.report import Goal, Row
from bench.world import Unverified
from piranha.base.clock import MonotonicClock
from piranha.dataplane.ebpf.nexthop import NextHopResolver
from piranha.dataplane.ebpf.plane import EbpfPlane, PlaneSettings
from piranha.dataplane.ebpf.tables import Capacity, open_tables
from piranha.dataplane.plan import plan
from piranha.dataplane.port import Operation
from piranha.model.service import (
    Destination,
    DestinationKey,
    ForwardingMethod,
    Protocol,
    Service,
    ServiceEntry,
    ServiceKey,
)

_SERVICES, _SERVERS = 5_000, 4
_ROUNDS = 5


def run(bench: Bench) -> Iterator[Row]:
    bench.close_world()
    tables = open_tables(None, Capacity())
    plane: EbpfPlane
    # The resolver asks the kernel for every server's route, as in lvsd; all lie behind one router.
    resolver = NextHopResolver(lambda changed: plane._take_next_hops(changed))
    plane = EbpfPlane(tables, None, PlaneSettings(), MonotonicClock(), resolver)
    try:
        yield from _rows(plane)
    finally:
        plane.close()


def _rows(plane: EbpfPlane) -> Iterator[Row]:
    desired = [_entry(number, weight=1) for number in range(_SERVICES)]
    seconds, cpu, operations = _clocked(lambda: _converge(plane, desired))
    if operations != _SERVICES * (1 + _SERVERS) or [s.entry for s in plane.snapshot()] != desired:
        raise Unverified(f"{operations} operations did not make the table that was desired")
    yield Row(
        case="apply 5,000 services x 4 servers",
        unit="s",
        ours=seconds,
        goal=Goal(most=5),
        detail={"cpu_s": cpu, "operations": operations, "distinct_servers": _SERVICES * _SERVERS},
    )
    took: list[float] = []
    for weight in range(2, 2 + _ROUNDS):
        desired[_SERVICES // 2] = _entry(_SERVICES // 2, weight=weight)
        seconds, cpu, operations = _clocked(lambda: _converge(plane, desired))
        took.append(seconds)
        if operations != 1 or [s.entry for s in plane.snapshot()] != desired:
            raise Unverified(f"a change of one line took {operations} operations")
    yield Row(case="change one line of them: operations", unit="", ours=float(operations), goal=Goal(most=1), detail={})
    yield Row(case="change one line: plan, apply", unit="s", ours=median(took), detail={"rounds": took})
    took = [_clocked(lambda: len(plane.snapshot()))[0] for _ in range(_ROUNDS)]
    yield Row(case="read the table of 5,000 services", unit="s", ours=median(took), detail={"rounds": took})
    took = [_clocked(lambda: len(plan(plane.snapshot(), desired)))[0] for _ in range(_ROUNDS)]
    yield Row(case="find that nothing changed", unit="s", ours=median(took), detail={"rounds": took})


def _entry(number: int, *, weight: int) -> ServiceEntry:
    key = ServiceKey(protocol=Protocol.TCP, address=ip_address("10.9.0.1") + number, port=80)
    servers = [
        Destination(
            key=DestinationKey(address=ip_address("10.64.0.1") + number * _SERVERS + place, port=80),
            method=ForwardingMethod.DIRECT,
        )
        for place in range(_SERVERS)
    ]
    servers[-1] = replace(servers[-1], weight=weight)
    return ServiceEntry(service=Service(key=key, scheduler="wrr"), destinations=tuple(servers))


def _converge(plane: EbpfPlane, desired: list[ServiceEntry]) -> int:
    operations: list[Operation] = plan(plane.snapshot(), desired)
    plane.apply(operations)
    return len(operations)


def _clocked(call: Callable[[], int]) -> tuple[float, float, int]:
    """Wall seconds, CPU seconds, and what the call says."""
    wall, cpu = time.monotonic(), time.process_time()
    result = call()
    return time.monotonic() - wall, time.process_time() - cpu, result
