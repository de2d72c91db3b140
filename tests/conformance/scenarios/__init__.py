"""All scenarios, by topic; a new module with a `SCENARIOS` tuple is named here and nowhere else."""

from __future__ import annotations

from tests.conformance.scenarios import (
    defences,
    edits,
    errors,
    fragments,
    ftp,
    hashed,
    kinds,
    least,
    limits,
    locality,
    methods,
    persistence,
    reuse,
    rotating,
    sctp_states,
    states,
)
from tests.uml.scenario import Scenario

TOPICS = (
    rotating,
    least,
    locality,
    hashed,
    limits,
    defences,
    edits,
    reuse,
    persistence,
    kinds,
    methods,
    errors,
    fragments,
    states,
    sctp_states,
    ftp,
)
SCENARIOS: tuple[Scenario, ...] = tuple(scenario for topic in TOPICS for scenario in topic.SCENARIOS)


def by_name(name: str) -> Scenario:
    """The scenario of this name. KeyError where there is none."""
    return {scenario.name: scenario for scenario in SCENARIOS}[name]
