"""BPF where it works, nftables where it does not, and never both. The picture is in two_hosts.py."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from piranha.base.errors import PiranhaError
from piranha.dataplane.ebpf.pins import Pins
from piranha.pulse import gate as bpf_gate
from piranha.pulse.gate import Gate
from piranha.pulse.gate_choice import open_gate
from piranha.pulse.gate_nft import NftGate
from tests.netns.two_hosts import VIP, TwoHosts, two_hosts


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[TwoHosts]:
    with two_hosts(tmp_path, "gc") as made:
        yield made


def test_rules_where_bpf_is_refused_and_away_with_them_when_it_works(
    hosts: TwoHosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = hosts.paths.run / "broken.bpf.o"
    broken.write_bytes(b"no object")
    with monkeypatch.context() as without:
        without.setattr(bpf_gate, "OBJECT", broken)
        rules = hosts.inside(hosts.director, lambda: open_gate(hosts.paths))
        assert isinstance(rules, NftGate)
        hosts.inside(hosts.director, lambda: _in_force(rules))
        assert hosts.inside(hosts.director, rules.attached) == {"eth0"}
        rules.close()
    programs = hosts.inside(hosts.director, lambda: open_gate(hosts.paths))
    assert isinstance(programs, Gate)
    left = hosts.inside(hosts.director, NftGate.open)
    assert hosts.inside(hosts.director, left.attached) == frozenset()
    left.close()
    programs.close()


def _in_force(gate: NftGate) -> None:
    gate.set_addresses([ip_address(VIP[4])])
    gate.enable(active_word=b"PiA1", heartbeat_port=539, lease_ns=10**9)
    assert gate.attach(["eth0"]) == []


def test_without_either_both_reasons_are_told(hosts: TwoHosts, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = hosts.paths.run / "broken.bpf.o"
    broken.write_bytes(b"no object")
    monkeypatch.setattr(bpf_gate, "OBJECT", broken)
    monkeypatch.setenv("PATH", "/nothing")
    with pytest.raises(PiranhaError) as caught:
        hosts.inside(hosts.director, lambda: open_gate(hosts.paths))
    assert "libbpf" in str(caught.value)
    assert "nft" in str(caught.value)
    assert Pins(hosts.paths.bpffs).mounted
