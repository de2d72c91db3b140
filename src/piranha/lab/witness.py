"""A ticker at real-time priority that tells whether the machine itself stood still: then a measured time says nothing.

    python -m piranha.lab.witness

The same lines as `traffic.py`: `mark`, `report`; a report has `late_ms`, the longest lateness since the mark, and `realtime`.
"""

from __future__ import annotations

import json
import os
import selectors
import sys
import time

TICK_S = 0.002
PRIORITY = 60
"""Above pulse's, so that it is not pulse that the witness waits for."""


def main() -> None:
    realtime = True
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except OSError:
        realtime = False
    selector = selectors.DefaultSelector()
    selector.register(0, selectors.EVENT_READ)
    late_s = 0.0
    print(json.dumps({"late_ms": 0, "realtime": realtime}), flush=True)
    while True:
        due_at = time.monotonic() + TICK_S
        ready = selector.select(TICK_S)
        if not ready:
            late_s = max(late_s, time.monotonic() - due_at)
            continue
        words = os.read(0, 4096).split()
        if not words:
            return
        for word in words:
            if word == b"mark":
                late_s = 0.0
            elif word == b"report":
                sys.stdout.write(json.dumps({"late_ms": late_s * 1e3, "realtime": realtime}) + "\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
