"""sh, dh and mh: the same client (or address) gets the same server as from the kernel's IPVS, bucket by bucket."""

from __future__ import annotations

import pytest

from tests.packet.bench import Bench
from tests.packet.scenarios import Stage, expected, named
from tests.uml.scenario import Scenario


@pytest.mark.parametrize("scenario", named("sh", "mh", "dh"), ids=lambda scenario: scenario.name)
def test_choices_are_those_of_ipvs(tc: Bench, scenario: Scenario) -> None:
    assert Stage(tc).play(scenario) == expected(scenario)


def test_dbg(tc: Bench) -> None:
  for name in ("sh-empty","mh-empty","mh-many","mh-spread"):
    s = next(x for x in named("sh","mh") if x.name == name)
    from tests.packet.scenarios import recorded
    tc.plane.apply([__import__("piranha").dataplane.port.Clear()])
    print("X", name, [[(n, x, y) for n, (x, y) in enumerate(zip(a, b)) if x != y] for a, b in zip(Stage(tc).play(s), expected(s))])
    print("X", [r for r in recorded()[name] if isinstance(r, list) and len(r) <5])
  assert 0
