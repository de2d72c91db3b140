"""Measure and print the table. `python -m bench.failover --help`."""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from bench import machine
from bench.failover.faults import FAULTS, Fault, Figures, measure
from bench.failover.pair import KEEPALIVED, OTHER, KeepalivedPair, Pair, PulsePair
from piranha.base.errors import PiranhaError
from piranha.lab import namespace as netns
from piranha.lab.reporter import Reporter
from piranha.lab.topology import CLIENT, VIP4

RESULTS = Path(__file__).resolve().parents[1] / "results" / "failover"
OPEN_CONNECTIONS = 10_000

CONTENDERS: dict[str, tuple[Callable[[], Pair], float]] = {
    "pulse, fast": (lambda: PulsePair("fast"), 2.0),
    "pulse, default": (lambda: PulsePair("default"), 2.5),
    "keepalived, 0.1 s": (lambda: KeepalivedPair(0.1), 2.5),
    "keepalived, 1 s": (lambda: KeepalivedPair(1.0), 6.0),
}
"""What makes a pair, and for how long a client watches it after a fault, in seconds."""


def main() -> int:
    """0 when everything was measured; 1 when something could not be."""
    options = _options()
    described = machine.describe()
    for name, text in described.items():
        print(f"{name + ':':22}{text}")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    rows: list[dict[str, object]] = []
    failed = False
    print("\n" + _line("fault", "pair", "client gap ms", "median", "goal", "two owners ms", "lost", "moved", "void"))
    for name, (make, watch_s) in CONTENDERS.items():
        if options.only and not name.startswith(options.only):
            continue
        if name.startswith("keepalived") and not (KEEPALIVED / "usr/sbin/keepalived").exists():
            print(f"{name}: not measured, tools/fetch_keepalived.py did not fetch it")
            continue
        try:
            rows += _contender(name, make, watch_s, options.runs, crowd=not options.no_crowd)
        except (PiranhaError, OSError, TimeoutError) as error:
            print(f"{name}: FAILED: {error}")
            failed = True
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{datetime.now():%Y-%m-%dT%H%M%S}.json"
    path.write_text(json.dumps({"machine": described, "rows": rows}, indent=1) + "\n")
    print(f"\nwritten to {path}")
    return int(failed)


def _contender(
    name: str, make: Callable[[], Pair], watch_s: float, runs: int, *, crowd: bool
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    pair = make()
    try:
        for fault in FAULTS:
            figures = measure(pair, fault, runs, watch_s=watch_s)
            _print(name, fault, figures)
            rows.append({"pair": name, "fault": fault.name, **asdict(figures)})
        if crowd and isinstance(pair, PulsePair):
            rows.append({"pair": name, **_crowd(pair)})
    finally:
        pair.close()
    return rows


def _print(name: str, fault: Fault, figures: Figures) -> None:
    gaps, runs = figures.gaps_ms, len(figures.gaps_ms)
    goal = fault.goals.get(name.removeprefix("pulse, "))
    met = "" if goal is None or not gaps else " met" if max(gaps) <= goal else " NOT MET"
    moved = f"{figures.moved} of {runs}" + ("" if fault.moves or not figures.moved else " (!)")
    print(
        _line(
            fault.name,
            name,
            f"{min(gaps):.0f} - {max(gaps):.0f}" if gaps else "-",
            f"{statistics.median(gaps):.0f}" if gaps else "-",
            f"<= {goal:g}{met}" if goal is not None else "",
            f"{max(figures.duals_ms):.0f}" if gaps else "-",
            f"{min(figures.lost)} - {max(figures.lost)}" if gaps else "-",
            moved,
            str(figures.inconclusive),
        ),
        flush=True,
    )


def _crowd(pair: PulsePair) -> dict[str, object]:
    """How many of so many open connections outlive the loss of the active director's power."""
    active = pair.settle()
    with netns.entered(pair.lab.topology().namespace(CLIENT)):
        crowd = Reporter("bench.failover.crowd", str(VIP4), "80", str(OPEN_CONNECTIONS))
    try:
        time.sleep(1.5)  # the backup hears of the youngest within half a second
        pair.lab.power_off(active)
        began_at = time.monotonic()
        while pair.role(OTHER[active]) != "active":
            if time.monotonic() - began_at > 30:
                raise PiranhaError("nobody took over")
            time.sleep(0.02)
        alive = crowd.report()["alive"]
    finally:
        crowd.close()
        pair.lab.power_on(active)
    lost = OPEN_CONNECTIONS - alive
    print(f"power lost with {OPEN_CONNECTIONS} open connections: {alive} go on, {lost} lost (goal 0)", flush=True)
    return {"fault": "power lost under open connections", "open": OPEN_CONNECTIONS, "alive": alive, **crowd.first}


def _line(*cells: str) -> str:
    widths = (34, 18, 15, 7, 15, 14, 11, 9, 4)
    return " ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.failover", description="What a takeover costs the clients.")
    parser.add_argument("--runs", type=int, default=5, help="how often each fault is done (5)")
    parser.add_argument("--only", default="", help="pairs whose name begins so: `pulse`, `keepalived`, `pulse, fast`")
    parser.add_argument("--no-crowd", action="store_true", help="without the ten thousand connections")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
