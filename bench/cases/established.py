"""A packet of an established connection: by forwarding method, family, hook, and how many connections take turns."""

from __future__ import annotations

from collections.abc import Iterator

from bench.bench import Bench
from bench.driver import Stream
from bench.frames import ACK, Frame, reply, request
from bench.measure import TC_REDIRECT, XDP_REDIRECT, Cost, Expected, both, measure
from bench.report import Goal, Row
from bench.world import MILLION, Shape, World
from piranha.model.service import ForwardingMethod

_GOAL = Goal(most=0.5, figure="ratio")
_ROOMY = 1_250_000  # entries of the peer; with them it has twice the buckets, and shorter chains
_WORDS = {1: "1 flow", 65536: "64K flows", MILLION: "1M flows"}
_IN, _OUT = Expected(verdict=XDP_REDIRECT, in_packets=1), Expected(verdict=XDP_REDIRECT, out_packets=1)
_TC_IN = Expected(verdict=TC_REDIRECT, in_packets=1)


def run(bench: Bench) -> Iterator[Row]:
    world = bench.world(Shape())
    for flows in (1, 65536, MILLION) if bench.effort.whole else (1, MILLION):
        goal = _GOAL if flows == MILLION else None
        yield _row(bench, world, "direct", request(bench.net, ACK), flows, _IN, goal=goal)
    world = bench.world(Shape(peer_entries=_ROOMY))
    yield _row(bench, world, "direct, roomier peer", request(bench.net, ACK), MILLION, _IN, goal=_GOAL)
    if not bench.effort.whole:
        return
    world = bench.world(Shape(method=ForwardingMethod.MASQUERADE))
    for flows in (1, MILLION):
        yield _row(bench, world, "nat request", request(bench.net, ACK), flows, _IN)
        yield _row(bench, world, "nat reply", reply(bench.net, ACK), flows, _OUT)
        yield _row(bench, world, "nat request, tc", request(bench.net, ACK).in_tc(), flows, _TC_IN, tc=True)
    world = bench.world(Shape(method=ForwardingMethod.TUNNEL))
    for flows in (1, MILLION):
        yield _row(bench, world, "tunnel", request(bench.net, ACK), flows, _IN, grown=True)
    world = bench.world(Shape(version=6))
    for flows in (1, MILLION):
        yield _row(bench, world, "direct, ipv6", request(bench.net, ACK, 6), flows, _IN)


def _row(
    bench: Bench,
    world: World,
    what: str,
    frame: Frame,
    flows: int,
    expected: Expected,
    *,
    tc: bool = False,
    grown: bool = False,
    goal: Goal | None = None,
) -> Row:
    stream = Stream(frame, flows, hook="tc" if tc else "xdp")
    costs = measure(bench.driver, both(world, stream, grown=grown), bench.effort, expected)
    return Row(
        case=f"established, {what}, {_WORDS[flows]}",
        ours=costs["ours"].median,
        peer=costs["peer"].median,
        goal=goal,
        detail={"hook": stream.hook, "flows": flows} | detail(costs),
    )


def detail(costs: dict[str, Cost]) -> dict[str, object]:
    """Minima, their ratio, and every round."""
    found: dict[str, object] = {f"{name}_minimum": round(cost.minimum, 1) for name, cost in costs.items()}
    found |= {f"{name}_rounds": [round(ns, 1) for ns in cost.rounds] for name, cost in costs.items()}
    if "peer" in costs:
        found["ratio_of_minima"] = round(costs["ours"].minimum / costs["peer"].minimum, 3)
    return found
