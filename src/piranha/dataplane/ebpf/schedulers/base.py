"""What a scheduler is: the table of destinations that the kernel half chooses from, and how it changes with an edit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Candidate:
    """A destination in list order (newest first): its index in the kernel's table and its weight."""

    index: int
    weight: int


@dataclass(frozen=True, slots=True)
class SlotTable:
    """What the kernel reads: `cursor` counts turns taken, `words` are destination indices, `state` is private."""

    words: tuple[int, ...] = ()
    cursor: int = 0
    state: int = 0


class Scheduler(Protocol):
    """One scheduler. Pure: it sees values and returns values.

    `number` is the one of `SCHEDULER(name, number)` in bpf/sched/ and never changes.
    """

    name: str
    number: int

    def build(self, old: SlotTable, before: Sequence[Candidate], after: Sequence[Candidate]) -> SlotTable:
        """The table after one edit of the list from `before` to `after`; `old` has the cursor of this moment."""
        ...


def usable(candidates: Sequence[Candidate]) -> tuple[int, ...]:
    """Indices of those that may take new connections at all, in list order."""
    return tuple(c.index for c in candidates if c.weight > 0)
