"""What is wrong with a configuration: problems with their places, collected in one run and bounded in number."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

MAX_PROBLEMS = 1000
MAX_SHOWN = 300
"""No text of a problem is longer, whatever stands in the file."""


class Severity(StrEnum):
    """An error refuses the file; a warning does not."""

    ERROR = "error"
    WARNING = "warning"


class Kind(StrEnum):
    """The original parser's message texts, which operators search for (spec: piranha 0.8.6)."""

    QUOTATION = "quotation mismatch"
    UNEXPECTED_EOF = "unexpected end of file"
    UNEXPECTED_ARGUMENTS = "unexpected arguments"
    EQUAL_EXPECTED = "equal (=) expected after command"
    MISSING_ARGUMENTS = "missing arguments"
    INVALID_HOST = "invalid host name or ip address"
    INVALID_ARGUMENT = "invalid argument"
    INTEGER_EXPECTED = "integer expected"
    BOOLEAN_EXPECTED = "boolean expected"
    UNKNOWN_COMMAND = "unknown command"
    LIST_EXPECTED = "list expected"
    BAD_MASK = "Bad subnet mask specified"
    EMPTY = "Empty configuration"


class Place(NamedTuple):
    """Where in the text: line and column count from 1, `text` is what stands there."""

    line: int
    column: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One finding. `kind` is what the original said about it, None where it said nothing."""

    severity: Severity
    file: str
    line: int
    column: int
    text: str
    message: str
    suggestion: str = ""
    kind: Kind | None = None

    def __str__(self) -> str:
        sentence = f"{self.message}: {self.suggestion}" if self.suggestion else self.message
        return f"{self.file}:{self.line}:{self.column}: {self.severity}: {sentence}"


@dataclass(slots=True, kw_only=True)
class Findings:
    """Collects problems while a text is read; keeps the first `MAX_PROBLEMS` and counts the rest.

    Each method is one rule of the two modes. `strict` is the original's judgement, the other mode is the tolerant one.
    """

    file: str
    strict: bool = False
    problems: list[Problem] = field(default_factory=list)
    left_out: int = 0
    errors_left_out: int = 0

    @property
    def full(self) -> bool:
        """No further problem will be kept, so that nobody needs to work out a suggestion for it."""
        return len(self.problems) >= MAX_PROBLEMS

    def refuse(self, place: Place, kind: Kind, message: str, suggestion: str = "") -> None:
        """An error in both modes."""
        self._add(Severity.ERROR, place, kind, message, suggestion)

    def tolerate(self, place: Place, kind: Kind, message: str, suggestion: str = "") -> bool:
        """An error of the original that the tolerant mode only warns about; True when the text may be used."""
        self._add(Severity.ERROR if self.strict else Severity.WARNING, place, kind, message, suggestion)
        return not self.strict

    def forbid(self, place: Place, message: str, suggestion: str = "") -> bool:
        """A value that the original accepted unseen and no data plane can honour; True when it may be used."""
        if self.strict:
            return True
        self._add(Severity.ERROR, place, None, message, suggestion)
        return False

    def advise(self, place: Place, message: str, suggestion: str = "") -> None:
        """A warning in both modes."""
        self._add(Severity.WARNING, place, None, message, suggestion)

    def sorted(self) -> tuple[Problem, ...]:
        """All problems in the order of the text, with one more that counts those left out."""
        ordered = sorted(self.problems, key=lambda problem: (problem.line, problem.column))
        if self.left_out:
            last = ordered[-1]
            severity = Severity.ERROR if self.errors_left_out else Severity.WARNING
            message = f"{self.left_out} more problems are not listed"
            ordered.append(
                Problem(severity=severity, file=self.file, line=last.line, column=last.column, text="", message=message)
            )
        return tuple(ordered)

    def _add(self, severity: Severity, place: Place, kind: Kind | None, message: str, suggestion: str) -> None:
        if self.full:
            self.left_out += 1
            self.errors_left_out += severity is Severity.ERROR
            return
        if self.strict and kind is not None:
            message = f"{kind}: {message}"
        self.problems.append(
            Problem(
                severity=severity,
                file=self.file,
                line=place.line,
                column=place.column,
                text=place.text[:MAX_SHOWN],
                message=_shortened(message),
                suggestion=_shortened(suggestion),
                kind=kind,
            )
        )


def _shortened(sentence: str) -> str:
    return sentence if len(sentence) <= MAX_SHOWN else f"{sentence[: MAX_SHOWN - 1]}…"
