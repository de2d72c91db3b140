"""What lies under every figure: reading a packet, and packets that are none of ours."""

from __future__ import annotations

from collections.abc import Iterator

from bench.bench import Bench
from bench.cases.established import detail
from bench.driver import Stream
from bench.frames import ACK, not_ip, request, stranger
from bench.measure import XDP_PASS, XDP_REDIRECT, Expected, measure
from bench.report import Row
from bench.world import Shape


def run(bench: Bench) -> Iterator[Row]:
    world = bench.world(Shape())
    ours = {"ours": world.contenders("xdp")["ours"]}
    parse = {"ours": bench.driver.parsing}
    for case, programs, frame, verdict in (
        ("floor: parse only", parse, request(bench.net, ACK), XDP_REDIRECT),
        ("not ours: not IP", ours, not_ip(bench.net), XDP_PASS),
        ("not ours: TCP to a stranger", ours, stranger(bench.net), XDP_PASS),
    ):
        stream = Stream(frame, 65536)
        costs = measure(bench.driver, programs, stream, bench.effort, Expected(verdict=verdict), world)
        yield Row(case=case, ours=costs["ours"].median, detail=detail(costs))
