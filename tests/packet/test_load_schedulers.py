"""lc, wlc, sed, nq, fo, ovf, lblc, lblcr, none and twos, and the rotating ones, against the choices of the kernel's IPVS."""

from __future__ import annotations

import pytest

from tests.packet.bench import Bench
from tests.packet.scenarios import Stage, differences, named
from tests.uml.scenario import Scenario

FAMILIES = ("rr", "wrr", "lc", "wlc", "sed", "nq", "fo", "ovf", "lblc", "lblcr", "upper", "scheduler", "two")


@pytest.mark.parametrize("scenario", named(*FAMILIES), ids=lambda scenario: scenario.name)
def test_choices_are_those_of_ipvs(tc: Bench, scenario: Scenario) -> None:
    assert differences(scenario, Stage(tc).play(scenario)) == []
