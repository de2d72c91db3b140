"""What people and programs are told of replication. JSON-shaped."""

from __future__ import annotations

from enum import StrEnum
from typing import TypedDict

from piranha.replication.agreement import Agreement
from piranha.replication.generation import Relation

SHORT = 12
"""Digits of a digest that are shown, and understood."""


class ReplicationState(StrEnum):
    OFF = "off"  # no pair, or no key
    ALONE = "alone"  # the other director is not reached
    IN_STEP = "in step"
    AHEAD = "ahead"  # the other does not have our text yet
    BEHIND = "behind"  # the other's text is being taken
    APART = "apart"  # both were edited, and it is being decided


class ConflictView(TypedDict):
    """A text that is kept beside the one in force. `id` names it in requests; `text_here` is False where it was lost."""

    id: str
    director: str
    generation: str
    lines: int
    text_here: bool


class ConflictDocument(TypedDict):
    """One conflict with both texts."""

    conflict: ConflictView
    theirs: str
    ours: str


class ConflictsDocument(TypedDict):
    conflicts: list[ConflictView]


class ReplicationView(TypedDict):
    """`why` says what a state comes from; `problems` are sentences that ask for a person."""

    state: str
    why: str
    generation: str
    peer: str
    peer_address: str
    peer_generation: str
    conflicts: list[ConflictView]
    problems: list[str]


class OutcomeDocument(TypedDict):
    """What a request for a change came to."""

    state: str
    generation: str
    sentence: str


class KeyChangeDocument(TypedDict):
    key_id: int
    peer: str


_STATES = {
    None: ReplicationState.ALONE,
    Relation.SAME: ReplicationState.IN_STEP,
    Relation.AHEAD: ReplicationState.AHEAD,
    Relation.BEHIND: ReplicationState.BEHIND,
    Relation.TWINS: ReplicationState.APART,
    Relation.APART: ReplicationState.APART,
}


def state_of(agreement: Agreement) -> ReplicationState:
    return _STATES[agreement.relation]


def off_view(why: str) -> ReplicationView:
    return ReplicationView(
        state=ReplicationState.OFF.value,
        why=why,
        generation="",
        peer="",
        peer_address="",
        peer_generation="",
        conflicts=[],
        problems=[],
    )


def conflicts_of(agreement: Agreement) -> list[ConflictView]:
    views = []
    for copy in agreement.head.copies:
        text = agreement.text_of(copy.digest)
        views.append(
            ConflictView(
                id=copy.digest[:SHORT],
                director=copy.name,
                generation=f"{copy.term}.{copy.counter}",
                lines=0 if text is None else len(text.splitlines()),
                text_here=text is not None,
            )
        )
    return views


def problems_of(agreement: Agreement) -> list[str]:
    """The sentences of refusals and conflicts."""
    sentences = [
        f"the configuration of {agreement.peer_name} is refused here: {'; '.join(reasons)}"
        for reasons in agreement.refusals.values()
    ]
    if agreement.refused_there is not None:
        reasons = "; ".join(agreement.refused_there[1])
        sentences.append(f"{agreement.peer_name} refuses this configuration: {reasons}")
    count = len(agreement.head.copies)
    if count:
        what = "1 configuration was" if count == 1 else f"{count} configurations were"
        sentences.append(f"{what} edited apart and is kept beside this one: see `piranha config conflicts`")
    return sentences
