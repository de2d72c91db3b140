#!/usr/bin/env python3
"""Fetch Debian's keepalived and the libraries that this machine lacks for it, into `build/keepalived/`. Nothing is installed.

`make bench-failover` measures it beside pulse; without it that column is empty.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from fetch_ldirectord import fetch

TARGET = Path(__file__).resolve().parent.parent / "build" / "keepalived"


def main() -> int:
    try:
        fetch("keepalived", TARGET)
    except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
        print(f"keepalived: not fetched, it will not be measured: {error}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
