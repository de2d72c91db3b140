"""What lies under every figure: reading a packet, and packets that are none of ours."""

from __future__ import annotations

from collections.abc import Iterator

from bench.bench import Bench
from bench.cases.established import detail
from bench.driver import Stream
from bench.frames import ACK, not_ip, request, stranger
from bench.measure import XDP_PASS, XDP_REDIRECT, Contender, Expected, measure
from bench.report import Row
from bench.world import Shape


def run(bench: Bench) -> Iterator[Row]:
    world = bench.world(Shape())
    for case, frame, verdict, program in (
        ("floor: parse only", request(bench.net, ACK), XDP_REDIRECT, bench.driver.parsing),
        ("not ours: not IP", not_ip(bench.net), XDP_PASS, None),
        ("not ours: TCP to a stranger", stranger(bench.net), XDP_PASS, None),
    ):
        contender = Contender(world=world, stream=Stream(frame, 65536), stranger=program)
        costs = measure(bench.driver, {"ours": contender}, bench.effort, Expected(verdict=verdict))
        yield Row(case=case, ours=costs["ours"].median, detail=detail(costs))
