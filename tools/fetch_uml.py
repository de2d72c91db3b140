#!/usr/bin/env python3
"""Fetch Debian's user-mode Linux kernel, which has IPVS, ipvsadm and kmod, with their libraries, into `build/uml/`.

Nothing is installed: packages come with `apt-get download`, are unpacked with `dpkg -x` under `build/uml/root`, and the
list of what was unpacked is `build/uml/packages`. Does nothing when all is there. The tests that need the real IPVS are
skipped where this did not succeed, so a failure here exits 0 with a word about it, or 1 with `--strict`.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "build" / "uml"
PACKAGES = ("user-mode-linux", "ipvsadm", "libpopt0", "libnl-3-200", "libnl-genl-3-200",
            "kmod", "libkmod2", "libzstd1", "liblzma5", "libssl3")  # fmt: skip


def say(text: str) -> None:
    print(f"uml: {text}", flush=True)


def reason_against() -> str | None:
    if platform.machine() != "x86_64":
        return f"Debian builds user-mode Linux for x86_64 only, this is {platform.machine()}"
    for tool in ("apt-get", "dpkg"):
        if not shutil.which(tool):
            return f"no {tool} here"
    return None


def download(package: str, folder: Path) -> Path:
    """The package's .deb in `folder`. Raises RuntimeError with apt's own words."""
    command = ["apt-get", "download", "-qq", package]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if result.returncode:
        update = subprocess.run(["apt-get", "update", "-qq"], capture_output=True, text=True)
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if result.returncode:
            raise RuntimeError(f"{package}: {(result.stderr or update.stderr).strip()}")
    return next(folder.glob(f"{package}_*.deb"))


def fetch() -> None:
    marker, root, folder = TARGET / "packages", TARGET / "root", TARGET / "debs"
    have = marker.read_text().split() if marker.exists() else []
    if [line.split("_")[0] for line in have] == list(PACKAGES):
        return
    shutil.rmtree(TARGET, ignore_errors=True)
    folder.mkdir(parents=True)
    unpacked = []
    for package in PACKAGES:
        deb = download(package, folder)
        say(f"unpacking {deb.name} under {root}")
        subprocess.run(["dpkg", "-x", str(deb), str(root)], check=True)
        unpacked.append(deb.name)
        deb.unlink()
    folder.rmdir()
    marker.write_text("\n".join(unpacked) + "\n")


def main() -> int:
    strict = "--strict" in sys.argv[1:]
    reason = reason_against()
    if reason is None:
        try:
            fetch()
            return 0
        except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
            reason = str(error)
    say(f"not fetched, tests on the kernel's IPVS will be skipped: {reason}")
    return int(strict)


if __name__ == "__main__":
    sys.exit(main())
