"""What the nanny takes: 10,000 healthy targets every two seconds; and the same on a machine with no time to spare."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from bench.bench import Bench
from bench.report import Goal, Row
from bench.world import Unverified

TARGETS, INTERVAL_S = 10_000, 2.0
BUSY_CHECKS = 40_000
_BURN = "while True: pass"


def run(bench: Bench) -> Iterator[Row]:
    seconds = 10.0 if bench.effort.whole else 6.0
    for kind in ("tcp", "http"):
        found = _measured(kind, seconds)
        due = found["checks"] / (TARGETS / INTERVAL_S * seconds)
        if found["downs"] or due < 0.9:
            raise Unverified(
                f"{kind}: {found['downs']} healthy servers down, {due:.0%} of the checks were made: {found}"
            )
        yield Row(
            case=f"{TARGETS} {kind} targets every 2 s",
            unit="cores",
            ours=found["cores"],
            goal=Goal(most=0.4),
            detail=found,
        )
        yield Row(case=f"{TARGETS} {kind} targets, memory", unit="MB", ours=found["resident_mb"], goal=Goal(most=60))
    with _busy():
        found = _measured("http", BUSY_CHECKS / (TARGETS / INTERVAL_S), burst=BUSY_CHECKS)
    yield Row(
        case=f"healthy servers called down in {found['checks']} checks, machine 100 % busy",
        unit="servers",
        ours=found["downs"],
        goal=Goal(most=0),
        detail=found,
    )


def _measured(kind: str, seconds: float, *, burst: int = 0) -> dict[str, Any]:
    """One run of the nanny against a server of our own; with `burst` as long as so many checks take."""
    total: dict[str, Any] = {}
    with _server() as port:
        while True:
            words = [kind, str(port), str(TARGETS), str(INTERVAL_S), str(seconds)]
            done = subprocess.run(
                [sys.executable, "-m", "bench.inside_checks", *words],
                capture_output=True,
                text=True,
                timeout=300,
                preexec_fn=_on_every_cpu,
            )
            if done.returncode:
                raise Unverified(f"the nanny ended: {done.stderr[-500:]}")
            found = json.loads(done.stdout)
            total = {name: total.get(name, 0) + value for name, value in found.items()} if total else found
            if total["checks"] >= burst:
                return total


@contextmanager
def _server() -> Iterator[int]:
    with subprocess.Popen(
        [sys.executable, "-m", "bench.web_server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=_on_every_cpu,
    ) as server:
        assert server.stdout is not None
        yield int(server.stdout.readline())
        assert server.stdin is not None
        server.stdin.close()


@contextmanager
def _busy() -> Iterator[None]:
    """Two loops for each processor, as eager as anybody."""
    with ExitStack() as stack:
        for _ in range(2 * (os.cpu_count() or 1)):
            burner = subprocess.Popen([sys.executable, "-c", _BURN], preexec_fn=_on_every_cpu)
            stack.callback(burner.wait)
            stack.callback(burner.kill)
        yield


def _on_every_cpu() -> None:
    """The bench itself is pinned to one, which is not what is measured here."""
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
