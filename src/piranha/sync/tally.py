"""What connection sync did, in numbers, and how far its copy is."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypedDict

from piranha.dataplane.ebpf.arrivals import Outcome


class SyncState(StrEnum):
    """How far this director's copy of the partner's table is."""

    OFF = "off"
    SOURCE = "source"  # this director is active: its table is the original
    WAITING = "waiting"  # for the partner's answer
    COPYING = "copying"
    IN_STEP = "in step"
    ALONE = "alone"  # nobody answers: there is nothing to copy

    @property
    def is_synced(self) -> bool:
        """Whether there is nothing to wait for before this director serves."""
        return self not in (SyncState.WAITING, SyncState.COPYING)


@dataclass(slots=True)
class Tally:
    """Totals since lvsd started. `heard` counts entries by what became of them."""

    told_entries: int = 0
    told_datagrams: int = 0
    heard_entries: int = 0
    heard_datagrams: int = 0
    heard: Counter[Outcome] = field(default_factory=Counter)
    foreign: int = 0
    faults: int = 0
    last_fault: str = ""
    unknown_options: int = 0
    send_failures: int = 0
    last_failure: str = ""
    problem: str = ""
    heard_at: float | None = None
    told_at: float | None = None


class ListenerView(TypedDict):
    """One partner that is told by stream. `lag_s` is the age of the oldest round that it did not confirm."""

    peer: str
    entries: int
    lag_s: float
    copied: bool


class SyncView(TypedDict):
    """`lag_s` bounds how long a change waits before it is told; -1 where nobody is told."""

    state: str
    role: str
    daemons: list[str]
    transport: str
    told_entries: int
    told_datagrams: int
    heard_entries: int
    heard_datagrams: int
    outcomes: dict[str, int]
    waiting: int
    foreign: int
    faults: int
    send_failures: int
    heard_ago_s: float | None
    told_ago_s: float | None
    lag_s: float
    listeners: list[ListenerView]
    problems: list[str]
