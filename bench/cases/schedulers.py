"""The cost of having many servers: a new connection with 10 and with 1,000 destinations, by scheduler.

In these rows the peer is not a rival: it is our own program with 10 destinations.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.bench import Bench
from bench.cases.established import detail
from bench.driver import Stream
from bench.frames import SYN, request
from bench.measure import Contender, measure_filling
from bench.report import Goal, Row
from bench.world import Shape, World

FEW, MANY = 10, 1000
_CONNECTIONS = 65_536
_ROUNDS = 5
# Tables are looked up; those that compare live counts look at every destination.
_QUICK = ("rr", "mh", "wlc")
_GOALS = {"rr": 1.3, "wrr": 1.3, "sh": 1.3, "dh": 1.3, "mh": 1.3, "wlc": 12.0, "sed": None, "twos": None}


def run(bench: Bench) -> Iterator[Row]:
    bench.close_world()
    for scheduler in _GOALS if bench.effort.whole else _QUICK:
        most = _GOALS[scheduler]
        worlds = {
            who: World(
                bench.net,
                bench.driver,
                Shape(scheduler=scheduler, servers=servers, connections=_CONNECTIONS, peer_entries=_CONNECTIONS * 2),
            )
            for who, servers in (("ours", MANY), ("peer", FEW))
        }
        try:
            stream = Stream(request(bench.net, SYN), _CONNECTIONS)
            entered = {who: Contender(world=world, stream=stream) for who, world in worlds.items()}
            costs = measure_filling(bench.driver, entered, _ROUNDS)
        finally:
            for world in worlds.values():
                world.close()
        yield Row(
            case=f"new connection, {scheduler}, {MANY} destinations / {FEW}",
            ours=costs["ours"].median,
            peer=costs["peer"].median,
            goal=None if most is None else Goal(most=most, figure="ratio"),
            detail=detail(costs),
        )
