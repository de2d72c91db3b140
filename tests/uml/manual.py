"""The examples of ipvsadm's manual page, as scripts. `python -m tests.uml.manual` runs them all, and prints what came of it.

Each argument is `NAME=FOLDER`: a folder with a program `ipvsadm`. The answer is JSON: for each of them, for each example,
exit code, what was said, and the table as `-S -n` has it afterwards.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.uml.guest import UNPACKED

PAGE = UNPACKED / "usr/share/man/man8/ipvsadm.8.gz"
_BLOCK = re.compile(r"^\.nf\n(.*?)^\.fi$", re.MULTILINE | re.DOTALL)
_ELSEWHERE = ("/proc/", "modprobe", "iptables")
_TIMEOUT_S = 120


def examples() -> list[str]:
    """Every block of the page that calls ipvsadm and nothing of the machine around it, unchanged."""
    page = gzip.decompress(PAGE.read_bytes()).decode()
    after = page[page.index(".SH EXAMPLE") : page.index(".SH NOTES")]
    found = [block for block in _BLOCK.findall(after) if "ipvsadm" in block]
    return [block for block in found if not any(word in block for word in _ELSEWHERE)]


def play(folder: Path, script: str) -> list[object]:
    """One example on an empty table: exit code, output, errors, and the table."""
    environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, env=environment, text=True, capture_output=True, timeout=_TIMEOUT_S)

    run("ipvsadm", "-C")
    done = run("bash", "-e", "-c", script)
    table = run("ipvsadm", "-S", "-n").stdout.splitlines()
    run("ipvsadm", "-C")
    return [done.returncode, done.stdout, done.stderr, table]


def main() -> None:
    programs = dict(argument.split("=", 1) for argument in sys.argv[1:])
    found = {name: [play(Path(folder), script) for script in examples()] for name, folder in programs.items()}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
