"""A SYN that makes a connection, in tables that fill from empty to a million."""

from __future__ import annotations

from collections.abc import Iterator

from bench.bench import Bench
from bench.cases.established import detail
from bench.driver import FILL, Stream
from bench.frames import SYN, request
from bench.measure import XDP_REDIRECT, Cost, Expected, driver_cost
from bench.report import Row
from bench.world import MILLION, Shape, World
from piranha.model.service import ForwardingMethod

_EXPECTED = Expected(verdict=XDP_REDIRECT, conns=1, in_packets=1)


def run(bench: Bench) -> Iterator[Row]:
    methods = {"direct": ForwardingMethod.DIRECT, "nat": ForwardingMethod.MASQUERADE}
    for word, method in methods.items() if bench.effort.whole else [("direct", ForwardingMethod.DIRECT)]:
        world = bench.empty_world(Shape(method=method))
        try:
            costs = fill_rounds(bench, world, min(5, bench.effort.rounds) if bench.effort.whole else 3)
        finally:
            world.close()
        yield Row(
            case=f"new connection, {word}, filling to 1M",
            ours=costs["ours"].median,
            peer=costs["peer"].median,
            detail={"connections": MILLION} | detail(costs),
        )


def fill_rounds(bench: Bench, world: World, rounds: int) -> dict[str, Cost]:
    """The mean cost of one new connection, from the first to the last that the tables hold; emptied for each round."""
    stream = Stream(request(bench.net, SYN), world.shape.connections, world.shape.services)
    found: dict[str, list[float]] = {"ours": [], "peer": []}
    for number in range(rounds):
        world.clear()
        own = driver_cost(bench.driver, stream, 200_000, number)
        for name, program in world.contenders("xdp").items():
            before = world.totals()
            run = bench.driver.run(program, stream, stream.flows, multiplier=FILL)
            _EXPECTED.check(name, run.verdict, stream.flows, world.totals() - before, world.refusals())
            found[name].append(run.ns - own)
    return {name: Cost(tuple(ns)) for name, ns in found.items()}
