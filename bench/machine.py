"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

_VULNERABILITIES = Path("/sys/devices/system/cpu/vulnerabilities")
_COSTLY = (
    "spectre_v2",
    "spec_rstack_overflow",
    "retbleed",
    "spec_store_bypass",
    "meltdown",
    "indirect_target_selection",
)


def describe() -> dict[str, str]:
    """CPU, kernel and those mitigations that make calls and jumps in the kernel dearer."""
    found = {
        "cpu": f"{os.cpu_count()} x {_cpu_model()}",
        "kernel": f"{platform.release().partition('-')[0]} {platform.machine()}",
        "memory": _memory(),
        "load": " ".join(f"{value:.1f}" for value in os.getloadavg()),
    }
    for name in _COSTLY:
        path = _VULNERABILITIES / name
        text = path.read_text().strip() if path.exists() else ""
        if text.startswith("Mitigation"):
            found[name] = text.removeprefix("Mitigation: ")
    return found


def pin() -> int:
    """Keep the process on one CPU, the last that it may use."""
    cpu = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpu})
    return cpu


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "CPU part")):
            return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def _memory() -> str:
    kib = int(Path("/proc/meminfo").read_text().split(":", 1)[1].split()[0])
    return f"{kib / 2**20:.0f} GiB"
