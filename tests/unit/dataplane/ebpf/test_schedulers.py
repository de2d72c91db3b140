"""Schedulers' tables against a model of IPVS's own code: any weights, any edits, any number of picks in between."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piranha.dataplane.ebpf.schedulers import REGISTRY
from piranha.dataplane.ebpf.schedulers.base import Candidate, SlotTable
from piranha.dataplane.ebpf.schedulers.wrr import MAX_WORDS


@dataclass
class Server:
    index: int
    weight: int


@dataclass
class KernelRr:
    """ip_vs_rr.c: a cursor that points into the list of destinations; None is the list's head."""

    servers: list[Server] = field(default_factory=list)
    cursor: Server | None = None

    def added(self, server: Server) -> None:
        self.servers.insert(0, server)

    def removed(self, server: Server) -> None:
        place = self.servers.index(server)
        self.servers.pop(place)
        if self.cursor is server:
            self.cursor = self.servers[place - 1] if place else None

    def edited(self, server: Server, weight: int) -> None:
        server.weight = weight

    def pick(self) -> int | None:
        start = self.servers.index(self.cursor) + 1 if self.cursor is not None else 0
        for server in self.servers[start:] + self.servers[:start]:
            if server.weight > 0:
                self.cursor = server
                return server.index
        return None


@dataclass
class KernelWrr:
    """ip_vs_wrr.c: `mark` with the cursor cl, the current weight cw, the step di and the greatest weight mw."""

    servers: list[Server] = field(default_factory=list)
    cl: int = -1
    cw: int = 0
    di: int = 1
    mw: int = 0

    def _changed(self) -> None:
        self.cl = -1
        positive = [s.weight for s in self.servers if s.weight > 0]
        self.di = math.gcd(*positive) if positive else 1
        self.mw = max([0, *positive]) - (self.di - 1)
        if self.cw > self.mw or not self.cw:
            self.cw = self.mw
        elif self.di > 1:
            self.cw = self.cw // self.di * self.di + 1

    def added(self, server: Server) -> None:
        self.servers.insert(0, server)
        self._changed()

    def removed(self, server: Server) -> None:
        self.servers.remove(server)
        self._changed()

    def edited(self, server: Server, weight: int) -> None:
        server.weight = weight
        self._changed()

    def pick(self) -> int | None:
        if self.mw == 0:
            return None
        for _ in range(10_000):
            while self.cl + 1 < len(self.servers):
                self.cl += 1
                if self.servers[self.cl].weight >= self.cw:
                    return self.servers[self.cl].index
            self.cl = -1
            self.cw -= self.di
            if self.cw <= 0:
                self.cw = self.mw
        raise AssertionError("the model does not end")


class Ours:
    """The table as the kernel half uses it: each turn takes the next word."""

    def __init__(self, name: str) -> None:
        self.scheduler = REGISTRY[name]
        self.table = SlotTable()
        self.seen: list[Candidate] = []

    def changed(self, servers: Sequence[Server]) -> None:
        after = [Candidate(s.index, s.weight) for s in servers]
        self.table = self.scheduler.build(self.table, self.seen, after)
        self.seen = after

    def pick(self) -> int | None:
        if not self.table.words:
            return None
        word = self.table.words[self.table.cursor % len(self.table.words)]
        self.table = replace(self.table, cursor=self.table.cursor + 1)
        return word


weights = st.one_of(st.sampled_from([0, 1, 1, 2, 3]), st.integers(0, 12), st.sampled_from([10, 20, 30, 60]))
steps = st.one_of(
    st.tuples(st.just("add"), st.integers(0, 9), weights),
    st.tuples(st.just("remove"), st.integers(0, 9), st.just(0)),
    st.tuples(st.just("edit"), st.integers(0, 9), weights),
    st.tuples(st.just("pick"), st.integers(1, 30), st.just(0)),
)


@pytest.mark.parametrize(("name", "model"), [("rr", KernelRr), ("wrr", KernelWrr)])
@given(story=st.lists(steps, max_size=40))
def test_rotating_schedulers_pick_as_the_kernel_does(
    name: str, model: type[KernelRr] | type[KernelWrr], story: list[tuple[str, int, int]]
) -> None:
    kernel, ours, fresh = model(), Ours(name), iter(range(1, 1000))
    for what, number, weight in [*story, ("pick", 30, 0)]:
        servers = kernel.servers
        if what == "add" and len(servers) < 8:
            kernel.added(Server(next(fresh), weight))
        elif what == "remove" and servers:
            kernel.removed(servers[number % len(servers)])
        elif what == "edit" and servers:
            kernel.edited(servers[number % len(servers)], weight)
        elif what == "pick":
            for _ in range(number):
                assert ours.pick() == kernel.pick()
            continue
        else:
            continue
        ours.changed(kernel.servers)


@pytest.mark.parametrize("name", ["lc", "wlc"])
def test_least_loaded_ones_look_at_every_usable_destination_in_list_order(name: str) -> None:
    table = REGISTRY[name].build(SlotTable(), [], [Candidate(7, 1), Candidate(3, 0), Candidate(5, 2**31 - 1)])
    assert table.words == (7, 5)


@given(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=50))
def test_wrr_tables_have_a_bound(huge: list[int]) -> None:
    """Scaled down where need be; who has a weight has a turn, and who has none has none."""
    table = REGISTRY["wrr"].build(SlotTable(), [], [Candidate(i, w) for i, w in enumerate(huge, 1)])
    assert len(table.words) <= MAX_WORDS
    assert set(table.words) == {i for i, w in enumerate(huge, 1) if w}


def test_wrr_scaled_weights_keep_their_proportion() -> None:
    table = REGISTRY["wrr"].build(SlotTable(), [], [Candidate(1, 1_000_000), Candidate(2, 3_000_001)])
    turns = Counter(table.words)
    assert turns[2] / turns[1] == pytest.approx(3, rel=0.001)


def test_wrr_of_more_destinations_than_words() -> None:
    many = [Candidate(i, 1 + i % 2) for i in range(1, MAX_WORDS + 100)]
    table = REGISTRY["wrr"].build(SlotTable(), [], many)
    assert set(table.words) == {c.index for c in many}


def test_numbers_are_fixed() -> None:
    """They are in pinned tables: a number that changes would turn one scheduler into another at an upgrade."""
    names = ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh", "twos", "none"]
    assert {name: s.number for name, s in REGISTRY.items()} == {name: n for n, name in enumerate(names, 1)}
