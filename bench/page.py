"""The page of figures, `docs/performance.md`, and its chart, made from one run's file: `python -m bench.page [FILE]`.

Without a file it takes the latest of `bench/results/`. Nothing on the page is written by hand.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from bench.report import RESULTS, Goal, Row

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "performance.md"
CHART = ROOT / "docs" / "performance.svg"

_PREFACE = """# Performance

Made by `python -m bench.page` from one run of `make bench`: figures of ours beside a rival's in the same run, on the machine named below. Ratios
travel from machine to machine, nanoseconds do not. [bench/README.md](../bench/README.md) says what is measured, how, and what it cannot say.
"""
_LIMITS = """## What these figures are not

They are costs of the programs and of lvsd's work, not packets per second of a machine with its network cards: there is no driver, no
DMA and no second processor in them. A cold row pays for cache misses, which are dearer in a virtual machine. A goal that was not met
in a run is shown as such; near a goal the noise of a run decides.
"""
_BAR, _GAP, _LEFT, _RIGHT, _WIDTH = 16, 10, 330, 90, 860


def rows_of(document: dict[str, Any]) -> list[Row]:
    """The rows of a result file. Raises KeyError, TypeError for one of another form."""
    rows = []
    for value in document["rows"]:
        given = {name: value[name] for name in ("case", "unit", "ours", "peer", "detail", "failure")}
        rows.append(Row(**given, goal=Goal(**value["goal"]) if value["goal"] else None))
    return rows


def page(document: dict[str, Any]) -> str:
    """The whole page as text."""
    rows = rows_of(document)
    with_goal = [row for row in rows if row.goal is not None]
    met = sum(row.met is True for row in with_goal)
    lines = [
        _PREFACE,
        f"![Bars: ours, and the rival's, in nanoseconds a packet]({CHART.name})\n",
        f"{met} of {len(with_goal)} goals were met in this run, of {document['when'][:10]}.\n",
        "| case | ours | rival | ratio | goal | met |",
        "|---|--:|--:|--:|---|---|",
        *(f"| {' | '.join(row.cells())} |" for row in rows),
        "",
        "## The machine\n",
        "| | |",
        "|---|---|",
        *(f"| {name} | {text} |" for name, text in sorted(document["machine"].items())),
        "",
        _LIMITS,
    ]
    return "\n".join(lines).rstrip() + "\n"


def chart(document: dict[str, Any]) -> str:
    """Bars of the packet costs that have a rival, longest at the bottom; an SVG that reads on light and dark grounds."""
    rows = [row for row in rows_of(document) if row.unit == "ns" and row.ours and row.peer]
    longest = max((max(row.ours or 0, row.peer or 0) for row in rows), default=1.0)
    scale = (_WIDTH - _LEFT - _RIGHT) / longest
    parts, y = [], _GAP
    for row in rows:
        for value, kind in ((row.ours or 0.0, "ours"), (row.peer or 0.0, "peer")):
            length = max(1.0, value * scale)
            parts.append(f'<rect class="{kind}" x="{_LEFT}" y="{y}" width="{length:.1f}" height="{_BAR}"/>')
            parts.append(f'<text class="figure" x="{_LEFT + length + 6:.1f}" y="{y + 12}">{value:.0f} ns</text>')
            y += _BAR
        parts.append(f'<text class="case" x="{_LEFT - 8}" y="{y - _BAR + 5}">{escape(row.case)}</text>')
        y += _GAP
    style = "text{font:12px sans-serif;fill:#777}.case{text-anchor:end}.ours{fill:#1f6feb}.peer{fill:#b0863a}"
    legend = (
        f'<rect class="ours" x="{_LEFT}" y="{y}" width="12" height="12"/><text x="{_LEFT + 18}" y="{y + 11}">ours</text>'
        f'<rect class="peer" x="{_LEFT + 80}" y="{y}" width="12" height="12"/><text x="{_LEFT + 98}" y="{y + 11}">rival</text>'
    )
    size = f'width="{_WIDTH}" height="{y + 20}" viewBox="0 0 {_WIDTH} {y + 20}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{style}</style>{legend}{"".join(parts)}</svg>\n'


def main(arguments: list[str]) -> int:
    files = [Path(argument) for argument in arguments] or sorted(RESULTS.glob("*.json"))[-1:]
    if not files:
        print("bench.page: no result to make a page of: run `make bench` first", file=sys.stderr)
        return 1
    try:
        document = json.loads(files[0].read_text())
        text, drawing = page(document), chart(document)
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"bench.page: {files[0]} is no result of the bench: {error!r}", file=sys.stderr)
        return 1
    PAGE.write_text(text)
    CHART.write_text(drawing)
    print(f"written: {PAGE.relative_to(ROOT)}, {CHART.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
