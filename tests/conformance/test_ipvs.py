"""The recordings are what the kernel's IPVS does: every scenario is played again in the user-mode kernel and compared."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.ipvs_runner import play_all, recorded
from tests.conformance.scenarios import SCENARIOS
from tests.uml.guest import why_not
from tests.uml.scenario import Scenario, differences

TIMEOUT_S = 600


@pytest.fixture(scope="module")
def played() -> dict[str, Any]:
    if reason := why_not():
        pytest.skip(reason)
    return play_all(SCENARIOS, timeout_s=TIMEOUT_S)


def test_every_scenario_is_recorded_and_no_other() -> None:
    assert sorted(recorded()) == sorted(scenario.name for scenario in SCENARIOS)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_kernel_does_what_was_recorded(scenario: Scenario, played: dict[str, Any]) -> None:
    result = played[scenario.name]
    assert isinstance(result, list), result["failed"]
    assert differences(recorded()[scenario.name], result) == []
