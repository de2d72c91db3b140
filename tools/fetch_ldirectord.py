#!/usr/bin/env python3
"""Fetch Debian's ldirectord and the Perl modules that this machine lacks for it, into `build/ldirectord/`.

Nothing is installed: what apt would install is downloaded and unpacked under `build/ldirectord/root`. Does nothing when it
is there. The test that runs ldirectord over our ipvsadm is skipped where this did not succeed, so a failure exits 0 with a word
about it, or 1 with `--strict`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from fetch_uml import download

TARGET = Path(__file__).resolve().parent.parent / "build" / "ldirectord"
# Never unpacked: the kernel's tool itself, for ours takes its place.
WITHOUT = frozenset({"ipvsadm"})
MOST = 120


def say(text: str) -> None:
    print(f"ldirectord: {text}", flush=True)


def wanted(package: str = "ldirectord") -> list[str]:
    """The package and what is missing for it here. Raises RuntimeError with apt's own words."""
    command = ["apt-get", "install", "--simulate", "--no-install-recommends", package]
    asked = subprocess.run(command, capture_output=True, text=True)
    if asked.returncode:
        subprocess.run(["apt-get", "update", "-qq"], capture_output=True)
        asked = subprocess.run(command, capture_output=True, text=True)
    if asked.returncode:
        raise RuntimeError(asked.stderr.strip())
    # "Inst name (…": new; "Inst name [version] (…": only an upgrade of what is installed.
    missing = re.findall(r"^Inst (\S+) \(", asked.stdout, re.MULTILINE)
    if len(missing) > MOST:
        raise RuntimeError(f"apt wants {len(missing)} packages for it")
    return sorted({package, *missing} - WITHOUT)


def fetch(package: str = "ldirectord", target: Path = TARGET) -> None:
    """Raises RuntimeError, OSError, CalledProcessError."""
    marker, root, folder = target / "packages", target / "root", target / "debs"
    if marker.exists():
        return
    shutil.rmtree(target, ignore_errors=True)
    folder.mkdir(parents=True)
    unpacked = []
    for name in wanted(package):
        deb = download(name, folder)
        subprocess.run(["dpkg", "-x", str(deb), str(root)], check=True)
        unpacked.append(deb.name)
        deb.unlink()
    folder.rmdir()
    print(f"{package}: {len(unpacked)} packages unpacked under {root}", flush=True)
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
    say(f"not fetched, its test will be skipped: {reason}")
    return int("--strict" in sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
