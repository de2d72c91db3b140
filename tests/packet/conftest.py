"""Fixtures of the packet tests; they skip with the reason where the kernel or our rights are not enough."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from piranha.dataplane.ebpf.tables import Capacity, Tables, open_tables
from tests.packet.bench import CAPACITY, Bench, Net, wiped


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/packet" in str(item.path):
            item.add_marker(pytest.mark.root)
            if os.geteuid() != 0:
                item.add_marker(pytest.mark.skip(reason="needs root: BPF programs and a network namespace"))


@pytest.fixture(scope="session")
def net() -> Iterator[Net]:
    net = Net()
    yield net
    net.close()


@pytest.fixture(scope="session")
def tables_of() -> Iterator[Callable[[Capacity], Tables]]:
    """Tables of a capacity, empty; loaded once."""
    loaded: dict[Capacity, Tables] = {}

    def get(capacity: Capacity) -> Tables:
        if capacity not in loaded:
            loaded[capacity] = open_tables(None, capacity)
        return wiped(loaded[capacity])

    yield get
    for tables in loaded.values():
        tables.close()


@pytest.fixture(params=["xdp", "tc"])
def hook(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def bench(hook: str, net: Net, tables_of: Callable[[Capacity], Tables]) -> Bench:
    return Bench(net, hook, tables_of(CAPACITY))


@pytest.fixture
def tc(net: Net, tables_of: Callable[[Capacity], Tables]) -> Bench:
    return Bench(net, "tc", tables_of(CAPACITY))


@pytest.fixture
def xdp(net: Net, tables_of: Callable[[Capacity], Tables]) -> Bench:
    return Bench(net, "xdp", tables_of(CAPACITY))
