"""A SYN that makes a connection, in tables that fill from empty to a million."""

from __future__ import annotations

from collections.abc import Iterator

from bench.bench import Bench
from bench.cases.established import detail
from bench.driver import Stream
from bench.frames import SYN, request
from bench.measure import both, measure_filling
from bench.report import Row
from bench.world import MILLION, Shape
from piranha.model.service import ForwardingMethod

_METHODS = {"direct": ForwardingMethod.DIRECT, "nat": ForwardingMethod.MASQUERADE}


def run(bench: Bench) -> Iterator[Row]:
    for word, method in _METHODS.items() if bench.effort.whole else [("direct", ForwardingMethod.DIRECT)]:
        world = bench.empty_world(Shape(method=method))
        try:
            stream = Stream(request(bench.net, SYN), MILLION)
            costs = measure_filling(bench.driver, both(world, stream), 5)
        finally:
            world.close()
        yield Row(
            case=f"new connection, {word}, filling to 1M",
            ours=costs["ours"].median,
            peer=costs["peer"].median,
            detail={"connections": MILLION} | detail(costs),
        )
