"""What a real server needs."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest
from tests.unit.realserver_world import FACTS, rules_of

from piranha.base.errors import PiranhaError
from piranha.realserver.request import ArpMethod, HostFacts, SetupRequest
from piranha.realserver.requirement import AddressIs, ArpRulesAre, DecapsulationIs, FileIs, SysctlIs, TunnelIsUp
from piranha.realserver.wanted import SYSCTL_FILE, UNIT_FILE, UNIT_LINK, boot_command, want

V4, V6 = ip_address("10.0.0.100"), ip_address("fd00:10::100")
PLAIN = SetupRequest(vips=(V4,), persist=False)


def test_arp_is_quiet_before_the_address_stands() -> None:
    kinds = [type(r) for r in want(PLAIN, FACTS).requirements]
    assert kinds[-1] is AddressIs
    assert set(kinds[:-1]) == {SysctlIs}


def test_arp_settings_hold_for_all_and_for_each_device() -> None:
    values = {r.key: r.accepted for r in want(PLAIN, FACTS).requirements if isinstance(r, SysctlIs)}
    assert set(values) == {
        f"net/ipv4/conf/{name}/{key}" for name in ("all", "eth0", "eth1") for key in ("arp_ignore", "arp_announce")
    }
    # arp_ignore 3 answers for the loopback's addresses, arp_announce 1 may still send the VIP.
    assert {v for k, v in values.items() if k.endswith("arp_ignore")} == {("1", "2")}
    assert {v for k, v in values.items() if k.endswith("arp_announce")} == {("2",)}


def test_ipv6_needs_an_address_and_an_explanation_only() -> None:
    wanted = want(replace(PLAIN, vips=(V6,)), FACTS)
    assert [str(r) for r in wanted.requirements] == ["address fd00:10::100/128 on lo"]
    assert any("neighbour discovery" in note for note in wanted.notes)


def test_ipv4_addresses_carry_a_label_that_fits_the_kernel() -> None:
    def label(device: str) -> str | None:
        wanted = want(replace(PLAIN, device=device), FACTS).requirements
        return next(r for r in wanted if isinstance(r, AddressIs)).label

    assert label("lo") == "lo:piranha"
    assert label("dummy0.1234") is None


def test_the_kernels_own_tunnel_devices_are_preferred() -> None:
    wanted = want(replace(PLAIN, vips=(V4, V6), tunnel=True), FACTS).requirements
    assert {r.device for r in wanted if isinstance(r, TunnelIsUp)} == {"tunl0", "ip6tnl0"}
    assert SysctlIs(key="net/ipv4/conf/tunl0/rp_filter", accepted=("2",)) in wanted
    assert not any(isinstance(r, DecapsulationIs) for r in wanted)


def test_without_them_our_program_decapsulates_on_every_device() -> None:
    wanted = want(replace(PLAIN, vips=(V4, V6), tunnel=True), replace(FACTS, tunnel_kinds=frozenset({"ipip"})))
    programs = [r for r in wanted.requirements if isinstance(r, DecapsulationIs)]
    assert [p.device for p in programs] == ["eth0", "eth1"]
    assert {p.vips for p in programs} == {(V4, V6)}
    assert any("no ip6tnl device" in note for note in wanted.notes)
    with pytest.raises(PiranhaError, match="no network device is up"):
        want(replace(PLAIN, tunnel=True), HostFacts())


def test_the_articles_arptables_rules() -> None:
    wanted = want(replace(PLAIN, method=ArpMethod.ARPTABLES), FACTS).requirements
    assert rules_of(wanted) == (
        "input arp daddr ip 10.0.0.100 drop",
        "output arp saddr ip 10.0.0.100 arp saddr ip set 10.0.0.11",
    )
    assert not any(isinstance(r, SysctlIs) for r in wanted)


def test_arptables_says_what_it_lacks() -> None:
    request = replace(PLAIN, method=ArpMethod.ARPTABLES)
    with pytest.raises(PiranhaError, match=r"nft.*not installed.*nftables"):
        want(request, replace(FACTS, has_nft=False))
    with pytest.raises(PiranhaError, match="--rip"):
        want(request, replace(FACTS, rip=None))
    ipv6_only = want(replace(request, vips=(V6,)), replace(FACTS, has_nft=False))
    assert not any(isinstance(r, ArpRulesAre) for r in ipv6_only.requirements)


def test_persistence_is_a_unit_and_early_arp_settings() -> None:
    wanted = want(replace(PLAIN, persist=True, tunnel=True), FACTS).requirements
    files = {r.path: r for r in wanted if isinstance(r, FileIs)}
    assert set(files) == {SYSCTL_FILE, UNIT_FILE, UNIT_LINK}
    assert "net/ipv4/conf/all/arp_ignore = 1" in files[SYSCTL_FILE].content
    assert "rp_filter" not in files[SYSCTL_FILE].content  # tunl0 does not exist so early
    command = "/usr/bin/piranha realserver setup --no-persist --vip 10.0.0.100 --device lo --method sysctl --tunnel"
    assert f"ExecStart={command}\n" in files[UNIT_FILE].content
    assert files[UNIT_LINK].link


def test_without_systemd_the_boot_command_is_told() -> None:
    request = replace(PLAIN, persist=True)
    facts = replace(FACTS, has_systemd=False)
    wanted = want(request, facts)
    assert {r.path for r in wanted.requirements if isinstance(r, FileIs)} == {SYSCTL_FILE}
    assert any(boot_command(request, facts) in note for note in wanted.notes)


def test_no_vip_is_refused() -> None:
    with pytest.raises(PiranhaError, match="--vip"):
        want(replace(PLAIN, vips=()), FACTS)
