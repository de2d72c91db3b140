"""What the eBPF plane does in a scenario beside what the kernel's IPVS was recorded to do in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from piranha.dataplane.ebpf.tables import Tables
from tests.conformance.ebpf_runner import NotBuiltError, play
from tests.conformance.ipvs_runner import recorded
from tests.conformance.known_differences import reason_of
from tests.uml.scenario import Scenario, differences

Differences = dict[int, list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """`by_step` has the differences of each step that has some; `not_built` is the plane's own sentence, or empty."""

    scenario: Scenario
    by_step: Differences = field(default_factory=dict)
    not_built: str = ""

    @property
    def unexpected(self) -> Differences:
        """Those that no reason is known for."""
        return {step: lines for step, lines in self.by_step.items() if not reason_of(self.scenario, step)}


def compare(scenario: Scenario, tables: Tables, hook: str = "tc") -> Comparison:
    """Play the scenario on the eBPF plane and compare."""
    try:
        observed = play(scenario, tables, hook)
    except NotBuiltError as error:
        return Comparison(scenario=scenario, not_built=str(error))
    return Comparison(scenario=scenario, by_step=by_step(recorded()[scenario.name], observed))


def by_step(expected: list[Any], observed: list[Any]) -> Differences:
    """The differences of two results, of those steps that have some."""
    found = (
        (step, differences([one], [other])) for step, (one, other) in enumerate(zip(expected, observed, strict=True))
    )
    return {step: [line.removeprefix("step 0").strip(" :") for line in lines] for step, lines in found if lines}
