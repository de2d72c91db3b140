"""The peer's own test: the same packets through both programs must come out the same, and move the same counters."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from bench.bench import Bench
from bench.driver import Hook, Stream
from bench.frames import ACK, FIN, RST, SYN, reply, request
from bench.report import Row
from bench.world import Shape, Totals, Unverified, World
from piranha.model.service import ForwardingMethod

_FLOWS = 1000

# One connection's life, seen from both sides. Replies concern masqueraded connections alone.
_STORY = (
    ("request", ACK),  # no connection yet
    ("reply", ACK),
    ("request", SYN),
    ("reply", SYN | ACK),
    ("request", ACK),
    ("reply", ACK),
    ("request", ACK),
    ("request", FIN | ACK),
    ("reply", FIN | ACK),
    ("request", ACK),
    ("request", SYN),  # port reuse
    ("request", ACK),
    ("request", RST),
    ("request", ACK),
    ("request", SYN),
    ("reply", SYN | ACK),
)


def run(bench: Bench) -> Iterator[Row]:
    compared = 0
    hooks: tuple[Hook, ...] = ("xdp", "tc")
    for version, method in product((4, 6), ForwardingMethod):
        world = bench.empty_world(Shape(method=method, version=version, connections=4096, peer_entries=8192))
        try:
            for hook in hooks:
                compared += _compare(bench, world, hook)
                world.clear()
        finally:
            world.close()
    yield Row(case="peer agrees with ours: packets compared", unit="", ours=float(compared))
    yield _expiry(bench)


def _compare(bench: Bench, world: World, hook: Hook) -> int:
    """A tunnel's frame cannot be undone in TC, so there each packet starts from a new buffer: one flow a run."""
    masquerade = world.shape.method is ForwardingMethod.MASQUERADE
    made = steps = 0
    for step, (side, flags) in enumerate(_STORY):
        make = request if side == "request" else reply
        if side == "reply" and not masquerade:
            continue
        frame = make(bench.net, flags, world.shape.version)
        outcomes = {}
        for who, program in world.contenders(hook).items():
            before, refused = world.totals(), world.refusals()
            run = bench.driver.run(program, Stream(frame, 1, hook=hook), 1)
            reasons = {k: n - refused.get(k, 0) for k, n in world.refusals().items() if n != refused.get(k, 0)}
            outcomes[who] = (run.verdict, run.packet, world.totals() - before, reasons)
        if outcomes["ours"] != outcomes["peer"]:
            raise Unverified(f"{world.shape} {hook}, step {step}: {outcomes}")
        made += outcomes["ours"][2].conns
        steps += 1
    # Without replies the director never sees both ends close, so the SYN after the FINs begins nothing new.
    if made != (3 if masquerade else 2):
        raise Unverified(f"{world.shape} {hook}: the story made {made} connections")
    return steps


def _expiry(bench: Bench) -> Row:
    """Connections whose time has run out are made anew by a SYN, and are not there for anything else."""
    world = bench.empty_world(Shape(method=ForwardingMethod.MASQUERADE, connections=4096, peer_entries=8192))
    try:
        program = world.contenders("xdp")["peer"]
        stream = Stream(request(bench.net, SYN), _FLOWS)
        _expect(bench, world, program, stream, Totals(_FLOWS, _FLOWS, 0))
        connections, _ = world.peer_maps()
        layout = np.dtype([("life", "<u4"), ("dest", "<u4"), ("expires", "<u4"), ("rest", "u1", (52,))])
        keys, values = connections.items(np.dtype((np.void, 40)), layout)
        if len(keys) != _FLOWS:
            raise Unverified(f"the peer holds {len(keys)} connections instead of {_FLOWS}")
        values["expires"] -= np.uint32(1000 * world.tables.hz)
        connections.update_batch(keys, values)
        late = Stream(request(bench.net, ACK), _FLOWS)
        _expect(bench, world, program, late, Totals(0, 0, 0))
        _expect(bench, world, program, Stream(reply(bench.net, ACK), _FLOWS), Totals(0, 0, 0))
        _expect(bench, world, program, stream, Totals(_FLOWS, _FLOWS, 0))
        _expect(bench, world, program, Stream(reply(bench.net, ACK), _FLOWS), Totals(0, 0, _FLOWS))
        counted = int((world.tables.dests["active"] + world.tables.dests["inactive"]).sum())
        if counted != _FLOWS:
            raise Unverified(f"the destinations count {counted} connections instead of {_FLOWS}")
    finally:
        world.close()
    return Row(case="peer ends expired connections: compared", unit="", ours=float(_FLOWS))


def _expect(bench: Bench, world: World, program: int, stream: Stream, wanted: Totals) -> None:
    before = world.totals()
    bench.driver.run(program, stream, stream.flows)
    if world.totals() - before != wanted:
        raise Unverified(f"the peer: {world.totals() - before} instead of {wanted}")
