"""Two texts side by side, and as a unified diff. Pure."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from enum import StrEnum

_CONTEXT = 3


class RowKind(StrEnum):
    SAME = "same"
    CHANGED = "changed"
    ADDED = "added"
    REMOVED = "removed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of both texts; line numbers count from 1, None where a side has none. SKIPPED stands for equal lines."""

    kind: RowKind
    left_line: int | None = None
    left: str = ""
    right_line: int | None = None
    right: str = ""


def unified(before: str, after: str, before_name: str, after_name: str) -> str:
    """A unified diff as `diff -u` writes it; empty for equal texts."""
    lines = difflib.unified_diff(_lines(before), _lines(after), before_name, after_name)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def side_by_side(before: str, after: str) -> list[Row]:
    """Changed lines with three equal ones around them; what is left out between is one SKIPPED row."""
    left, right = _stripped(before), _stripped(after)
    rows: list[Row] = []
    shown = 0
    for group in difflib.SequenceMatcher(None, left, right, autojunk=False).get_grouped_opcodes(_CONTEXT):
        if group[0][1] > shown:
            rows.append(Row(kind=RowKind.SKIPPED))
        for tag, left_from, left_to, right_from, right_to in group:
            rows += _rows(tag, left, left_from, left_to, right, right_from, right_to)
        shown = group[-1][2]
    if rows and shown < len(left):
        rows.append(Row(kind=RowKind.SKIPPED))
    return rows


def _rows(
    tag: str, left: list[str], left_from: int, left_to: int, right: list[str], right_from: int, right_to: int
) -> list[Row]:
    rows = []
    for offset in range(max(left_to - left_from, right_to - right_from)):
        at, to = left_from + offset, right_from + offset
        has_left, has_right = at < left_to, to < right_to
        kind = RowKind.SAME if tag == "equal" else RowKind.CHANGED
        if not (has_left and has_right):
            kind = RowKind.REMOVED if has_left else RowKind.ADDED
        rows.append(
            Row(
                kind=kind,
                left_line=at + 1 if has_left else None,
                left=left[at] if has_left else "",
                right_line=to + 1 if has_right else None,
                right=right[to] if has_right else "",
            )
        )
    return rows


def _lines(text: str) -> list[str]:
    parts = text.split("\n")
    return [f"{part}\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def _stripped(text: str) -> list[str]:
    return [line.rstrip("\r\n") for line in _lines(text)]
