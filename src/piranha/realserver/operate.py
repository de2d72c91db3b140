"""Set up, check and undo a real server: read, plan, write the record, do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Protocol

from piranha.model.address import IPAddress
from piranha.realserver import record as records
from piranha.realserver.plan import Make, Plan, merge, missing, plan
from piranha.realserver.record import Record
from piranha.realserver.request import HostFacts, SetupRequest
from piranha.realserver.requirement import FileIs, Requirement, State, identity
from piranha.realserver.wanted import want


class Machine(Protocol):
    """What the operations need of a machine: `Host`, or a fake of it."""

    def facts(self, *, rip: IPv4Address | None = None, interfaces: tuple[str, ...] = ()) -> HostFacts: ...
    def read(self, requirement: Requirement) -> State: ...
    def make(self, requirement: Requirement) -> None: ...
    def restore(self, requirement: Requirement, before: State) -> None: ...
    def tell_systemd(self) -> None: ...
    def read_text(self, path: Path) -> str | None: ...
    def write_record(self, path: Path, text: str | None) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was planned (and done, unless it was a dry run), and remarks for the person."""

    plan: Plan
    notes: tuple[str, ...]


Progress = Callable[[str], None]


def load_record(machine: Machine, path: Path) -> Record:
    """The record of earlier changes; an empty one where there is none. Raises PiranhaError for a spoilt one."""
    text = machine.read_text(path)
    return records.EMPTY if text is None else records.decode(text, str(path))


def set_up(
    machine: Machine, record_path: Path, request: SetupRequest, *,
    rip: IPv4Address | None = None, dry_run: bool = False, progress: Progress = lambda text: None,
) -> Outcome:  # fmt: skip
    """Bring the machine to the request, keeping VIPs that were set up before."""
    record = load_record(machine, record_path)
    whole = merge(request, record.request)
    wanted = want(replace(whole, persist=request.persist), machine.facts(rip=rip))
    # Without persistence the files of an earlier set-up are neither changed nor taken away.
    kept = () if request.persist else tuple(m.requirement for m in record.made if isinstance(m.requirement, FileIs))
    steps = plan(record, whole, wanted.requirements + kept, machine.read)
    if not dry_run:
        _carry_out(machine, record_path, record, steps, progress)
    return Outcome(plan=steps, notes=wanted.notes + steps.notes)


def undo(
    machine: Machine, record_path: Path, vips: tuple[IPAddress, ...] = (), *,
    dry_run: bool = False, progress: Progress = lambda text: None,
) -> Outcome:  # fmt: skip
    """Restore what was there before `set_up`: for the VIPs named, or for all when none is."""
    record = load_record(machine, record_path)
    standing = record.request
    left = tuple(vip for vip in standing.vips if vip not in vips) if standing is not None and vips else ()
    if standing is not None and left:
        rest = replace(standing, vips=left)
        wanted = want(rest, machine.facts())
        steps = plan(record, rest, wanted.requirements, machine.read)
    else:
        steps = plan(record, None, (), machine.read)
    if not dry_run:
        _carry_out(machine, record_path, record, steps, progress)
    return Outcome(plan=steps, notes=steps.notes)


def check(
    machine: Machine, request: SetupRequest, *, rip: IPv4Address | None = None
) -> tuple[list[Make], tuple[str, ...]]:
    """What is missing for the request to hold, and remarks. Changes nothing."""
    wanted = want(request, machine.facts(rip=rip))
    return missing(wanted.requirements, machine.read), wanted.notes


def _carry_out(machine: Machine, path: Path, old: Record, steps: Plan, progress: Progress) -> None:
    # The record comes first and holds both old and new: whatever step a crash interrupts, undo finds its way back.
    entries = {identity(m.requirement): m for m in (*old.made, *steps.record.made)}
    if steps.steps or old != steps.record:
        machine.write_record(path, records.encode(Record(request=steps.record.request, made=tuple(entries.values()))))
    for step in steps.steps:
        progress(str(step))
        if isinstance(step, Make):
            machine.make(step.requirement)
        else:
            machine.restore(step.requirement, step.before)
    if any(isinstance(step.requirement, FileIs) for step in steps.steps):
        machine.tell_systemd()
    if steps.steps or old != steps.record:
        machine.write_record(path, None if steps.record == records.EMPTY else records.encode(steps.record))
