"""Runs in the user-mode kernel: Debian's ipvsadm and ours, in turn, on one table of the kernel's IPVS.

Standard input is the table as lines for `-R`; the answer is JSON: for each call and program the seconds of every round, and
whether both printed the same.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence

ROUNDS = 5
CALLS = {"-L -n": ["-L", "-n"], "-S -n": ["-S", "-n"]}
PROGRAMS = {"peer": ["/usr/sbin/ipvsadm"], "ours": [sys.executable, "-m", "piranha", "ipvsadm"]}


def timed(command: Sequence[str], given: bytes = b"") -> tuple[float, bytes]:
    before = time.monotonic()
    done = subprocess.run(command, input=given, stdout=subprocess.PIPE, check=True)
    return time.monotonic() - before, done.stdout


def main() -> None:
    table = sys.stdin.buffer.read()
    seconds: dict[str, dict[str, list[float]]] = {}
    said: dict[str, set[bytes]] = {call: set() for call in CALLS}
    for program, words in PROGRAMS.items():
        subprocess.run([*words, "-C"], check=True)
        seconds.setdefault("-R", {})[program] = [timed([*words, "-R"], table)[0]]
    for _ in range(ROUNDS):
        for call, arguments in CALLS.items():
            for program, words in PROGRAMS.items():
                took, out = timed([*words, *arguments])
                seconds.setdefault(call, {}).setdefault(program, []).append(took)
                said[call].add(out)
    lines = min(out.count(b"\n") for outs in said.values() for out in outs)
    print(json.dumps({"seconds": seconds, "same": all(len(outs) == 1 for outs in said.values()), "lines": lines}))


if __name__ == "__main__":
    main()
