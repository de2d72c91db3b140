"""From what stands, what we made earlier and what is wanted to the steps between. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from piranha.realserver.record import EMPTY, Made, Record
from piranha.realserver.request import SetupRequest
from piranha.realserver.requirement import Requirement, State, identity

Read = Callable[[Requirement], State]


@dataclass(frozen=True, slots=True, kw_only=True)
class Make:
    """Bring a requirement about."""

    requirement: Requirement
    found: State

    def __str__(self) -> str:
        return f"set {self.requirement}" + (f" (was {self.found})" if _is_short(self.found) else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore:
    """Bring back what was there before."""

    requirement: Requirement
    before: State

    def __str__(self) -> str:
        if self.before is None:
            return f"remove {self.requirement}"
        return f"restore {self.requirement.subject}" + (f" = {self.before}" if _is_short(self.before) else "")


Step = Make | Restore


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Steps in order; `record` is the memory once they are done; `notes` name what is left alone and why."""

    steps: tuple[Step, ...]
    record: Record
    notes: tuple[str, ...] = ()


def _is_short(state: State) -> bool:
    return state is not None and len(state) <= 40 and "\n" not in state


def merge(asked: SetupRequest, standing: SetupRequest | None) -> SetupRequest:
    """The request with the VIPs that stand already, in order: setting up a second VIP keeps the first."""
    if standing is None:
        return asked
    return replace(
        asked,
        vips=tuple(dict.fromkeys((*standing.vips, *asked.vips))),
        tunnel=asked.tunnel or standing.tunnel,
        persist=asked.persist or standing.persist,
    )


def plan(record: Record, request: SetupRequest | None, wanted: tuple[Requirement, ...], read: Read) -> Plan:
    """Undo what we made and is not wanted any more, newest first; then make what is wanted and does not hold.

    `request` None and nothing wanted is a whole undo. What somebody changed after us is left as it is, with a note.
    """
    steps: list[Step] = []
    notes: list[str] = []
    by_identity = {identity(r): r for r in wanted}
    made = {identity(m.requirement): m for m in record.made}
    for entry in reversed(record.made):
        if identity(entry.requirement) in by_identity:
            continue
        state = read(entry.requirement)
        if state == entry.before:
            pass
        elif entry.requirement.is_met_by(state):
            steps.append(Restore(requirement=entry.requirement, before=entry.before))
        else:
            notes.append(f"{entry.requirement} was changed by somebody else since: left as it is")
        del made[identity(entry.requirement)]
    for requirement in wanted:
        key = identity(requirement)
        state = read(requirement)
        if requirement.is_met_by(state):
            if key in made:
                made[key] = replace(made[key], requirement=requirement)
            continue
        steps.append(Make(requirement=requirement, found=state))
        before = made[key].before if key in made else state
        made[key] = Made(requirement=requirement, before=before)
    kept = tuple(made.values())
    new = Record(request=request, made=kept) if request is not None else replace(EMPTY, made=kept)
    return Plan(steps=tuple(steps), record=new, notes=tuple(notes))


def missing(wanted: tuple[Requirement, ...], read: Read) -> list[Make]:
    """What `check` reports: requirements that do not hold, with what was found instead."""
    return [Make(requirement=r, found=state) for r in wanted if not r.is_met_by(state := read(r))]
