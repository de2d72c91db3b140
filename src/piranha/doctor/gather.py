"""Finds the facts of this machine (of the network namespace it is called in). Changes nothing."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
from pathlib import Path
from typing import Any

from piranha.base.errors import PiranhaError
from piranha.doctor import kernel
from piranha.doctor.facts import Facts, HookedProgram, InterfaceFacts

COMMAND_TIMEOUT_S = 10.0
PROC_SYS = Path("/proc/sys")
_BRIDGE_CALLS = ("bridge-nf-call-iptables", "bridge-nf-call-ip6tables", "bridge-nf-call-arptables")


def gather() -> Facts:
    """The facts, each None where it could not be found out. Raises PiranhaError where there is no `ip` command."""
    devices = _ip("-d", "link", "show", "up")
    others = [device for device in devices if "LOOPBACK" not in device["flags"]]
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    calls = {name: _number(f"net/bridge/{name}") for name in _BRIDGE_CALLS}
    return Facts(
        kernel_release=platform.release(),
        architecture=platform.machine(),
        is_root=os.geteuid() == 0,
        capabilities=_capabilities(),
        bpf_error=kernel.bpf_error(),
        jit=_number("net/core/bpf_jit_enable"),
        has_btf=Path("/sys/kernel/btf/vmlinux").exists(),
        has_tcx=_has_tcx(devices),
        libbpf_version=kernel.libbpf_version(),
        has_bpffs="bpf" in _text("/proc/filesystems").split(),
        ip_forward=_number("net/ipv4/ip_forward"),
        ipv6_forwarding=_number("net/ipv6/conf/all/forwarding"),
        ipv6_default_from_ra=any(route.get("protocol") == "ra" for route in _ip("-6", "route", "show", "default")),
        rp_filter_all=_number("net/ipv4/conf/all/rp_filter"),
        send_redirects_all=_number("net/ipv4/conf/all/send_redirects"),
        bridge_calls={name: value for name, value in calls.items() if value is not None},
        has_bridge=any(_kind(device) == "bridge" for device in others),
        interfaces=tuple(_interface(device) for device in others),
        clock_source=_text("/sys/devices/system/clocksource/clocksource0/current_clocksource").strip() or None,
        clock_synchronised=kernel.clock_synchronised(),
        may_run_fifo=kernel.may_run_fifo(),
        open_files=None if hard_limit == resource.RLIM_INFINITY else hard_limit,
    )


def _interface(device: dict[str, Any]) -> InterfaceFacts:
    name = device["ifname"]
    attached = [p for mode in device.get("xdp", {}).get("attached", []) if (p := mode.get("prog"))]
    attached = attached or [p for p in [device.get("xdp", {}).get("prog")] if p]
    programs = [HookedProgram(hook="xdp", name=p.get("name") or kernel.program_name(p["id"])) for p in attached]
    return InterfaceFacts(
        name=name,
        kind=_kind(device),
        rp_filter=_number(f"net/ipv4/conf/{name}/rp_filter"),
        send_redirects=_number(f"net/ipv4/conf/{name}/send_redirects"),
        tx_checksum_offload=kernel.tx_checksum_offload(name),
        programs=(*programs, *(kernel.tcx_programs(device["ifindex"]) or ())),
    )


def _has_tcx(devices: list[dict[str, Any]]) -> bool | None:
    if os.geteuid() != 0 or not devices:
        return None
    return kernel.tcx_programs(devices[0]["ifindex"]) is not None


def _kind(device: dict[str, Any]) -> str:
    kind: str = device.get("linkinfo", {}).get("info_kind", "")
    return kind


def _capabilities() -> int:
    for line in _text("/proc/self/status").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def _number(key: str) -> int | None:
    text = _text(str(PROC_SYS / key)).strip()
    return int(text) if text.lstrip("-").isdecimal() else None


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _ip(*words: str) -> list[dict[str, Any]]:
    try:
        done = subprocess.run(
            ["ip", "-j", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=COMMAND_TIMEOUT_S, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise PiranhaError("the command `ip` is not installed", mend="install the package iproute2") from None
    except subprocess.TimeoutExpired:
        raise PiranhaError("the command `ip` does not answer") from None
    # Where the kernel has no IPv6, asking for its routes is an error that means none.
    listing: list[dict[str, Any]] = json.loads(done.stdout or "[]") if done.returncode == 0 else []
    return [entry for entry in listing if entry]  # ip leaves an empty object for what a filter left out
