"""The faults, and what one costs: a run is done, watched and undone; a run during which the machine stood still is done again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.failover.pair import Pair, drop
from piranha.lab.reporter import Reporter, traffic, witness
from piranha.lab.topology import CLIENT, VIP4

PROBE_MS = 2
STALL_MS = 20.0
TRIES = 4

Act = Callable[[Pair, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`do` is done to the active director, `undo` afterwards. `moves`: whether the VIP shall change its owner.

    `goals` are the longest gap in ms that the issue allows, by profile.
    """

    name: str
    do: Act
    undo: Act
    moves: bool = True
    goals: dict[str, float] = field(default_factory=dict)


FAULTS = (
    Fault(
        name="power lost",
        do=lambda pair, name: pair.lose_power(name),
        undo=lambda pair, name: pair.regain_power(name),
        goals={"fast": 300, "default": 500},
    ),
    Fault(
        name="daemon frozen (SIGSTOP)",
        do=lambda pair, name: pair.freeze(name),
        undo=lambda pair, name: pair.thaw(name),
        goals={"fast": 120},
    ),
    Fault(
        name="daemons killed (kill -9)",
        do=lambda pair, name: pair.kill(name),
        undo=lambda pair, name: pair.revive(name),
        goals={"fast": 120},
    ),
    Fault(
        name="planned switch",
        do=lambda pair, name: pair.hand_over(name),
        undo=lambda pair, name: pair.revive(name) if pair.heartbeats.startswith("ip") else None,
        goals={"fast": 5, "default": 5},
    ),
    Fault(
        name="heartbeats lost, data path alive",
        do=lambda pair, name: drop(pair.lab, pair.heartbeats),
        undo=lambda pair, name: drop(pair.lab, ""),
        moves=False,
        goals={"fast": 5, "default": 5},
    ),
)


@dataclass(slots=True, kw_only=True)
class Figures:
    """Of all runs that counted. `moved`: in how many the VIP was answered for by another director, or by both."""

    gaps_ms: list[float] = field(default_factory=list)
    duals_ms: list[float] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    moved: int = 0
    inconclusive: int = 0


def measure(pair: Pair, fault: Fault, runs: int, *, watch_s: float) -> Figures:
    """`watch_s` is how long the client looks on; longer than any takeover of this pair may take."""
    figures = Figures()
    watcher = traffic(
        pair.lab.topology().namespace(CLIENT), "--vip", str(VIP4), "--probe-ms", str(PROBE_MS), "--arp", "eth0"
    )
    ticker = witness()
    try:
        while len(figures.gaps_ms) < runs and figures.inconclusive < TRIES * runs:
            _run(pair, fault, figures, watcher, ticker, watch_s)
    finally:
        watcher.close()
        ticker.close()
    return figures


def _run(pair: Pair, fault: Fault, figures: Figures, watcher: Reporter, ticker: Reporter, watch_s: float) -> None:
    active = pair.settle()
    watcher.mark()
    time.sleep(0.5)
    before = set(watcher.report()["owners"])
    watcher.mark()
    ticker.mark()
    fault.do(pair, active)
    time.sleep(watch_s)
    report, late_ms = watcher.report(), ticker.report()["late_ms"]
    fault.undo(pair, active)
    pair.settle()
    if late_ms > STALL_MS:
        figures.inconclusive += 1
        return
    figures.gaps_ms.append(report["gap_ms"])
    figures.duals_ms.append(report["dual_ms"])
    figures.lost.append(report["lost"])
    figures.moved += bool(set(report["owners"]) - before)
