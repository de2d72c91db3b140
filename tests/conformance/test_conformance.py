"""Two planes, one semantics: every scenario on the eBPF plane gives what the kernel's IPVS was recorded to give.

`tests/conformance/test_ipvs.py` shows that the recordings are what IPVS does. What is known to differ is listed, step by
step and with its reason, in `known_differences.py`; the list may not outlive a difference.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from piranha.dataplane.ebpf.tables import Tables, open_tables
from tests.conformance.comparison import compare
from tests.conformance.ebpf_runner import why_not
from tests.conformance.ipvs_runner import recorded
from tests.conformance.known_differences import KNOWN_DIFFERENCES
from tests.conformance.scenarios import SCENARIOS, errors, fragments, ftp, kinds, methods
from tests.packet.bench import CAPACITY
from tests.uml.scenario import Scenario

pytestmark = pytest.mark.root
# The hook decides about packets, hardly about choices; what XDP does not do itself it leaves to TC.
PLAYED = [("tc", scenario) for scenario in SCENARIOS]
PLAYED += [("xdp", scenario) for topic in (errors, fragments, ftp, kinds, methods) for scenario in topic.SCENARIOS]


@pytest.fixture(scope="module")
def tables() -> Iterator[Tables]:
    if reason := why_not():
        pytest.skip(reason)
    tables = open_tables(None, CAPACITY)
    yield tables
    tables.close()


@pytest.mark.parametrize(("hook", "scenario"), PLAYED, ids=[f"{hook}-{scenario.name}" for hook, scenario in PLAYED])
def test_the_planes_agree(hook: str, scenario: Scenario, tables: Tables) -> None:
    result = compare(scenario, tables, hook)
    if result.not_built:
        pytest.skip(result.not_built)
    assert result.unexpected == {}
    listed = {known.step for known in KNOWN_DIFFERENCES if known.scenario == scenario.name}
    assert listed <= result.by_step.keys(), "listed in known_differences.py, and differs no longer"


def test_known_differences_name_steps_that_exist() -> None:
    steps = {scenario.name: len(scenario.steps) for scenario in SCENARIOS}
    for known in KNOWN_DIFFERENCES:
        assert known.step < steps[known.scenario], known
        assert known.reason.strip(), known


def test_a_difference_is_listed_once() -> None:
    places = [(known.scenario, known.step) for known in KNOWN_DIFFERENCES]
    assert len(places) == len(set(places))


def test_everything_is_recorded() -> None:
    assert [scenario.name for scenario in SCENARIOS if scenario.name not in recorded()] == []
