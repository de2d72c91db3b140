"""Rows of the table, on the screen and in the file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
_HEADINGS = ("case", "ours", "peer", "ratio", "goal", "met")


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A promise of the issue: `figure` is `ratio` or `ours`."""

    most: float
    figure: str = "ours"

    def text(self, unit: str) -> str:
        return f"ratio <= {self.most:g}" if self.figure == "ratio" else f"<= {self.most:g} {unit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line: our figure, a rival's where there is one, and what was promised; or why there is no figure."""

    case: str
    unit: str = "ns"
    ours: float | None = None
    peer: float | None = None
    goal: Goal | None = None
    detail: dict[str, Any] = field(default_factory=dict)
    failure: str = ""

    @property
    def ratio(self) -> float | None:
        return self.ours / self.peer if self.ours is not None and self.peer else None

    @property
    def met(self) -> bool | None:
        """None without a goal. A failed case meets nothing."""
        if self.failure:
            return False
        if self.goal is None:
            return None
        figure = self.ratio if self.goal.figure == "ratio" else self.ours
        return figure is not None and figure <= self.goal.most

    def cells(self) -> tuple[str, ...]:
        if self.failure:
            return (self.case, "FAILED", "", "", self.goal.text(self.unit) if self.goal else "", "no")
        return (
            self.case,
            _number(self.ours, self.unit),
            _number(self.peer, self.unit),
            "" if self.ratio is None else f"{self.ratio:.2f}",
            self.goal.text(self.unit) if self.goal else "",
            {None: "", True: "yes", False: "no"}[self.met],
        )


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    return f"{value:.0f} {unit}" if abs(value) >= 100 or float(value).is_integer() else f"{value:.3g} {unit}"


def table(rows: Sequence[Row]) -> str:
    """Columns as wide as they need; failures are explained below."""
    lines = [_HEADINGS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADINGS))]
    right = {1, 2, 3}
    text = [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    text.insert(1, "-" * max(map(len, text)))
    text += [f"FAILED {row.case}: {row.failure}" for row in rows if row.failure]
    return "\n".join(text)


def write(rows: Sequence[Row], machine: dict[str, str], when: datetime) -> Path:
    """The whole result as JSON, a file for each run."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{when:%Y-%m-%dT%H%M%S}.json"
    body = {
        "when": when.isoformat(timespec="seconds"),
        "machine": machine,
        "rows": [asdict(row) | {"ratio": row.ratio, "met": row.met} for row in rows],
    }
    path.write_text(json.dumps(body, indent=1) + "\n")
    return path
