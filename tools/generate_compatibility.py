#!/usr/bin/env python3
"""Write `docs/reference/ipvs-compatibility.md`: play the conformance suite on the eBPF plane, beside the recorded IPVS.

Needs root, as the suite does: `make compatibility`. With `--check` it plays nothing: it says whether the page still has a row
for every scenario, with its words, and cites only reasons that the suite still knows.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from tests.conformance.comparison import Comparison, compare  # noqa: E402
from tests.conformance.ebpf_runner import why_not  # noqa: E402
from tests.conformance.known_differences import known_at, reason_of  # noqa: E402
from tests.conformance.scenarios import TOPICS  # noqa: E402
from tests.packet.bench import CAPACITY  # noqa: E402
from tests.uml.record import RECORDED  # noqa: E402

from piranha.dataplane.ebpf.tables import open_tables  # noqa: E402

TARGET = ROOT / "docs" / "reference" / "ipvs-compatibility.md"
SHOWN = 20
HEAD = """# IPVS compatibility

Made by `tools/generate_compatibility.py` from the conformance suite (`tests/conformance/`); do not edit.

Each row is a scenario of edits and packets. The kernel's IPVS (Linux {kernel}, user-mode) played it and its results were
recorded; the eBPF plane played it with its real programs, and both results were compared step by step: the server of every
connection, states, timeouts, counts and counters, ICMP messages, and what a refused packet gets.
*Same* means not one difference. *Differs, to be mended* is a fault or a gap of the eBPF plane.

{same} of {total} scenarios are the same, {lasting} differ for a reason that stays, {owed} differ and are to be mended,
{unexplained} differ without a known reason, {not_built} use what the eBPF plane refuses as not built yet.
"""
VERDICTS = {
    "same": "same",
    "lasting": "differs",
    "owed": "differs, to be mended",
    "unexplained": "differs, unexplained",
    "not_built": "refused by eBPF",
}


def verdict(result: Comparison) -> str:
    if result.not_built:
        return "not_built"
    if not result.by_step:
        return "same"
    if result.unexpected:
        return "unexplained"
    known = [known_at(result.scenario, step) for step in result.by_step]
    return "owed" if any(one is not None and one.owed for one in known) else "lasting"


def explanation(result: Comparison) -> str:
    """How and why the planes differ: the reasons, each with the first difference that it is for."""
    if result.not_built:
        return result.not_built
    examples: dict[str, str] = {}
    for step, lines in result.by_step.items():
        examples.setdefault(reason_of(result.scenario, step), lines[0])
    return "; ".join(
        f"{reason} (for example: {example.replace('expected', 'IPVS').replace('seen', 'eBPF')})"
        for reason, example in examples.items()
    )


def row(result: Comparison) -> str:
    cells = (result.scenario.name, result.scenario.about, VERDICTS[verdict(result)], explanation(result))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def page(topics: dict[str, list[Comparison]], kernel: str) -> str:
    verdicts = [verdict(result) for results in topics.values() for result in results]
    text = HEAD.format(kernel=kernel, total=len(verdicts), **{word: verdicts.count(word) for word in VERDICTS})
    for title, results in topics.items():
        rows = "\n".join(row(result) for result in results)
        text += f"\n## {title}\n\n| scenario | feature | the planes | how they differ, and why |\n|---|---|---|---|\n{rows}\n"
    return text


def stale(text: str) -> list[str]:
    """What the suite says by now that the page does not, without playing it."""
    found = []
    kernel = json.loads((RECORDED / "ipvs.json").read_text())["kernel"]
    if f"(Linux {kernel}, user-mode)" not in text:
        found.append(f"the results of IPVS are recorded from Linux {kernel}")
    sections = dict(part.split("\n", 1) for part in text.split("\n## ")[1:])
    for topic in TOPICS:
        rows = sections.pop(title_of(topic), "").split("\n|---|---|---|---|\n")[-1].strip().splitlines()
        by_name = {cells[1]: cells for cells in (re.split(r" \| |^\| | \|$", line) for line in rows) if len(cells) > 4}
        for scenario in topic.SCENARIOS:
            cells = by_name.pop(scenario.name, None)
            if cells is None or cells[2] != scenario.about.replace("|", "\\|"):
                found.append(f"scenario {scenario.name} has no row of its words")
            elif cells[3] == VERDICTS["unexplained"]:
                found.append(f"scenario {scenario.name} differs, and nobody says why")
        found += [f"there is no scenario {name} any more" for name in by_name]
    return found + [f"there is no topic {title} any more" for title in sections]


def check() -> int:
    problems = stale(TARGET.read_text())
    for problem in problems[:SHOWN]:
        print(f"{TARGET.relative_to(ROOT)}: {problem}", file=sys.stderr)
    if problems:
        print(f"{len(problems)} problems: `make compatibility` writes the page anew", file=sys.stderr)
    return int(bool(problems))


def title_of(topic: object) -> str:
    """The first line of a topic's docstring, without its full stop."""
    return (topic.__doc__ or "").strip().splitlines()[0].rstrip(".")


def main() -> int:
    if "--check" in sys.argv[1:]:
        return check()
    if reason := why_not():
        print(reason, file=sys.stderr)
        return 1
    tables = open_tables(None, CAPACITY)
    try:
        topics = {title_of(topic): [compare(scenario, tables) for scenario in topic.SCENARIOS] for topic in TOPICS}
    finally:
        tables.close()
    kernel = json.loads((RECORDED / "ipvs.json").read_text())["kernel"]
    TARGET.write_text(page(topics, kernel))
    print(f"wrote {TARGET.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
