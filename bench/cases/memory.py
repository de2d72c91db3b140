"""Map memory a connection: what the kernel charges for the maps, by the connections that they hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.bench import Bench
from bench.report import Goal, Row
from bench.world import MILLION, Shape, Unverified
from piranha.dataplane.ebpf.map import BpfMap
from piranha.model.service import ForwardingMethod


def run(bench: Bench) -> Iterator[Row]:
    """In a world of a million masqueraded connections, which was filled without one refusal: both directions are in."""
    world = bench.world(Shape(method=ForwardingMethod.MASQUERADE))
    maps = world.tables.maps
    ours = [maps[name] for name in ("conn_tags", "conns", "rev_tags")]
    connections, replies = world.peer_maps()
    yield _row("memory a connection, nat", ours, [connections, replies])
    yield _row("memory a connection, direct (ours keeps the index)", ours, [connections])


def _row(case: str, ours: Iterable[BpfMap], peer: Iterable[BpfMap]) -> Row:
    charged = {m.name: _charged_bytes(m.fd) for m in (*ours, *peer)}
    defined = sum(m.max_entries * m.value_size for m in ours)
    return Row(
        case=case,
        unit="B",
        ours=sum(_charged_bytes(m.fd) for m in ours) / MILLION,
        peer=sum(_charged_bytes(m.fd) for m in peer) / MILLION,
        goal=Goal(most=192),
        detail={"charged_bytes": charged, "ours_by_definition": defined / MILLION},
    )


def _charged_bytes(fd: int) -> int:
    for line in Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines():
        if line.startswith("memlock:"):
            return int(line.split(":")[1])
    raise Unverified("the kernel does not say what a map takes")
