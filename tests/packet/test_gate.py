"""The gate, packet by packet: what it drops while the lease is out, what renews the lease, what never does."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw

from piranha.base.paths import Paths
from piranha.dataplane.ebpf.object import BpfObject
from piranha.dataplane.ebpf.pins import Pins
from piranha.dataplane.ebpf.syscall import prog_test_run
from piranha.dataplane.ebpf.tables import OBJECT as DATA_PLANE
from piranha.pulse.gate import COUNTERS, FOREVER, Gate, GateLease, boot_time_ns
from tests.packet.bench import Bench

VIP4, VIP6, OTHER4, OTHER6 = "10.9.0.1", "fd09::1", "10.9.0.2", "fd09::2"
CLIENT_MAC, OWN_MAC = "02:00:00:00:00:c1", "02:00:00:00:00:0d"
SECOND_NS = 1_000_000_000
LEASE_NS = 3600 * SECOND_NS
LOOPBACK = 1
PASS, DROP = 0xFFFFFFFF, 2

TO_GATE = Ether(src=CLIENT_MAC, dst=OWN_MAC)
BROADCAST = Ether(src=CLIENT_MAC, dst="ff:ff:ff:ff:ff:ff")
FROM_GATE = Ether(src=OWN_MAC, dst=CLIENT_MAC)

DROPPED_IN = {
    "arp request": (BROADCAST / ARP(op=1, psrc="10.9.0.9", pdst=VIP4), "arp_dropped"),
    "arp probe": (BROADCAST / ARP(op=1, psrc="0.0.0.0", pdst=VIP4), "arp_dropped"),
    "arp request, unicast": (TO_GATE / ARP(op=1, psrc="10.9.0.9", pdst=VIP4), "arp_dropped"),
    "tcp": (TO_GATE / IP(src="10.1.0.2", dst=VIP4) / TCP(dport=80), "ipv4_dropped"),
    "udp": (TO_GATE / IP(src="10.1.0.2", dst=VIP4) / UDP(dport=53) / Raw(b"x"), "ipv4_dropped"),
    "ping": (TO_GATE / IP(src="10.1.0.2", dst=VIP4) / ICMP(), "ipv4_dropped"),
    "fragment": (TO_GATE / IP(src="10.1.0.2", dst=VIP4, frag=100, proto=17) / Raw(b"x" * 64), "ipv4_dropped"),
    "ip options": (TO_GATE / IP(src="10.1.0.2", dst=VIP4, options=b"\x01" * 8) / TCP(), "ipv4_dropped"),
    "tcp over ipv6": (TO_GATE / IPv6(src="fd01::2", dst=VIP6) / TCP(dport=80), "ipv6_dropped"),
    "ping over ipv6": (TO_GATE / IPv6(src="fd01::2", dst=VIP6) / ICMPv6EchoRequest(), "ipv6_dropped"),
    "solicitation": (
        TO_GATE / IPv6(src="fe80::9", dst="ff02::1:ff00:1", hlim=255) / ICMPv6ND_NS(tgt=VIP6)
        / ICMPv6NDOptSrcLLAddr(lladdr=CLIENT_MAC),
        "ndp_dropped",
    ),
    "duplicate address detection": (
        TO_GATE / IPv6(src="::", dst="ff02::1:ff00:1", hlim=255) / ICMPv6ND_NS(tgt=VIP6),
        "ndp_dropped",
    ),
    "solicitation, unicast": (
        TO_GATE / IPv6(src="fe80::9", dst=VIP6, hlim=255) / ICMPv6ND_NS(tgt=VIP6),
        "ipv6_dropped",
    ),
}  # fmt: skip

PASSED_IN = {
    "arp for another": BROADCAST / ARP(op=1, psrc="10.9.0.9", pdst=OTHER4),
    "arp reply": TO_GATE / ARP(op=2, psrc=VIP4, pdst=OTHER4),
    "announcement of the peer": BROADCAST / ARP(op=1, psrc=VIP4, pdst=VIP4),
    "tcp to another": TO_GATE / IP(src="10.1.0.2", dst=OTHER4) / TCP(dport=80),
    "tcp from the vip": TO_GATE / IP(src=VIP4, dst=OTHER4) / TCP(dport=80),
    "tcp over ipv6 to another": TO_GATE / IPv6(src="fd01::2", dst=OTHER6) / TCP(dport=80),
    "solicitation of another": TO_GATE / IPv6(src="fe80::9", dst="ff02::1:ff00:2", hlim=255) / ICMPv6ND_NS(tgt=OTHER6),
    "advertisement of the peer": TO_GATE / IPv6(src=VIP6, dst="ff02::1", hlim=255) / ICMPv6ND_NA(tgt=VIP6),
    "tagged: it comes again on its own device": TO_GATE / Dot1Q(vlan=5) / IP(src="10.1.0.2", dst=VIP4) / TCP(),
    "cut short": TO_GATE / Raw(b"\x45" + b"\0" * 15),
}

DROPPED_OUT = {
    "arp reply": FROM_GATE / ARP(op=2, psrc=VIP4, pdst="10.9.0.9"),
    "gratuitous request": FROM_GATE / ARP(op=1, psrc=VIP4, pdst=VIP4),
    "request in the vip's name": FROM_GATE / ARP(op=1, psrc=VIP4, pdst="10.9.0.9"),
    "advertisement": FROM_GATE / IPv6(src="fe80::d", dst="ff02::1", hlim=255) / ICMPv6ND_NA(tgt=VIP6)
    / ICMPv6NDOptDstLLAddr(lladdr=OWN_MAC),
    "advertisement from the vip": FROM_GATE / IPv6(src=VIP6, dst="ff02::1", hlim=255) / ICMPv6ND_NA(tgt=VIP6),
    "solicitation from the vip": FROM_GATE / IPv6(src=VIP6, dst="ff02::1:ff00:9", hlim=255) / ICMPv6ND_NS(tgt="fd09::9"),
}  # fmt: skip

PASSED_OUT = {
    "arp request for the vip": FROM_GATE / ARP(op=1, psrc="10.9.0.3", pdst=VIP4),
    "arp reply of its own": FROM_GATE / ARP(op=2, psrc="10.9.0.3", pdst="10.9.0.9"),
    "advertisement of its own": FROM_GATE / IPv6(src="fe80::d", dst="ff02::1", hlim=255) / ICMPv6ND_NA(tgt="fe80::d"),
    "answer of a connection": FROM_GATE / IP(src=VIP4, dst="10.1.0.2") / TCP(sport=80),
    "ping": FROM_GATE / IPv6(src=VIP6, dst="fd01::2") / ICMPv6EchoRequest(),
}


@dataclass
class GateBench:
    """A gate that hangs nowhere, and packets through its programs."""

    gate: Gate

    def run(self, program: str, packet: Packet | bytes, *, came_in: int = 0) -> int:
        context = bytearray(192)
        struct.pack_into("=II", context, 36, came_in, LOOPBACK)
        return prog_test_run(self.gate.program(program), bytes(packet), context).retval

    def counted(self) -> dict[str, int]:
        return {name: number for name, number in self.gate.state().counters.items() if number}

    def expire(self) -> None:
        self.gate.claim(boot_time_ns() - 1)


@pytest.fixture
def bench_paths(tmp_path: Path) -> Iterator[Paths]:
    paths = Paths(config=tmp_path, run=tmp_path, state=tmp_path, etc=tmp_path)
    yield paths
    Pins(paths.bpffs).remove_all()
    Pins(paths.bpffs).unmount()


@pytest.fixture
def gate(bench_paths: Paths) -> Iterator[GateBench]:
    gate = Gate.open(bench_paths)
    gate.set_addresses([ip_address(VIP4), ip_address(VIP6)])
    gate.enable(active_word=b"PiA1", heartbeat_port=539, lease_ns=LEASE_NS)
    yield GateBench(gate)
    gate.close()


def heartbeat(word: bytes = b"PiA1", *, version: int = 4, port: int = 539) -> Packet:
    ip = IP(src="10.9.0.3", dst="10.9.0.4") if version == 4 else IPv6(src="fd09::3", dst="fd09::4")
    return FROM_GATE / ip / UDP(sport=539, dport=port) / Raw(word + b"sealed" * 8)


@pytest.mark.parametrize("name", DROPPED_IN)
def test_a_shut_gate_drops(gate: GateBench, name: str) -> None:
    packet, counter = DROPPED_IN[name]
    assert gate.run("gate_ingress", packet) == DROP
    assert gate.counted() == {counter: 1}
    gate.gate.claim(boot_time_ns() + LEASE_NS)
    assert gate.run("gate_ingress", packet) == PASS
    gate.expire()
    assert gate.run("gate_ingress", packet) == DROP
    gate.gate.claim(FOREVER)
    assert gate.run("gate_ingress", packet) == PASS
    gate.gate.drop()
    assert gate.run("gate_ingress", packet) == DROP
    gate.gate.disable()
    assert gate.run("gate_ingress", packet) == PASS
    assert gate.counted() == {counter: 3}


@pytest.mark.parametrize("name", PASSED_IN)
def test_a_shut_gate_lets_through(gate: GateBench, name: str) -> None:
    assert gate.run("gate_ingress", PASSED_IN[name]) == PASS
    assert gate.counted() == {}


@pytest.mark.parametrize("name", DROPPED_OUT)
def test_nothing_of_ours_claims_a_vip_while_the_gate_is_shut(gate: GateBench, name: str) -> None:
    packet = DROPPED_OUT[name]
    assert gate.run("gate_egress", packet) == DROP
    assert gate.counted() == {"announcements_dropped": 1}
    assert gate.run("gate_egress", packet, came_in=LOOPBACK) == PASS, "a bridge's frames are not ours"
    gate.gate.claim(boot_time_ns() + LEASE_NS)
    assert gate.run("gate_egress", packet) == PASS


@pytest.mark.parametrize("name", PASSED_OUT)
def test_what_may_leave_a_shut_gate(gate: GateBench, name: str) -> None:
    assert gate.run("gate_egress", PASSED_OUT[name]) == PASS
    assert gate.counted() == {}


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("word", [b"PiA1", b"\xda\xdb\xad\xbd"], ids=["sealed", "original"])
def test_an_active_heartbeat_renews(gate: GateBench, version: int, word: bytes) -> None:
    gate.gate.enable(active_word=word, heartbeat_port=539, lease_ns=LEASE_NS)
    claimed = boot_time_ns() + 60 * SECOND_NS
    gate.gate.claim(claimed)
    before = boot_time_ns()
    # The original's message is the word and nothing else.
    packet = heartbeat(word, version=version) if word == b"PiA1" else bytes(heartbeat(word, version=version))[: -6 * 8]
    assert gate.run("gate_egress", packet) == PASS
    state = gate.gate.state()
    assert before + LEASE_NS <= state.until_ns <= boot_time_ns() + LEASE_NS
    assert before <= state.renewed_ns <= boot_time_ns()
    assert state.renewals == 1


@pytest.mark.parametrize(
    "packet",
    [
        heartbeat(b"PiB1"),
        heartbeat(b"PiB1", version=6),
        heartbeat(b"PiA2"),
        heartbeat(port=540),
        FROM_GATE / IP(src="10.9.0.3", dst="10.9.0.4", frag=8, proto=17) / Raw(bytes(UDP(dport=539)) + b"PiA1"),
        FROM_GATE / IP(src="10.9.0.3", dst="10.9.0.4") / TCP(dport=539) / Raw(b"PiA1"),
        FROM_GATE / IP(src="10.9.0.3", dst="10.9.0.4") / UDP(sport=539, dport=539) / Raw(b"PiA"),
    ],
    ids=["inactive", "inactive ipv6", "another version", "another port", "fragment", "tcp", "short"],
)
def test_other_packets_do_not(gate: GateBench, packet: Packet) -> None:
    claimed = boot_time_ns() + 60 * SECOND_NS
    gate.gate.claim(claimed)
    assert gate.run("gate_egress", packet) == PASS
    assert gate.gate.until_ns() == claimed
    assert gate.gate.state().renewals == 0


def test_only_what_this_host_sends_counts(gate: GateBench) -> None:
    claimed = boot_time_ns() + 60 * SECOND_NS
    gate.gate.claim(claimed)
    for program in ("gate_ingress", "gate_egress"):
        for version in (4, 6):
            # A forged heartbeat that comes in, and one that this host would route on.
            assert gate.run(program, heartbeat(version=version), came_in=LOOPBACK) == PASS
    gate.run("gate_ingress", heartbeat())
    assert gate.gate.until_ns() == claimed


def test_only_the_owners_heartbeats_count(gate: GateBench) -> None:
    claimed = boot_time_ns() + 60 * SECOND_NS
    gate.gate.claim(claimed)
    gate.gate._lease.owner = 12345
    assert gate.run("gate_egress", heartbeat()) == PASS
    assert gate.gate.until_ns() == claimed
    assert gate.counted() == {"foreign_heartbeats": 1}


def test_an_expired_lease_is_not_revived(gate: GateBench) -> None:
    gate.gate.claim(boot_time_ns() + LEASE_NS)
    gate.run("gate_egress", heartbeat())
    expired = boot_time_ns() - 1
    gate.gate.claim(expired)
    for _ in range(3):
        assert gate.run("gate_egress", heartbeat()) == PASS
    assert gate.gate.until_ns() == expired
    assert gate.gate.state().renewals == 1
    assert gate.counted() == {"late_heartbeats": 3}
    gate.gate.drop()
    gate.run("gate_egress", heartbeat())
    assert gate.gate.until_ns() == 0


def test_a_longer_lease_is_not_shortened_by_a_heartbeat(gate: GateBench) -> None:
    for until in (boot_time_ns() + 3 * LEASE_NS, FOREVER):
        gate.gate.claim(until)
        gate.run("gate_egress", heartbeat())
        assert gate.gate.until_ns() == until


def test_addresses_are_replaced(gate: GateBench) -> None:
    gate.gate.set_addresses([ip_address(OTHER4)])
    assert gate.run("gate_ingress", TO_GATE / IP(src="10.1.0.2", dst=VIP4) / TCP()) == PASS
    assert gate.run("gate_ingress", TO_GATE / IP(src="10.1.0.2", dst=OTHER4) / TCP()) == DROP


def test_a_second_life_finds_the_lease(gate: GateBench, bench_paths: Paths) -> None:
    until = boot_time_ns() + LEASE_NS
    gate.gate.claim(until)
    again = Gate.open(bench_paths)
    assert again.state().enabled
    assert again.until_ns() == until
    assert GateBench(again).run("gate_ingress", DROPPED_IN["tcp"][0]) == PASS
    again.drop()
    assert gate.run("gate_ingress", DROPPED_IN["tcp"][0]) == DROP
    again.close()


def test_mirrors_are_those_of_the_object() -> None:
    source = DATA_PLANE.parent / "gate.bpf.o"
    for path in (source, DATA_PLANE):
        with BpfObject(path) as loaded:
            layout = loaded.btf.layout("gate_lease")
            assert layout.size == 64
            for member in layout.members:
                field = getattr(GateLease, member.name)
                assert (field.offset, field.size) == (member.offset, member.size), member.name
    with BpfObject(source) as loaded:
        values = {name: value for name, value in loaded.btf.constants().items() if name.startswith("GATE_")}
    assert values.pop("GATE_COUNTERS") == len(COUNTERS)
    names = {number: name.removeprefix("GATE_").lower() for name, number in values.items()}
    assert tuple(names[number] for number in range(len(COUNTERS))) == COUNTERS


def test_xdp_stands_aside_unless_the_lease_holds_for_certain(xdp: Bench) -> None:
    """A SYN for a service: forwarded by XDP, or left to TC, where the gate is first."""
    service = xdp.service()
    xdp.server(service)
    loaded = xdp.tables._programs
    assert isinstance(loaded, BpfObject)
    memory = loaded.map("gate_lease").mmap()
    lease = GateLease.from_buffer(memory)

    def verdict() -> str:
        return xdp.run(xdp.to_vip(flags="S")).verdict

    try:
        assert verdict() == "redirect"
        lease.enabled = 1
        assert verdict() == "pass"
        lease.until_ns = FOREVER  # claimed, and no heartbeat has left yet
        assert verdict() == "pass"
        lease.until_jiffies = 2**64 - 1
        assert verdict() == "redirect"
        lease.until_jiffies = 1
        assert verdict() == "pass"
        lease.until_jiffies, lease.until_ns = 2**64 - 1, 0  # dropped
        assert verdict() == "pass"
    finally:
        memory[:] = bytes(len(memory))
