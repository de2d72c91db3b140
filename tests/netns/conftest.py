"""Fixtures of the network-namespace tests; they skip with the reason where our rights are not enough."""

from __future__ import annotations

import os

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/netns" in str(item.path):
            item.add_marker(pytest.mark.root)
            # Whole clusters with real daemons in real time: a run that the machine's other work spoilt is inconclusive.
            item.add_marker(pytest.mark.flaky(reruns=2))
            if os.geteuid() != 0:
                item.add_marker(pytest.mark.skip(reason="needs root: network namespaces and BPF programs"))
