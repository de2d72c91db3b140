"""Imports for tests: the fixtures of every dialect, and the table that an outcome makes of an empty data plane."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from piranha.dataplane.memory import MemoryPlane
from piranha.dataplane.plan import plan
from piranha.importers.comparison import EVERYTHING, expected_entries
from piranha.importers.importing import Dialect, Outcome, import_files
from piranha.importers.ledger import Entry, Verdict
from piranha.importers.options import ImportOptions
from piranha.importers.source import DiskFiles, FixedFiles
from piranha.model.service import ForwardingMethod, Service

FIXTURES = Path(__file__).parent.parent / "fixtures" / "import"
METHODS = {ForwardingMethod.MASQUERADE: "masq", ForwardingMethod.DIRECT: "route", ForwardingMethod.TUNNEL: "tunnel"}


def imported(
    dialect: Dialect, *names: str, options: ImportOptions | None = None, marks: tuple[str, ...] = ()
) -> Outcome:
    """Import fixtures."""
    files = [str(FIXTURES / name) for name in names]
    return import_files(
        dialect, files, DiskFiles(), options or ImportOptions(), marks=[str(FIXTURES / name) for name in marks]
    )


def imported_text(dialect: Dialect, text: str, *, options: ImportOptions | None = None, **others: str) -> Outcome:
    """Import a text, with `others` (names with `_` for `.`) to be included."""
    files = FixedFiles({"main": text, **{name.replace("_", "."): other for name, other in others.items()}})
    return import_files(dialect, ["main"], files, options or ImportOptions(device="eth0"))


def usable(outcome: Outcome) -> Outcome:
    """The outcome, once it is certain that there is one."""
    assert outcome.text is not None, [str(entry) for entry in outcome.errors]
    return outcome


def table(outcome: Outcome) -> list[str]:
    """What a data plane holds once the outcome was applied to it, in ipvsadm's words."""
    assert usable(outcome).configuration is not None
    plane = MemoryPlane(capabilities=EVERYTHING)
    assert outcome.configuration is not None
    plane.apply(plan(plane.snapshot(), expected_entries(outcome.configuration)))
    return list(_lines(plane))


def _lines(plane: MemoryPlane) -> Iterator[str]:
    for status in plane.snapshot():
        yield f"{status.service.key} {status.service.scheduler}{_extras(status.service)}"
        for found in status.destinations:
            one = found.destination
            limits = f" {one.upper_threshold}-{one.lower_threshold}" if one.upper_threshold else ""
            outer = f" {one.tunnel}:{one.tunnel_port}" if one.tunnel_port else ""
            yield f"  {one.key} {METHODS[one.method]} {one.weight}{limits}{outer}"


def _extras(service: Service) -> str:
    extras = f" flags {int(service.flags):#x}" if service.flags else ""
    extras += f" persistent {service.persistent_s}" if service.persistent_s else ""
    extras += f" mask {service.persistence_prefix}" if service.persistence_prefix is not None else ""
    return extras + (" ops" if service.one_packet else "")


def entry_with(outcome: Outcome, text: str) -> Entry:
    """The only line that contains a text."""
    found = [entry for entry in outcome.entries if text in entry.text]
    assert len(found) == 1, (text, [entry.text for entry in found])
    return found[0]


def verdict_of(outcome: Outcome, text: str) -> Verdict:
    return entry_with(outcome, text).verdict


def remarks_of(outcome: Outcome, text: str) -> str:
    return "; ".join(entry_with(outcome, text).remarks)


def unexplained(outcome: Outcome) -> list[str]:
    """Lines that were not carried over or changed, without a word why."""
    return [
        f"{entry.place}: {entry.text}"
        for entry in outcome.entries
        if entry.verdict in (Verdict.LEFT, Verdict.CHANGED, Verdict.ERROR) and not entry.remarks
    ]
