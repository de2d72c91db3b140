"""Round robin: the next usable destination after the last pick, whatever the weights."""

from __future__ import annotations

from collections.abc import Sequence

from piranha.dataplane.ebpf.schedulers.base import Candidate, Scheduler, SlotTable, usable


class _RoundRobin:
    """An edit does not disturb the turn: it goes on behind the last pick, or behind its predecessor if that is gone."""

    name = "rr"
    number = 1

    def build(self, old: SlotTable, before: Sequence[Candidate], after: Sequence[Candidate]) -> SlotTable:
        words = usable(after)
        if not words or not old.words or not old.cursor:
            return SlotTable(words=words)
        last = old.words[(old.cursor - 1) % len(old.words)]
        return SlotTable(words=words, cursor=_turns_behind(last, before, after, len(words)))


def _turns_behind(last: int, before: Sequence[Candidate], after: Sequence[Candidate], length: int) -> int:
    """How many turns of the new table come up to and including `last`; 0 starts at the head."""
    order = [c.index for c in before]
    place = order.index(last) if last in order else -1
    position = {c.index: i for i, c in enumerate(after)}
    while place >= 0 and order[place] not in position:
        place -= 1
    if place < 0:
        return 0
    turns = sum(1 for c in after[: position[order[place]] + 1] if c.weight > 0)
    return turns % length


SCHEDULER: Scheduler = _RoundRobin()
