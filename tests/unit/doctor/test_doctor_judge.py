"""What the doctor says about machines."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from piranha.base.errors import PiranhaError
from piranha.doctor.facts import Facts, HookedProgram, InterfaceFacts
from piranha.doctor.finding import Finding, Setting, Verdict
from piranha.doctor.fix import FILE, apply, file_text, wanted_settings
from piranha.doctor.judge import fit, judge

ETH0 = InterfaceFacts(name="eth0", rp_filter=0, send_redirects=0, tx_checksum_offload=True)
GOOD = Facts(
    kernel_release="6.8.0-45-generic",
    architecture="x86_64",
    is_root=True,
    capabilities=(1 << 41) - 1,
    bpf_error=0,
    jit=1,
    has_btf=True,
    has_tcx=True,
    libbpf_version="1.3",
    has_bpffs=True,
    ip_forward=1,
    ipv6_forwarding=1,
    ipv6_default_from_ra=False,
    rp_filter_all=0,
    send_redirects_all=0,
    interfaces=(ETH0,),
    clock_source="tsc",
    clock_synchronised=True,
    may_run_fifo=True,
    open_files=1_048_576,
)


def about(subject: str, facts: Facts, *, director: bool = False) -> Finding:
    """The finding that is not well, or the only one, of that subject."""
    found = [f for f in judge(facts, director=director) if f.subject == subject]
    return next((f for f in found if f.verdict is not Verdict.OK), found[0])


def test_a_good_machine_has_nothing_to_mend() -> None:
    findings = judge(GOOD, director=True)
    assert {f.verdict for f in findings} == {Verdict.OK}
    assert fit(findings)


@pytest.mark.parametrize(
    ("subject", "facts", "verdict"),
    [
        ("kernel", replace(GOOD, kernel_release="5.15.0"), Verdict.PROBLEM),
        ("kernel", replace(GOOD, kernel_release="6.0.19-custom"), Verdict.PROBLEM),
        ("kernel", replace(GOOD, kernel_release="nonsense"), Verdict.PROBLEM),
        ("kernel", replace(GOOD, kernel_release="6.1.0-23-amd64"), Verdict.OK),
        ("kernel", replace(GOOD, kernel_release="10.0"), Verdict.OK),
        ("privileges", replace(GOOD, capabilities=0), Verdict.PROBLEM),
        ("privileges", replace(GOOD, capabilities=1 << 12 | 1 << 13 | 1 << 39, is_root=False), Verdict.OK),
        ("privileges", replace(GOOD, capabilities=1 << 12 | 1 << 13 | 1 << 21, is_root=False), Verdict.OK),
        ("bpf(2)", replace(GOOD, bpf_error=errno.EPERM), Verdict.PROBLEM),
        ("bpf(2)", replace(GOOD, bpf_error=errno.ENOSYS), Verdict.PROBLEM),
        ("bpf(2)", replace(GOOD, bpf_error=None), Verdict.PROBLEM),
        ("libbpf", replace(GOOD, libbpf_version=None), Verdict.PROBLEM),
        ("libbpf", replace(GOOD, libbpf_version="0.7"), Verdict.PROBLEM),
        ("libbpf", replace(GOOD, libbpf_version="0.8"), Verdict.OK),
        ("BPF compiler", replace(GOOD, jit=0), Verdict.WARNING),
        ("BPF compiler", replace(GOOD, jit=None), Verdict.OK),
        ("kernel types (BTF)", replace(GOOD, has_btf=False), Verdict.WARNING),
        ("tcx", replace(GOOD, has_tcx=False), Verdict.WARNING),
        ("tcx", replace(GOOD, has_tcx=None), Verdict.OK),
        ("bpffs", replace(GOOD, has_bpffs=False), Verdict.PROBLEM),
        ("IPv6 forwarding", replace(GOOD, ipv6_forwarding=None), Verdict.OK),
        ("reverse path filter", replace(GOOD, rp_filter_all=1), Verdict.WARNING),
        ("reverse path filter", replace(GOOD, interfaces=(replace(ETH0, rp_filter=1),)), Verdict.WARNING),
        ("reverse path filter", replace(GOOD, rp_filter_all=1, interfaces=(replace(ETH0, rp_filter=2),)), Verdict.OK),
        ("ICMP redirects", replace(GOOD, send_redirects_all=1), Verdict.WARNING),
        ("ICMP redirects", replace(GOOD, interfaces=(replace(ETH0, send_redirects=1),)), Verdict.WARNING),
        ("bridge filtering", replace(GOOD, bridge_calls={"bridge-nf-call-iptables": 1}), Verdict.OK),
        (
            "bridge filtering",
            replace(GOOD, bridge_calls={"bridge-nf-call-iptables": 1}, has_bridge=True),
            Verdict.WARNING,
        ),
        ("clock source", replace(GOOD, clock_source="hpet"), Verdict.WARNING),
        ("time of day", replace(GOOD, clock_synchronised=False), Verdict.WARNING),
        ("time of day", replace(GOOD, clock_synchronised=None), Verdict.WARNING),
        ("real-time scheduling", replace(GOOD, may_run_fifo=False), Verdict.WARNING),
        ("open files", replace(GOOD, open_files=1024), Verdict.WARNING),
        ("open files", replace(GOOD, open_files=None), Verdict.OK),
    ],
)
def test_each_rule(subject: str, facts: Facts, verdict: Verdict) -> None:
    finding = about(subject, facts)
    assert finding.verdict is verdict
    assert fit(judge(facts, director=False)) == (verdict is not Verdict.PROBLEM)
    if verdict is not Verdict.OK:
        assert finding.meaning
        assert finding.mend


def test_forwarding_is_a_problem_for_a_director_only_and_can_be_mended() -> None:
    facts = replace(GOOD, ip_forward=0, ipv6_forwarding=0)
    assert fit(judge(facts, director=False))
    findings = judge(facts, director=True)
    assert not fit(findings)
    assert wanted_settings(findings) == [
        Setting(key="net/ipv4/ip_forward", value="1"),
        Setting(key="net/ipv6/conf/all/forwarding", value="1"),
    ]


def test_ipv6_forwarding_is_not_turned_on_where_it_would_cost_the_default_route() -> None:
    facts = replace(GOOD, ipv6_forwarding=0, ipv6_default_from_ra=True)
    finding = about("IPv6 forwarding", facts, director=True)
    assert finding.fix == ()
    assert "accept_ra = 2" in finding.mend


def test_foreign_programs_are_named_and_our_own_are_not_foreign() -> None:
    ours = HookedProgram(hook="tcx ingress", name="lb_tc")
    other = HookedProgram(hook="xdp", name="firewall")
    facts = replace(GOOD, interfaces=(replace(ETH0, programs=(ours, other)),))
    hooks = [f for f in judge(facts, director=True) if f.subject == "hooks"]
    assert [f.verdict for f in hooks] == [Verdict.OK, Verdict.WARNING]
    assert "lb_tc" in hooks[0].found
    assert "firewall" in hooks[1].found
    assert "eth0" in hooks[1].found


def test_xdp_on_a_veth_with_checksum_offload_is_warned_of() -> None:
    programs = (HookedProgram(hook="xdp", name="lb_xdp"),)
    veth = replace(ETH0, kind="veth", programs=programs)
    assert about("checksums", replace(GOOD, interfaces=(veth,))).verdict is Verdict.WARNING
    for harmless in (
        replace(veth, kind=""),
        replace(veth, tx_checksum_offload=False),
        replace(veth, programs=()),
    ):
        assert all(f.subject != "checksums" for f in judge(replace(GOOD, interfaces=(harmless,)), director=True))


def test_settings_are_written_now_and_for_every_boot(tmp_path: Path) -> None:
    proc_sys = tmp_path / "proc"
    (proc_sys / "net/ipv4").mkdir(parents=True)
    (proc_sys / "net/ipv4/ip_forward").write_text("0\n")
    path = apply([Setting(key="net/ipv4/ip_forward", value="1")], root=tmp_path, proc_sys=proc_sys)
    assert path == tmp_path / FILE
    assert (proc_sys / "net/ipv4/ip_forward").read_text() == "1\n"
    assert path.read_text().splitlines()[1:] == ["net/ipv4/ip_forward = 1"]
    with pytest.raises(PiranhaError, match=r"ipv6.*cannot be written"):
        apply([Setting(key="net/ipv6/conf/all/forwarding", value="1")], root=tmp_path, proc_sys=proc_sys)


def test_a_second_fix_keeps_what_the_first_wrote() -> None:
    first = file_text([Setting(key="a", value="1")], "")
    second = file_text([Setting(key="b", value="2"), Setting(key="a", value="3")], first)
    assert second.splitlines()[1:] == ["a = 3", "b = 2"]
