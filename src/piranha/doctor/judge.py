"""From facts to findings. Pure: every rule of `piranha doctor` is here and nothing else is."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator

from piranha.doctor.facts import Facts, InterfaceFacts
from piranha.doctor.finding import Finding, Setting, Verdict

KERNEL_FLOOR = (6, 1)
LIBBPF_FLOOR = (0, 8)
OPEN_FILES_FLOOR = 4096
OUR_PROGRAMS = ("lb_", "realserver_deca")
"""How the names of our own programs begin; the kernel keeps 15 characters."""

CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_BPF": 39}
_CAP_SYS_ADMIN = 21


def judge(facts: Facts, *, director: bool) -> list[Finding]:
    """Every finding, in the order of dependence.

    With `director`, what only some forwarding methods need counts as a problem where it is missing, not as a warning.
    """
    return [
        _kernel(facts),
        _privileges(facts),
        _bpf(facts),
        _libbpf(facts),
        _jit(facts),
        _btf(facts),
        _tcx(facts),
        _bpffs(facts),
        _forwarding4(facts, director),
        _forwarding6(facts, director),
        *_reverse_path(facts),
        _redirects(facts),
        _bridge(facts),
        *_programs(facts),
        *_offloads(facts),
        _clock_source(facts),
        _clock_synchronised(facts),
        _scheduling(facts),
        _open_files(facts),
    ]


def fit(findings: list[Finding]) -> bool:
    """Whether nothing stands in the way."""
    return all(finding.verdict is not Verdict.PROBLEM for finding in findings)


def _ok(subject: str, found: str) -> Finding:
    return Finding(subject=subject, verdict=Verdict.OK, found=found)


def _version(text: str) -> tuple[int, int] | None:
    match = re.match(r"v?(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else None


def _kernel(facts: Facts) -> Finding:
    version = _version(facts.kernel_release)
    found = f"Linux {facts.kernel_release} on {facts.architecture}"
    if version is not None and version >= KERNEL_FLOOR:
        return _ok("kernel", found)
    return Finding(
        subject="kernel", verdict=Verdict.PROBLEM, found=found,
        meaning="the data plane needs Linux 6.1 or later",
        mend="install a newer kernel; Debian 12, Ubuntu 24.04 and RHEL 10 bring one",
    )  # fmt: skip


def _privileges(facts: Facts) -> Finding:
    # CAP_SYS_ADMIN includes what CAP_BPF was split from.
    held = facts.capabilities | ((1 << CAPABILITIES["CAP_BPF"]) if facts.capabilities >> _CAP_SYS_ADMIN & 1 else 0)
    lacking = [name for name, bit in CAPABILITIES.items() if not held >> bit & 1]
    if not lacking:
        return _ok("privileges", "root" if facts.is_root else "all capabilities that lvsd needs")
    return Finding(
        subject="privileges", verdict=Verdict.PROBLEM, found=f"without {', '.join(lacking)}",
        meaning="lvsd cannot load programs or change the network; some facts below could not be found out either",
        mend="run it as root (`sudo piranha doctor`); in a container, grant these capabilities",
    )  # fmt: skip


def _bpf(facts: Facts) -> Finding:
    if facts.bpf_error == 0:
        return _ok("bpf(2)", "a map can be made")
    if facts.bpf_error is None:
        return Finding(
            subject="bpf(2)", verdict=Verdict.PROBLEM, found=f"not known for {facts.architecture}",
            meaning="the data plane was made for x86-64 and arm64", mend="use such a machine",
        )  # fmt: skip
    mends = {
        errno.EPERM: "run as root; in a container or sandbox allow the system call bpf",
        errno.ENOSYS: "take a kernel with CONFIG_BPF_SYSCALL, as all distributions have",
    }
    return Finding(
        subject="bpf(2)", verdict=Verdict.PROBLEM, found=os.strerror(facts.bpf_error),
        meaning="no program can be loaded, so nothing would be balanced",
        mend=mends.get(facts.bpf_error, "see the kernel's log (`dmesg`)"),
    )  # fmt: skip


def _libbpf(facts: Facts) -> Finding:
    mend = "`apt install libbpf1` (Debian, Ubuntu) or `dnf install libbpf` (Fedora, RHEL)"
    if facts.libbpf_version is None:
        return Finding(
            subject="libbpf", verdict=Verdict.PROBLEM, found="libbpf.so.1 is missing",
            meaning="lvsd loads its programs through it", mend=mend,
        )  # fmt: skip
    version = _version(facts.libbpf_version)
    if version is not None and version >= LIBBPF_FLOOR:
        return _ok("libbpf", facts.libbpf_version)
    return Finding(
        subject="libbpf", verdict=Verdict.PROBLEM, found=facts.libbpf_version,
        meaning="version 0.8 or later is needed", mend=mend,
    )  # fmt: skip


def _jit(facts: Facts) -> Finding:
    if facts.jit is None or facts.jit > 0:
        return _ok("BPF compiler", "on" if facts.jit else "state not known")
    return Finding(
        subject="BPF compiler", verdict=Verdict.WARNING, found="off",
        meaning="programs are interpreted, which costs several times as much per packet",
        mend="`sysctl -w net.core.bpf_jit_enable=1`",
        fix=(Setting(key="net/core/bpf_jit_enable", value="1"),),
    )  # fmt: skip


def _btf(facts: Facts) -> Finding:
    if facts.has_btf:
        return _ok("kernel types (BTF)", "present")
    return Finding(
        subject="kernel types (BTF)", verdict=Verdict.WARNING, found="no /sys/kernel/btf/vmlinux",
        meaning="optional parts of the data plane that use newer kernel functions stay off",
        mend="take a kernel with CONFIG_DEBUG_INFO_BTF, as distributions have",
    )  # fmt: skip


def _tcx(facts: Facts) -> Finding:
    if facts.has_tcx is None:
        return _ok("tcx", "not known without privileges")
    if facts.has_tcx:
        return _ok("tcx", "present")
    return Finding(
        subject="tcx", verdict=Verdict.WARNING, found="absent",
        meaning="programs are attached by the older clsact way, which cannot be pinned",
        mend="Linux 6.6 brings it",
    )  # fmt: skip


def _bpffs(facts: Facts) -> Finding:
    if facts.has_bpffs:
        return _ok("bpffs", "can be mounted")
    return Finding(
        subject="bpffs", verdict=Verdict.PROBLEM, found="the kernel has no file system `bpf`",
        meaning="maps and programs could not outlive lvsd: every restart would drop all connections",
        mend="take a kernel with CONFIG_BPF_SYSCALL, as all distributions have",
    )  # fmt: skip


def _forwarding4(facts: Facts, director: bool) -> Finding:
    if facts.ip_forward:
        return _ok("IPv4 forwarding", "on")
    return Finding(
        subject="IPv4 forwarding", verdict=Verdict.PROBLEM if director else Verdict.WARNING, found="off",
        meaning="a director hands packets on to real servers only with it",
        mend="`piranha doctor --director --fix`, or net.ipv4.ip_forward = 1 in /etc/sysctl.d",
        fix=(Setting(key="net/ipv4/ip_forward", value="1"),),
    )  # fmt: skip


def _forwarding6(facts: Facts, director: bool) -> Finding:
    if facts.ipv6_forwarding is None:
        return _ok("IPv6 forwarding", "there is no IPv6 here")
    if facts.ipv6_forwarding:
        return _ok("IPv6 forwarding", "on")
    meaning = "a director hands IPv6 packets on to real servers only with it"
    verdict = Verdict.PROBLEM if director else Verdict.WARNING
    if facts.ipv6_default_from_ra:
        # With forwarding on, the kernel forgets routes from router advertisements unless accept_ra is 2.
        return Finding(
            subject="IPv6 forwarding", verdict=Verdict.WARNING, found="off", meaning=meaning,
            mend="this machine has its IPv6 default route from router advertisements: first set "
            "net.ipv6.conf.DEVICE.accept_ra = 2 for that device, then net.ipv6.conf.all.forwarding = 1",
        )  # fmt: skip
    return Finding(
        subject="IPv6 forwarding", verdict=verdict, found="off", meaning=meaning,
        mend="`piranha doctor --director --fix`, or net.ipv6.conf.all.forwarding = 1 in /etc/sysctl.d",
        fix=(Setting(key="net/ipv6/conf/all/forwarding", value="1"),),
    )  # fmt: skip


def _reverse_path(facts: Facts) -> Iterator[Finding]:
    strict = [i.name for i in facts.interfaces if max(facts.rp_filter_all or 0, i.rp_filter or 0) == 1]
    if not strict:
        yield _ok("reverse path filter", "off or loose")
        return
    yield Finding(
        subject="reverse path filter", verdict=Verdict.WARNING, found=f"strict on {', '.join(strict)}",
        meaning="packets from clients whose way back leads over another device are dropped before lvsd's TC program",
        mend="where clients come in by more than one way: net.ipv4.conf.DEVICE.rp_filter = 2",
    )  # fmt: skip


def _redirects(facts: Facts) -> Finding:
    sending = [i.name for i in facts.interfaces if (facts.send_redirects_all or 0) or (i.send_redirects or 0)]
    if not sending:
        return _ok("ICMP redirects", "not sent")
    return Finding(
        subject="ICMP redirects", verdict=Verdict.WARNING, found=f"sent on {', '.join(sending)}",
        meaning="with NAT on one network, real servers would be told to answer clients past the director",
        mend="with NAT on one network: net.ipv4.conf.all.send_redirects = 0 and the same for the device",
    )  # fmt: skip


def _bridge(facts: Facts) -> Finding:
    calling = sorted(name for name, value in facts.bridge_calls.items() if value)
    if not calling or not facts.has_bridge:
        return _ok("bridge filtering", "not in the way")
    return Finding(
        subject="bridge filtering", verdict=Verdict.WARNING, found=f"{', '.join(calling)} on",
        meaning="packets that only cross a bridge of this machine pass its firewall rules, which may drop them",
        mend="where this machine's bridges carry the cluster: `sysctl -w net.bridge.bridge-nf-call-iptables=0`",
    )  # fmt: skip


def _is_ours(name: str) -> bool:
    return name.startswith(OUR_PROGRAMS)


def _programs(facts: Facts) -> Iterator[Finding]:
    ours = [(i.name, p) for i in facts.interfaces for p in i.programs if _is_ours(p.name)]
    foreign = [(i.name, p) for i in facts.interfaces for p in i.programs if not _is_ours(p.name)]
    shown = ", ".join(f"{p.name} ({p.hook} of {name})" for name, p in ours)
    yield _ok("hooks", f"ours: {shown}" if ours else "none of ours attached")
    for name, program in foreign:
        xdp = program.hook == "xdp"
        yield Finding(
            subject="hooks", verdict=Verdict.WARNING,
            found=f"foreign: {program.name} ({program.hook} of {name})",
            meaning="lvsd cannot use XDP there, only TC" if xdp else "it sees packets before or after lvsd does",
            mend="leave it when it is meant to be there; "
            + (f"`ip link set {name} xdp off` removes it" if xdp else "it belongs to whoever attached it"),
        )  # fmt: skip


def _offloads(facts: Facts) -> Iterator[Finding]:
    suspects = [i for i in facts.interfaces if i.kind == "veth" and i.tx_checksum_offload and _has_xdp(i)]
    for interface in suspects:
        yield Finding(
            subject="checksums", verdict=Verdict.WARNING,
            found=f"XDP on the veth {interface.name} with checksum offload",
            meaning="XDP takes the unfinished checksums of a local sender for final ones: receivers drop the packets",
            mend="`ethtool -K DEVICE tx off` on the senders' devices, or `hook = tc` in lvs.cf",
        )  # fmt: skip


def _has_xdp(interface: InterfaceFacts) -> bool:
    return any(program.hook == "xdp" for program in interface.programs)


def _clock_source(facts: Facts) -> Finding:
    if facts.clock_source in ("tsc", "arch_sys_counter", "kvm-clock", "hyperv_clocksource_tsc_page"):
        return _ok("clock source", facts.clock_source)
    return Finding(
        subject="clock source", verdict=Verdict.WARNING, found=facts.clock_source or "not known",
        meaning="reading the time is slow, which makes timings coarse",
        mend="see /sys/devices/system/clocksource/clocksource0/available_clocksource",
    )  # fmt: skip


def _clock_synchronised(facts: Facts) -> Finding:
    if facts.clock_synchronised:
        return _ok("time of day", "synchronised")
    return Finding(
        subject="time of day", verdict=Verdict.WARNING,
        found="not known" if facts.clock_synchronised is None else "not synchronised",
        meaning="balancing does not depend on it, but the logs of two directors cannot be laid side by side",
        mend="run chrony or systemd-timesyncd",
    )  # fmt: skip


def _scheduling(facts: Facts) -> Finding:
    if facts.may_run_fifo:
        return _ok("real-time scheduling", "granted")
    return Finding(
        subject="real-time scheduling", verdict=Verdict.WARNING, found="refused",
        meaning="heartbeats fall back to the calm timings, so that a takeover takes seconds",
        mend="run as root; in a container grant CAP_SYS_NICE; look for cpu.rt_runtime_us of the control group",
    )  # fmt: skip


def _open_files(facts: Facts) -> Finding:
    if facts.open_files is None or facts.open_files >= OPEN_FILES_FLOOR:
        return _ok("open files", "unlimited" if facts.open_files is None else f"up to {facts.open_files}")
    return Finding(
        subject="open files", verdict=Verdict.WARNING, found=f"only up to {facts.open_files}",
        meaning="checks of many real servers and many API clients at a time would be refused",
        mend="LimitNOFILE=65536 in the unit, or `ulimit -n`",
    )  # fmt: skip
