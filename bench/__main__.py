"""Run the cases, print the table, write the file. `python -m bench --help`."""

from __future__ import annotations

import argparse
import sys
import time
from datetime import datetime
from subprocess import CalledProcessError

from bench import build, machine, net, report
from bench.bench import Bench
from bench.cases import CASES
from bench.measure import Effort
from bench.report import Row
from bench.world import Unverified
from piranha.base.errors import PiranhaError


def main() -> int:
    """0 when everything was measured, goals met or not; 1 when a case could not be measured or was not what it should be."""
    options = _options()
    effort = Effort(rounds=5, whole=False) if options.quick else Effort()
    try:
        build.build()
        here = net.enter()
    except (PiranhaError, OSError, CalledProcessError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    cpu = machine.pin()
    described = machine.describe() | {"pinned_to": f"cpu {cpu}"}
    for name, text in described.items():
        print(f"{name + ':':22}{text}")
    bench = Bench(here, effort)
    rows: list[Row] = []
    try:
        for name in options.only or CASES:
            rows += _run(bench, name)
    finally:
        bench.close()
    print("\n" + report.table(rows))
    print(f"\nwritten to {report.write(rows, described, datetime.now().astimezone())}")
    return 1 if any(row.failure for row in rows) else 0


def _run(bench: Bench, name: str) -> list[Row]:
    rows: list[Row] = []
    started = time.monotonic()
    print(f"{name} ...", end=" ", file=sys.stderr, flush=True)
    try:
        rows.extend(CASES[name](bench))
    except (Unverified, PiranhaError, OSError) as error:
        rows.append(Row(case=name, failure=str(error)))
    print(f"{time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)
    return rows


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="What a packet, a byte and an edit cost.")
    parser.add_argument("--quick", action="store_true", help="under a minute: the promised figures, fewer of the rest")
    parser.add_argument("--only", action="append", choices=list(CASES), help="this case; may be given more than once")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
