"""`python -m tests.model.check`: let Spin search the lease model, and each variant that must fail. Exit 1 where one surprises."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

MODEL = Path(__file__).with_name("lease.pml")
VARIANTS = {"all rules": "", "no probe": "NO_PROBE", "a lease that has run out is renewed": "REVIVE"}
"""What is taken away, and the model's name for it."""
DEPTH = 200_000
TIMEOUT_S = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the search found. `complete`: it has seen every state."""

    errors: int
    states: int
    depth: int
    complete: bool


def verify(define: str = "") -> Verdict:
    """Search the model. Raises CalledProcessError where a tool fails."""
    with tempfile.TemporaryDirectory() as folder:
        spin = ["spin", *([f"-D{define}"] if define else []), "-a", str(MODEL)]
        _run(spin, folder)
        _run(["gcc", "-O2", "-w", "-DSAFETY", "-o", "pan", "pan.c"], folder)
        out = _run(["./pan", f"-m{DEPTH}"], folder)
    errors = re.search(r"errors: (\d+)", out)
    states = re.search(r"(\d+) states, stored", out)
    depth = re.search(r"depth reached (\d+)", out)
    if not (errors and states and depth):
        raise ValueError(f"not what pan prints: {out}")
    complete = "max search depth too small" not in out and "Search not completed" not in out
    return Verdict(errors=int(errors[1]), states=int(states[1]), depth=int(depth[1]), complete=complete)


def _run(command: list[str], folder: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=TIMEOUT_S)
    return done.stdout + done.stderr


def main() -> int:
    surprises = 0
    for name, define in VARIANTS.items():
        verdict = verify(define)
        expected = (verdict.errors == 0 and verdict.complete) if not define else verdict.errors > 0
        surprises += not expected
        found = (
            "the claim is broken" if verdict.errors else "the claim holds in every state" if verdict.complete else "?"
        )
        mark = "as it should be" if expected else "NOT as it should be"
        print(f"{name:<38} {verdict.states:>9} states, depth {verdict.depth:>7}: {found} ({mark})")
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(main())
