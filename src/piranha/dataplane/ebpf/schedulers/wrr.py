"""Weighted round robin as IPVS does it: the GCD-step walk, laid out as one whole period of picks.

The walk: a threshold `cw` steps down by the greatest common divisor of the weights, and in each pass every destination
whose weight reaches `cw` gets a turn. An edit starts a new pass at the head of the list, keeps `cw` rounded to the new
step, so the phase depends on the order in which destinations were added (spec: Linux ip_vs_wrr.c, as observed).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from piranha.dataplane.ebpf.schedulers.base import Candidate, Scheduler, SlotTable

MAX_WORDS = 16384
_MOST_NOTED = 0xFFFF  # a place in the note is 16 bits; tables of so many destinations go without


class _WeightedRoundRobin:
    """`state` of the table is the threshold with which its first pass begins; `note` says where the lowest pass lies."""

    name = "wrr"
    number = 2

    def build(self, old: SlotTable, before: Sequence[Candidate], after: Sequence[Candidate]) -> SlotTable:
        after = _fitted(after)
        step, top = _step_and_top(after)
        if not top:
            return SlotTable()
        now = _threshold(old, _fitted(before))
        if now > top or now <= 0:
            now = top
        elif step > 1:
            now = now // step * step + 1
        words: list[int] = []
        note = 0
        for threshold in _passes(now, step, top):
            begin = len(words)
            words += [c.index for c in after if c.weight >= threshold]
            if threshold <= step and len(words) <= _MOST_NOTED:
                note = len(words) << 16 | begin
        return SlotTable(words=tuple(words), state=now, note=note)


def _step_and_top(candidates: Sequence[Candidate]) -> tuple[int, int]:
    """The step of the threshold and the threshold of the first pass after a wrap; top 0 means nobody can be picked."""
    heaviest = max((c.weight for c in candidates), default=0)
    if heaviest <= 0:
        return 1, 0
    step = math.gcd(*(c.weight for c in candidates if c.weight > 0))
    return step, heaviest - (step - 1)


def _passes(first: int, step: int, top: int) -> list[int]:
    """Thresholds of one whole period that begins with `first`."""
    down = list(range(first, 0, -step))
    return down + list(range(top, first, -step))


def _threshold(table: SlotTable, candidates: Sequence[Candidate]) -> int:
    """The threshold of the pass that the running table is in."""
    if not table.words or not table.cursor:
        return table.state
    step, top = _step_and_top(candidates)
    # A pass whose last turn is taken is still the running one: the threshold steps down with the next turn.
    taken = (table.cursor - 1) % len(table.words) + 1
    for threshold in _passes(table.state, step, top) if top else []:
        taken -= sum(1 for c in candidates if c.weight >= threshold)
        if taken <= 0:
            return threshold
    return table.state


def _fitted(candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """Weights whose period would exceed MAX_WORDS turns are scaled down, never below 1."""
    step, top = _step_and_top(candidates)
    total = sum(c.weight for c in candidates) // step if top else 0
    if total <= MAX_WORDS:
        return candidates
    scale = (total * step) / max(1, MAX_WORDS - len(candidates))
    return [Candidate(c.index, max(1, round(c.weight / scale)) if c.weight > 0 else 0) for c in candidates]


SCHEDULER: Scheduler = _WeightedRoundRobin()
