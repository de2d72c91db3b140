"""The report of an import: lines for people, a document for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypedDict

from piranha.importers.importing import Outcome
from piranha.importers.ledger import Entry, Verdict


class LineView(TypedDict):
    file: str
    line: int
    text: str
    verdict: str
    remarks: list[str]


class WarningView(TypedDict):
    line: int
    message: str
    mend: str


class ReportDocument(TypedDict):
    """`lvs_cf` is None where a line is an error. `differences` is None where nobody asked for them."""

    dialect: str
    usable: bool
    counts: dict[str, int]
    lines: list[LineView]
    warnings: list[WarningView]
    lvs_cf: str | None
    differences: list[str] | None


def report_document(outcome: Outcome, differences: Sequence[str] | None = None) -> ReportDocument:
    return ReportDocument(
        dialect=outcome.dialect.value,
        usable=outcome.text is not None,
        counts={verdict.value: outcome.count(verdict) for verdict in Verdict},
        lines=[
            LineView(
                file=entry.place.file,
                line=entry.place.line,
                text=entry.text,
                verdict=entry.verdict.value,
                remarks=list(entry.remarks),
            )
            for entry in outcome.entries
        ],
        warnings=[
            WarningView(line=problem.line, message=problem.message, mend=problem.suggestion)
            for problem in outcome.warnings
        ],
        lvs_cf=outcome.text,
        differences=None if differences is None else list(differences),
    )


def report_lines(outcome: Outcome, *, every: bool = False) -> Iterator[tuple[Verdict, str]]:
    """A line for each source line: `file:line: verdict: text: remarks`. Without `every`, those that somebody must read."""
    quiet = () if every else (Verdict.NOTHING, Verdict.CARRIED)
    for entry in outcome.entries:
        if entry.verdict not in quiet:
            yield entry.verdict, _line(entry)


def summary(outcome: Outcome) -> str:
    counted = (
        (Verdict.CARRIED, "carried over"),
        (Verdict.CHANGED, "changed"),
        (Verdict.LEFT, "not carried over"),
        (Verdict.ERROR, "in error"),
    )
    told = ", ".join(f"{outcome.count(verdict)} {word}" for verdict, word in counted)
    return f"{len(outcome.entries)} lines: {told}"


def _line(entry: Entry) -> str:
    remarks = f": {'; '.join(entry.remarks)}" if entry.remarks else ""
    return f"{entry.place}: {entry.verdict}: {entry.text}{remarks}"
