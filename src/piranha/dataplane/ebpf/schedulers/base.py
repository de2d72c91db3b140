"""What a scheduler is: the table of destinations that the kernel half chooses from, and how it changes with an edit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Candidate:
    """A destination in list order (newest first): its index in the kernel's table and its weight.

    `last_weight` is the weight, or when that is edited to 0 the one before; `fold` is the number that stands for
    address and port in hashes (hashing.fold).
    """

    index: int
    weight: int
    last_weight: int = 0
    fold: int = 0


@dataclass(frozen=True, slots=True)
class SlotTable:
    """What the kernel reads: `cursor` counts turns taken, `words` are destination indices, `note` is the scheduler's own
    word to its kernel half; `state` is private.
    """

    words: tuple[int, ...] = ()
    cursor: int = 0
    state: int = 0
    note: int = 0


class Scheduler(Protocol):
    """One scheduler. Pure: it sees values and returns values.

    `number` is the one of `SCHEDULER(name, number)` in bpf/sched/ and never changes.
    """

    name: str
    number: int

    def build(self, old: SlotTable, before: Sequence[Candidate], after: Sequence[Candidate]) -> SlotTable:
        """The table after one edit of the list from `before` to `after`; `old` has the cursor of this moment."""
        ...


class LoadScheduler:
    """A scheduler whose kernel half compares the live counts of the usable destinations, in list order."""

    def __init__(self, name: str, number: int) -> None:
        self.name, self.number = name, number

    def build(self, old: SlotTable, before: Sequence[Candidate], after: Sequence[Candidate]) -> SlotTable:
        # The cursor is for the kernel half; what that wrote there lives as long as the service keeps the scheduler.
        return SlotTable(words=usable(after), cursor=old.cursor)


def usable(candidates: Sequence[Candidate]) -> tuple[int, ...]:
    """Indices of those that may take new connections at all, in list order."""
    return tuple(c.index for c in candidates if c.weight > 0)
