"""Round robin: the next usable destination after the last pick, whatever the weights."""

from __future__ import annotations

from collections.abc import Sequence

from piranha.dataplane.ebpf.schedulers.base import Candidate, Scheduler, SlotTable, usable


class _RoundRobin:
    """An edit does not disturb the turn: it goes on behind the last pick, or behind its predecessor if that is gone.

    `state` of the table is the destination that its first turn comes behind; 0 is the list's head.
    """

    name = "rr"
    number = 1

    def build(self, old: SlotTable, before: Sequence[Candidate], after: Sequence[Candidate]) -> SlotTable:
        last = _last(old, before)
        order = [c.index for c in before]
        kept = {c.index for c in after}
        place = order.index(last) if last in order else -1
        while place >= 0 and order[place] not in kept:
            place -= 1
        last = order[place] if place >= 0 else 0
        return SlotTable(words=usable(after), cursor=_turns_up_to(last, after), state=last)


def _last(table: SlotTable, candidates: Sequence[Candidate]) -> int:
    """The destination that the running table stands behind."""
    if not table.words or table.cursor == _turns_up_to(table.state, candidates):
        return table.state
    return table.words[(table.cursor - 1) % len(table.words)]


def _turns_up_to(last: int, candidates: Sequence[Candidate]) -> int:
    """Turns of a table made of `candidates` up to and including `last`; 0 when it is not there."""
    turns = 0
    for candidate in candidates:
        turns += candidate.weight > 0
        if candidate.index == last:
            return turns
    return 0


SCHEDULER: Scheduler = _RoundRobin()
