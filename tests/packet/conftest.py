"""Fixtures of the packet tests; they skip with the reason where the kernel or our rights are not enough."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.packet.bench import Bench, Net

METHODS = ("nat", "direct", "tunnel")


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


@pytest.fixture(params=["xdp", "tc"])
def bench(request: pytest.FixtureRequest, net: Net) -> Iterator[Bench]:
    bench = Bench(net, request.param)
    yield bench
    bench.close()


@pytest.fixture
def tc(net: Net) -> Iterator[Bench]:
    bench = Bench(net, "tc")
    yield bench
    bench.close()


@pytest.fixture
def xdp(net: Net) -> Iterator[Bench]:
    bench = Bench(net, "xdp")
    yield bench
    bench.close()
