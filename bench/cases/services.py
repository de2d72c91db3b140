"""The cost of having many services: the same packets with 1 and with 10,000 services in the table.

In these rows the peer is not a rival: it is our own program with one service.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.bench import Bench
from bench.cases.established import detail
from bench.driver import Stream
from bench.frames import ACK, SYN, request
from bench.measure import XDP_REDIRECT, Contender, Cost, Expected, measure, measure_filling
from bench.report import Goal, Row
from bench.world import Shape, World

MANY = 10_000
_CONNECTIONS = 262_144
_PEER = _CONNECTIONS * 2
_FLOWS = 65_536
_ROUNDS = 5
_FLAT = Goal(most=1.1, figure="ratio")
_EXPECTED = Expected(verdict=XDP_REDIRECT, in_packets=1)


def run(bench: Bench) -> Iterator[Row]:
    """`of`: all traffic goes to one of the services. `over`: each flow to another one, which touches other records."""
    one = bench.empty_world(Shape(connections=_CONNECTIONS, peer_entries=_PEER))
    many = World(bench.net, bench.driver, Shape(connections=_CONNECTIONS, services=MANY, peer_entries=_PEER))
    try:
        spreads = [(f"1 of {MANY}", 1, _FLAT), (f"over {MANY}", MANY, None)]
        for word, services, goal in spreads if bench.effort.whole else spreads[:1]:
            new = measure_filling(bench.driver, _entered(bench, one, many, SYN, _CONNECTIONS, services), _ROUNDS)
            for world, spread in ((one, 1), (many, services)):
                world.clear()
                world.fill(spread)
            old = measure(bench.driver, _entered(bench, one, many, ACK, _FLOWS, services), bench.effort, _EXPECTED)
            yield _row(f"established, {word} services / 1 service", old, goal)
            yield _row(f"new connection, {word} services / 1 service", new, goal)
    finally:
        one.close()
        many.close()


def _entered(bench: Bench, one: World, many: World, flags: int, flows: int, services: int) -> dict[str, Contender]:
    frame = request(bench.net, flags)
    return {
        "ours": Contender(world=many, stream=Stream(frame, flows, services)),
        "peer": Contender(world=one, stream=Stream(frame, flows)),
    }


def _row(case: str, costs: dict[str, Cost], goal: Goal | None) -> Row:
    return Row(case=case, ours=costs["ours"].median, peer=costs["peer"].median, goal=goal, detail=detail(costs))
