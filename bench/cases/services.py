"""The cost of having many services: the same packet with 1 and with 10,000 services in the table."""

from __future__ import annotations

from collections.abc import Iterator

from bench.bench import Bench
from bench.cases.established import detail
from bench.cases.new_connection import fill_rounds
from bench.driver import Stream
from bench.frames import ACK, request
from bench.measure import XDP_REDIRECT, Cost, Expected, measure
from bench.report import Goal, Row
from bench.world import Shape, World

MANY = 10_000
_CONNECTIONS = 262_144
_FLOWS = 65_536
_FLAT = Goal(most=1.15, figure="ratio")
_EXPECTED = Expected(verdict=XDP_REDIRECT, in_packets=1)


def run(bench: Bench) -> Iterator[Row]:
    """Both worlds at once, so that the rounds interleave; `peer` is ours with one service."""
    one = bench.empty_world(Shape(connections=_CONNECTIONS))
    many = World(bench.net, bench.driver, Shape(connections=_CONNECTIONS, services=MANY))
    try:
        fresh = {name: fill_rounds(bench, world, 3)["ours"] for name, world in (("one", one), ("many", many))}
        for world in (one, many):
            world.clear()
            world.fill()
        hot = {
            name: _established(bench, world, flows=_FLOWS, services=1 if name == "one" else MANY)
            for name, world in (("one", one), ("many", many))
        }
        focus = _to_one(bench, one, many)
    finally:
        one.close()
        many.close()
    yield _row("established, to 1 of 10,000 services, against 1 service", focus, _FLAT)
    yield _row("established, spread over 10,000 services, against 1 service", hot, None)
    yield _row("new connection, spread over 10,000 services, against 1 service", fresh, None)


def _to_one(bench: Bench, one: World, many: World) -> dict[str, Cost]:
    """Packets of one connection each: only the number of services in the table differs."""
    found: dict[str, list[float]] = {"one": [], "many": []}
    for _ in range(bench.effort.rounds):
        for name, world in (("one", one), ("many", many)):
            cost = _established(bench, world, flows=1, services=1, rounds=1)
            found[name].append(cost.rounds[0])
    return {name: Cost(tuple(ns)) for name, ns in found.items()}
