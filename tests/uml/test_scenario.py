"""Scenarios survive the way to the guest and back, and differences between results are found."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conformance.scenarios import SCENARIOS
from tests.uml.scenario import AddDestination, Destination, Scenario, differences


def test_every_scenario_comes_back_from_json_as_it_was() -> None:
    assert [Scenario.from_json(json.loads(json.dumps(item.to_json()))) for item in SCENARIOS] == list(SCENARIOS)


def test_names_are_used_once() -> None:
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)


def test_a_step_for_a_service_nobody_adds_is_refused() -> None:
    step = AddDestination(label="web", destination=Destination(endpoint="10.2.0.1:80"))
    with pytest.raises(ValueError, match="no service is labelled web"):
        Scenario(name="one", about="", steps=(step,))


@pytest.mark.parametrize(
    ("expected", "observed", "count"),
    [
        (["ok", ["refused"]], ["ok", ["refused"]], 0),
        (["ok", ["refused"]], ["ok", ["dropped"]], 1),
        (["ok"], ["ok", "ok"], 1),
        ([{"timeout_s": 60}], [{"timeout_s": 57}], 0),
        ([{"timeout_s": 60}], [{"timeout_s": 50}], 1),
        ([{"active": 1, "weight": 2}], [{"active": 2}], 2),
        ([["ok"]], ["ok"], 1),
    ],
)
def test_differences(expected: list[Any], observed: list[Any], count: int) -> None:
    assert len(differences(expected, observed)) == count
