"""Reading a million connections from user space, and the sweep: CPU seconds of the calling thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from typing import TypeVar

import numpy as np

from bench import net
from bench.bench import Bench
from bench.report import Goal, Row
from bench.world import MILLION, Shape, Unverified, World
from piranha.dataplane.ebpf import abi
from piranha.dataplane.port import ConnectionFilter
from piranha.model.service import Protocol

_GOAL = Goal(most=0.1)
_ROUNDS = 5
_SWEEP_LINES = 65536  # bpf/sweep.h: SWEEP_MAX_LINES

T = TypeVar("T")


def run(bench: Bench) -> Iterator[Row]:
    world = bench.world(Shape())
    table = world.table
    active = int(table.counts()[0, 0])
    if active != MILLION:
        raise Unverified(f"{active} active connections instead of a million")
    yield _row("list 1M: counts", table.counts, lambda found: int(found.sum()), MILLION)
    client = net.CLIENTS[4] + 7
    filters = {
        "page of 1000": (ConnectionFilter(limit=1000), MILLION),
        "page of 1000, one client": (ConnectionFilter(client=client, limit=1000), 16384),
        "page of 1000, tcp to one vip:port": (
            ConnectionFilter(protocol=Protocol.TCP, virtual=net.VIP[4], virtual_port=80, limit=1000),
            MILLION,
        ),
        "page of 1000, established, one server": (
            ConnectionFilter(state="ESTABLISHED", destination=net.server(4, 1), limit=1000),
            MILLION,
        ),
        "page of 1000, nothing matches": (ConnectionFilter(state="FIN_WAIT", limit=1000), 0),
    }
    for word, (wanted, total) in filters.items():
        yield _row(f"list 1M: {word}", partial(table.page, wanted), lambda page: page.total, total)
    yield _row("sweep 1M, all alive", lambda: _sweep(world), lambda found: found[0], MILLION, goal=None)
    yield _sweep_away(bench, world)


def _row(
    case: str, call: Callable[[], T], check: Callable[[T], int], expected: int, *, goal: Goal | None = _GOAL
) -> Row:
    seconds: list[float] = []
    for _ in range(_ROUNDS):
        before = time.thread_time()
        found = call()
        seconds.append(time.thread_time() - before)
        if check(found) != expected:
            raise Unverified(f"{case}: {check(found)} instead of {expected}")
    return Row(
        case=case, unit="s", ours=median(seconds), goal=goal, detail={"rounds": seconds, "minimum": min(seconds)}
    )


def _sweep(world: World) -> tuple[int, int]:
    lines = len(world.tables.tags) // abi.CONN_WAYS
    alive = freed = 0
    for first in range(0, lines, _SWEEP_LINES):
        live, expired, _ = world.tables.sweep(first, min(_SWEEP_LINES, lines - first))
        alive, freed = alive + live, freed + expired
    return alive, freed


def _sweep_away(bench: Bench, world: World) -> Row:
    """Once: afterwards the world is empty, and not to be used again."""
    world.tables.conns["expires"] -= np.uint32(100_000 * world.tables.hz)
    before = time.thread_time()
    alive, freed = _sweep(world)
    seconds = time.thread_time() - before
    left = (int(world.tables.dests["active"].sum()), int(world.tables.dests["inactive"].sum()))
    bench.close_world()
    if (alive, freed) != (0, MILLION):
        raise Unverified(f"the sweep freed {freed} and left {alive} of a million expired connections")
    return Row(case="sweep 1M, all expired", unit="s", ours=seconds, detail={"counted_after": left})
