"""Slow start: how a returning server comes to its full weight. Pure."""

from __future__ import annotations

from math import ceil

from piranha.model.configuration import SlowStartForm

STEPS = 20
"""A linear ramp has at most so many: each is a change of the table."""
SHORTEST_STEP_S = 1.0


def first_weight(weight: int) -> int:
    """Where the original's ramp begins: a 32nd of the weight, at least 1 (nanny 0.8.6)."""
    return max(weight >> 5, 1)


def ramped(weight: int, elapsed_s: float, slow_start_s: float, form: SlowStartForm) -> tuple[int, float | None]:
    """The weight that long after the server came in, and in how many seconds the next step follows (None: never).

    Doubling goes from `first_weight` on in equal times, so that weight 100 over 120 s is the original's ramp. Linear
    goes in equal steps. Neither is below 1 nor above `weight`, and neither ever falls with time.
    """
    if weight <= 1 or elapsed_s >= slow_start_s:
        return weight, None
    elapsed_s = max(elapsed_s, 0.0)
    if form is SlowStartForm.DOUBLING:
        steps = (ceil(weight / first_weight(weight)) - 1).bit_length()
    else:
        steps = min(STEPS, weight, max(1, int(slow_start_s / SHORTEST_STEP_S)))
    step_s = slow_start_s / steps
    done = min(int(elapsed_s / step_s), steps - 1)
    if form is SlowStartForm.DOUBLING:
        now = min(first_weight(weight) << done, weight)
    else:
        now = max(1, weight * (done + 1) // (steps + 1))
    return now, max((done + 1) * step_s - elapsed_s, 0.0)
