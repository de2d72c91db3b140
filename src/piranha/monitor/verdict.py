"""From outcomes to a verdict: when a server goes in and out (spec section 5.2)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from piranha.model.check import VerdictRules
from piranha.model.check_block import ChecksNeeded
from piranha.model.health import Health


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictState:
    """Health of one server with the successes and failures in a row that led to it. At most one of the two is not 0."""

    health: Health = Health.UNKNOWN
    successes: int = 0
    failures: int = 0


def judge(state: VerdictState, ok: bool, rules: VerdictRules) -> tuple[VerdictState, Health | None]:
    """The state after one outcome, and the new health where it changed.

    | health  | success                       | failure                        |
    |---------|-------------------------------|--------------------------------|
    | UNKNOWN | UP                            | DOWN with the `fall`-th in row |
    | UP      | stays                         | DOWN with the `fall`-th in row |
    | DOWN    | UP with the `rise`-th in row  | stays                          |
    """
    if ok:
        successes = min(state.successes + 1, max(rules.rise, 1))
        needed = rules.rise if state.health is Health.DOWN else 1
        health = Health.UP if successes >= needed else state.health
        after = VerdictState(health=health, successes=successes)
    else:
        failures = min(state.failures + 1, max(rules.fall, 1))
        health = Health.DOWN if failures >= rules.fall else state.health
        after = VerdictState(health=health, failures=failures)
    return after, (health if health is not state.health else None)


def ready(state: VerdictState, rules: VerdictRules) -> VerdictState:
    """The same health with the next success enough to bring the server in (the original's "removing glasses")."""
    return VerdictState(health=state.health, successes=max(rules.rise - 1, 0))


def combine(needed: ChecksNeeded, healths: Collection[Health]) -> Health:
    """The health of a server from those of its checks.

    | needed | UP when      | DOWN when    | else    |
    |--------|--------------|--------------|---------|
    | ALL    | all are UP   | any is DOWN  | UNKNOWN |
    | ANY    | any is UP    | all are DOWN | UNKNOWN |
    """
    decisive, other = (Health.DOWN, Health.UP) if needed is ChecksNeeded.ALL else (Health.UP, Health.DOWN)
    if decisive in healths:
        return decisive
    return other if all(health is other for health in healths) else Health.UNKNOWN
