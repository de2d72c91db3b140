#!/usr/bin/env python3
"""Fetch real servers for the tests of the nanny's checks, Debian's, into `build/servers/`.

Nothing is installed and nothing is started: what apt would install is downloaded and unpacked under `build/servers/root`. Does
nothing when it is there. Tests whose server is missing are skipped, so a failure exits 0 with a word about it, or 1 with `--strict`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from fetch_uml import download

TARGET = Path(__file__).resolve().parent.parent / "build" / "servers"
SERVERS = ("nginx", "redis-server", "mariadb-server-core", "mariadb-server", "postgresql-15")
MOST = 150


def say(text: str) -> None:
    print(f"servers: {text}", flush=True)


def wanted() -> list[str]:
    """The servers and what is missing for them here. Raises RuntimeError with apt's own words."""
    command = ["apt-get", "install", "--simulate", "--no-install-recommends", *SERVERS]
    asked = subprocess.run(command, capture_output=True, text=True)
    if asked.returncode:
        subprocess.run(["apt-get", "update", "-qq"], capture_output=True)
        asked = subprocess.run(command, capture_output=True, text=True)
    if asked.returncode:
        raise RuntimeError(asked.stderr.strip())
    missing = re.findall(r"^Inst (\S+) \(", asked.stdout, re.MULTILINE)
    if len(missing) > MOST:
        raise RuntimeError(f"apt wants {len(missing)} packages for them")
    return sorted(missing)


def fetch() -> None:
    marker, root, folder = TARGET / "packages", TARGET / "root", TARGET / "debs"
    if marker.exists():
        return
    shutil.rmtree(TARGET, ignore_errors=True)
    folder.mkdir(parents=True)
    unpacked = []
    for package in wanted():
        deb = download(package, folder)
        subprocess.run(["dpkg", "-x", str(deb), str(root)], check=True)
        unpacked.append(deb.name)
        deb.unlink()
    folder.rmdir()
    say(f"{len(unpacked)} packages unpacked under {root}")
    marker.write_text("\n".join(unpacked) + "\n")


def main() -> int:
    reason = None
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        reason = "no apt-get and dpkg here"
    else:
        try:
            fetch()
        except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
            reason = str(error)
    if reason is None:
        return 0
    say(f"not fetched, their tests will be skipped: {reason}")
    return int("--strict" in sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
