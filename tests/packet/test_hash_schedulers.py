"""sh, dh and mh: the same client (or address) gets the same server as from the kernel's IPVS, bucket by bucket."""

from __future__ import annotations

import pytest

from tests.packet.bench import Bench
from tests.packet.scenarios import Stage, differences, named
from tests.uml.scenario import Scenario


@pytest.mark.parametrize("scenario", named("sh", "mh", "dh"), ids=lambda scenario: scenario.name)
def test_choices_are_those_of_ipvs(tc: Bench, scenario: Scenario) -> None:
    assert differences(scenario, Stage(tc).play(scenario)) == []
