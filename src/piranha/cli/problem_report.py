"""Problems of a configuration as compilers print them: the place, the line, a caret under the text, and the mend."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from piranha.cli.output import BAD, DIM, GOOD, WARN, paint, plural
from piranha.config.conversion import HIDDEN
from piranha.config.parser import Parsed
from piranha.config.problem import Problem, Severity

MAX_SHOWN_LINE = 160
_UNSEEN = r"\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
_CONTROL = re.compile(rf"[^\x20-\x7e\u00a0-\ud7ff\ue000-\U0010ffff]|[{_UNSEEN}]")


def report_lines(parsed: Parsed, text: str) -> Iterator[str]:
    """The report on all problems, line by line."""
    lines = [line.text for line in parsed.document.lines]
    for problem in parsed.problems:
        yield from _problem_lines(problem, lines)


def summary(parsed: Parsed) -> str:
    """One line: how many problems of which kind."""
    errors, warnings = len(parsed.errors), len(parsed.warnings)
    if not errors and not warnings:
        return f"{printable(parsed.file)}: {paint('no problems', GOOD)}"
    counts = [plural(errors, "error")] if errors else []
    counts += [plural(warnings, "warning")] if warnings else []
    verdict = "is not usable" if errors else "is usable"
    return f"{printable(parsed.file)} {verdict}: {', '.join(counts)}"


def problem_as_plain(problem: Problem) -> dict[str, str | int | None]:
    """A problem for JSON."""
    return {
        "severity": problem.severity.value,
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "text": problem.text,
        "message": problem.message,
        "suggestion": problem.suggestion,
        "kind": problem.kind.value if problem.kind else None,
    }


def printable(text: str) -> str:
    """The text without anything that a terminal would obey; bytes that were no text as `\\xNN`."""
    return _CONTROL.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _problem_lines(problem: Problem, lines: list[str]) -> Iterator[str]:
    colour = BAD if problem.severity is Severity.ERROR else WARN
    place = f"{problem.file}:{problem.line}:{problem.column}:"
    severity = paint(f"{problem.severity}:", colour)
    yield f"{click.style(printable(place), bold=True)} {severity} {printable(problem.message)}"
    # A line that holds a secret is not repeated on the screen.
    if problem.text != HIDDEN and problem.line <= len(lines) and lines[problem.line - 1]:
        yield from _marked_line(problem, lines[problem.line - 1], colour)
    if problem.suggestion:
        yield f"  {paint('=', DIM)} {printable(problem.suggestion)}"


def _marked_line(problem: Problem, line: str, colour: str) -> Iterator[str]:
    start = problem.column - 1
    length = len(problem.text) if line.startswith(problem.text, start) else 0
    # Of a long line only the part around the problem is shown.
    first = max(0, start - MAX_SHOWN_LINE // 2) if len(line) > MAX_SHOWN_LINE else 0
    shown = line[first : first + MAX_SHOWN_LINE].replace("\t", " ")
    before = printable(line[first:start].replace("\t", " "))
    marked = printable(shown[start - first : start - first + length])
    yield f"  {printable(shown)}"
    yield f"  {' ' * len(before)}{paint('^' + '~' * (len(marked) - 1), colour)}"
