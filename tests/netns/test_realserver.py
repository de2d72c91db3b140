"""A machine becomes a real server and stops being one: kernel settings, addresses, ARP on the wire, decapsulation.

plt-peer (10.9.0.1, fd99::1) p0 ───── eth0 (10.9.0.2, fd99::2) plt-rs (VIP on lo)
"""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from importlib import resources
from ipaddress import ip_address
from pathlib import Path

import pytest

from piranha.base.errors import PiranhaError
from piranha.dataplane.ebpf.map import BpfMap
from piranha.dataplane.ebpf.object import BpfObject
from piranha.dataplane.ebpf.syscall import prog_test_run
from piranha.lab import namespace as netns
from piranha.lab.process import python_command, python_environment
from piranha.realserver import decapsulation
from piranha.realserver.decapsulation import OBJECT, PROGRAM, vip_key
from piranha.realserver.host import Host
from piranha.realserver.requirement import DecapsulationIs

scapy = pytest.importorskip("scapy.all")
from scapy.layers.inet import ICMP, IP, TCP, UDP  # noqa: E402
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt  # noqa: E402
from scapy.layers.l2 import ARP, Ether  # noqa: E402

SERVER, PEER = "plt-rs", "plt-peer"
VIP4, VIP6 = "10.9.0.100", "fd99::100"
NULL_MAC = "00:00:00:00:00:00"

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces and BPF"),
]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Path]:
    """The two namespaces; the value is the root for the files."""
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    for name in (SERVER, PEER):
        if netns.exists(name):
            netns.delete(name)
    try:
        for name in (SERVER, PEER):
            netns.add(name)
            with netns.entered(name):
                netns.write_sysctls([("net.ipv6.conf.default.accept_dad", "0"), ("net.ipv4.conf.all.rp_filter", "0")])
        netns.ip_batch(
            SERVER,
            [
                "link set lo up",
                f"link add eth0 type veth peer name p0 netns {PEER}",
                "addr add 10.9.0.2/24 dev eth0",
                "addr add fd99::2/64 dev eth0 nodad",
                "link set eth0 up",
            ],
        )
        netns.ip_batch(
            PEER,
            ["addr add 10.9.0.1/24 dev p0", "addr add fd99::1/64 dev p0 nodad", "link set p0 up", "link set lo up"],
        )
        yield tmp_path
    finally:
        for name in (SERVER, PEER):
            if netns.exists(name):
                netns.delete(name)


def realserver(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    with netns.entered(SERVER):
        return subprocess.run(
            python_command("-m", "piranha", "realserver", *words, "--root", str(root)),
            env=python_environment(), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip


def state() -> dict[str, str]:
    """All that a set-up may change in the namespace."""
    with netns.entered(SERVER):
        found = {
            key: (Path("/proc/sys/net/ipv4/conf") / key).read_text().strip()
            for key in ("all/arp_ignore", "all/arp_announce", "eth0/arp_ignore", "eth0/arp_announce", "all/rp_filter")
        }
        found["nft"] = netns.run(["nft", "list", "ruleset"])
        found["tc"] = netns.run(["tc", "filter", "show", "dev", "eth0", "ingress"])
        found["qdisc"] = netns.run(["tc", "qdisc", "show", "dev", "eth0"])
    addresses = json.loads(netns.run(["ip", "-n", SERVER, "-j", "addr", "show", "dev", "lo"]))[0]["addr_info"]
    found["lo"] = " ".join(sorted(f"{a['local']}/{a['prefixlen']} {a.get('label', '')}" for a in addresses))
    return found


def answers_arp(target: str) -> bool:
    """Whether the server answers an ARP request of the peer for the address."""
    with netns.entered(PEER):
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
    with wire:
        wire.bind(("p0", 0x0806))
        wire.settimeout(0.5)
        mac = wire.getsockname()[4]
        request = Ether(dst="ff:ff:ff:ff:ff:ff", src=mac) / ARP(op=1, hwsrc=mac, psrc="10.9.0.1", pdst=target)
        wire.send(bytes(request))
        try:
            while True:
                packet = Ether(wire.recv(2048))
                if packet.haslayer(ARP) and packet[ARP].op == 2 and packet[ARP].psrc == target:
                    return True
        except TimeoutError:
            return False


def arp_source_used_for(source: str) -> str:
    """The sender address in the server's ARP request for the peer, when it sends from `source`."""
    netns.run(["ip", "-n", SERVER, "neigh", "flush", "dev", "eth0"])
    with netns.entered(PEER):
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
    with netns.entered(SERVER):
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with wire, sender:
        wire.bind(("p0", 0x0806))
        wire.settimeout(3.0)
        sender.bind((source, 0))
        sender.sendto(b"x", ("10.9.0.77", 9))
        while True:
            packet = Ether(wire.recv(2048))
            if packet.haslayer(ARP) and packet[ARP].op == 1 and packet[ARP].pdst == "10.9.0.77":
                return str(packet[ARP].psrc)


@pytest.mark.parametrize("method", ["sysctl", "arptables"])
def test_the_vip_stands_but_stays_out_of_arp_until_undone(machine: Path, method: str) -> None:
    before = state()
    netns.run(["ip", "-n", SERVER, "addr", "add", f"{VIP4}/32", "dev", "lo"])
    assert answers_arp(VIP4), "without a set-up the kernel answers: else this test proves nothing"
    assert arp_source_used_for(VIP4) == VIP4
    netns.run(["ip", "-n", SERVER, "addr", "del", f"{VIP4}/32", "dev", "lo"])

    done = realserver(machine, "setup", "--vip", VIP4, "--vip", VIP6, "--method", method)
    assert done.returncode == 0, done.stderr
    assert f"{VIP4}/32 lo:piranha" in state()["lo"]
    assert f"{VIP6}/128" in state()["lo"]
    assert not answers_arp(VIP4)
    assert answers_arp("10.9.0.2")
    assert arp_source_used_for(VIP4) == "10.9.0.2"

    assert realserver(machine, "check").returncode == 0
    again = realserver(machine, "setup", "--vip", VIP4, "--vip", VIP6, "--method", method)
    assert again.stdout == "everything is set up already\n"

    undone = realserver(machine, "undo")
    assert undone.returncode == 0, undone.stderr
    assert state() == before
    assert [p for p in machine.rglob("*") if not p.is_dir()] == []


def test_check_says_what_is_missing_and_changes_nothing(machine: Path) -> None:
    before = state()
    shown = realserver(machine, "check", "--vip", VIP4)
    assert shown.returncode == 1
    assert "arp_ignore" in shown.stdout
    assert f"address {VIP4}/32 on lo" in shown.stdout
    assert state() == before
    assert realserver(machine, "setup", "--vip", VIP4).returncode == 0
    with netns.entered(SERVER):
        netns.write_sysctls([("net.ipv4.conf.all.arp_ignore", "0")])
    missing = json.loads(realserver(machine, "check", "--json").stdout)["missing"]
    assert [m["requirement"]["key"] for m in missing] == ["net/ipv4/conf/all/arp_ignore"]


def test_a_device_or_vip_that_is_not_there_is_one_sentence(machine: Path) -> None:
    shown = realserver(machine, "setup", "--vip", VIP4, "--device", "nosuch")
    assert (shown.returncode, shown.stderr) == (
        1,
        "piranha: there is no network device `nosuch`: `ip link` lists the devices\n",
    )
    shown = realserver(machine, "undo", "--vip", VIP4)
    assert shown.returncode == 1
    assert "was not set up here" in shown.stderr
    assert realserver(machine, "setup", "--vip", "10.9.0.300").returncode == 2
    assert realserver(machine, "setup", "--vip", "224.0.0.1").returncode == 2


def test_tunnelled_packets_reach_the_vip_and_undo_takes_the_program_off(machine: Path) -> None:
    if "ipip" in Host().facts().tunnel_kinds:
        pytest.skip("this kernel has ipip devices: the program is not used")
    before = state()
    assert realserver(machine, "setup", "--vip", VIP4, "--vip", VIP6, "--tunnel").returncode == 0
    assert "piranha-decap" in state()["tc"]
    for outer in (IP(src="10.9.0.1", dst="10.9.0.2", proto=4), IPv6(src="fd99::1", dst="fd99::2", nh=4)):
        assert delivered(outer / IP(src="10.9.0.1", dst=VIP4) / UDP(sport=9, dport=4242) / b"four", VIP4) == b"four"
    for outer in (IP(src="10.9.0.1", dst="10.9.0.2", proto=41), IPv6(src="fd99::1", dst="fd99::2", nh=41)):
        assert delivered(outer / IPv6(src="fd99::1", dst=VIP6) / UDP(sport=9, dport=4242) / b"six", VIP6) == b"six"
    assert realserver(machine, "undo").returncode == 0
    assert state() == before


def delivered(packet: object, vip: str) -> bytes | None:
    """What a socket on the VIP receives of a packet that the peer puts on the wire."""
    family = socket.AF_INET6 if ":" in vip else socket.AF_INET
    mac = json.loads(netns.run(["ip", "-n", SERVER, "-j", "link", "show", "eth0"]))[0]["address"]
    with netns.entered(SERVER):
        receiver = socket.socket(family, socket.SOCK_DGRAM)
    with netns.entered(PEER):
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with receiver, wire:
        receiver.bind((vip, 4242))
        receiver.settimeout(2.0)
        wire.bind(("p0", 0))
        wire.send(bytes(Ether(dst=mac, src=wire.getsockname()[4]) / packet))
        try:
            return receiver.recv(100)
        except TimeoutError:
            return None


PASS, DROP = 0xFFFFFFFF, 2
DONE, CHECKSUM, LENGTH, CONGESTION, KERNEL = range(5)
INNER = {4: IP(src="192.0.2.1", dst=VIP4), 6: IPv6(src="2001:db8::1", dst=VIP6)}
OUTER = {4: IP(src="10.9.0.1", dst="10.9.0.2"), 6: IPv6(src="fd99::1", dst="fd99::2")}
PAYLOAD = TCP(sport=1234, dport=80) / (b"x" * 64)


class Program:
    """The loaded program with both VIPs."""

    def __init__(self) -> None:
        source = resources.files("piranha.dataplane.ebpf") / "objects" / OBJECT
        with resources.as_file(source) as path:
            self.object = BpfObject(path)
        self.object.load()
        for vip in (VIP4, VIP6):
            self.object.map("decap_vips").update(vip_key(ip_address(vip)), b"\1\0\0\0")

    @property
    def counts(self) -> list[int]:
        counts: BpfMap = self.object.map("decap_counts")
        return [self._sum(counts, number) for number in range(5)]

    @staticmethod
    def _sum(counts: BpfMap, number: int) -> int:
        value = counts.lookup(struct.pack("=I", number))
        assert value is not None
        return sum(n for (n,) in struct.iter_unpack("=Q", value))

    def run(self, packet: object) -> tuple[int, bytes]:
        frame = bytes(Ether(dst=NULL_MAC, src=NULL_MAC) / packet)
        result = prog_test_run(self.object.program_fd(PROGRAM), frame)
        return result.retval, result.data_out


@pytest.fixture
def program() -> Iterator[Program]:
    try:
        program = Program()
    except PiranhaError as error:
        pytest.skip(f"the program does not load here: {error}")
    yield program
    program.object.close()


def with_protocol(outer: int, inner: int) -> object:
    number = {4: 4, 6: 41}[inner]
    header = OUTER[outer].copy()
    setattr(header, "proto" if outer == 4 else "nh", number)
    return header


@pytest.mark.parametrize("outer", [4, 6])
@pytest.mark.parametrize("inner", [4, 6])
def test_the_inner_packet_comes_out_byte_for_byte(program: Program, outer: int, inner: int) -> None:
    packet = INNER[inner] / PAYLOAD
    verdict, out = program.run(with_protocol(outer, inner) / packet)
    assert verdict == PASS
    assert out[14:] == bytes(packet)
    assert out[12:14] == (b"\x08\x00" if inner == 4 else b"\x86\xdd")
    assert program.counts == [1, 0, 0, 0, 0]


@pytest.mark.parametrize(
    "packet",
    [
        IP(src="10.9.0.1", dst="10.9.0.2") / PAYLOAD,
        IPv6(src="fd99::1", dst="fd99::2") / PAYLOAD,
        IP(proto=4) / IP(src="192.0.2.1", dst="10.9.0.101") / PAYLOAD,
        IP(proto=41) / IPv6(src="2001:db8::1", dst="fd99::101") / PAYLOAD,
        IP(proto=4, options=[scapy.IPOption_NOP()] * 4) / INNER[4] / PAYLOAD,
        IP(proto=4, flags="MF") / INNER[4] / PAYLOAD,
        IP(proto=4, frag=3) / INNER[4] / PAYLOAD,
        IP(proto=4, len=4000) / INNER[4] / PAYLOAD,
        IP(proto=4, len=10) / INNER[4] / PAYLOAD,
        IP(proto=4) / INNER[6] / PAYLOAD,
        IP(proto=41) / INNER[4] / PAYLOAD,
        IP(proto=4) / b"\x45\x00",
        IP(proto=4),
        IPv6(nh=60) / IPv6ExtHdrDestOpt(nh=4) / INNER[4] / PAYLOAD,
        IPv6(nh=41, plen=4000) / INNER[6] / PAYLOAD,
        IP(dst=VIP4) / ICMP(),
        ARP(pdst=VIP4),
    ],
    ids=lambda packet: packet.summary()[:60],
)
def test_what_is_not_ours_goes_to_the_stack_untouched(program: Program, packet: object) -> None:
    frame = bytes(Ether(dst=NULL_MAC, src=NULL_MAC) / packet)
    verdict, out = program.run(packet)
    assert verdict == PASS
    assert out == frame
    assert program.counts == [0] * 5


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (IP(proto=4, chksum=0x1234) / INNER[4] / PAYLOAD, CHECKSUM),
        (IP(proto=4) / IP(dst=VIP4, len=2000) / PAYLOAD, LENGTH),
        (IP(proto=4) / IP(dst=VIP4, len=12) / PAYLOAD, LENGTH),
        (IP(proto=4) / IP(dst=VIP4, ihl=4) / PAYLOAD, LENGTH),
        (IP(proto=41) / IPv6(dst=VIP6, plen=2000) / PAYLOAD, LENGTH),
        (IP(proto=4, tos=3) / IP(dst=VIP4, tos=0) / PAYLOAD, CONGESTION),
        (IPv6(nh=41, tc=3) / IPv6(dst=VIP6, tc=0) / PAYLOAD, CONGESTION),
    ],
)
def test_a_wrong_packet_for_a_vip_is_dropped_and_counted(program: Program, packet: object, reason: int) -> None:
    verdict, _ = program.run(packet)
    assert verdict == DROP
    assert program.counts == [int(n == reason) for n in range(5)]


@pytest.mark.parametrize("inner", [4, 6])
def test_a_congestion_mark_on_the_way_reaches_the_inner_packet(program: Program, inner: int) -> None:
    outer, packet = with_protocol(4, inner), INNER[inner].copy()
    outer.tos = 3  # type: ignore[attr-defined]
    setattr(packet, "tos" if inner == 4 else "tc", 2)
    verdict, out = program.run(outer / (packet / PAYLOAD))  # type: ignore[operator]
    assert verdict == PASS
    marked = IP(out[14:]) if inner == 4 else IPv6(out[14:])
    assert (marked.tos if inner == 4 else marked.tc) & 3 == 3
    if inner == 4:
        checked = marked.copy()
        del checked.chksum
        assert IP(bytes(checked)).chksum == marked.chksum


def test_packets_of_every_length_never_crash_it(program: Program) -> None:
    whole = bytes(Ether(dst=NULL_MAC, src=NULL_MAC) / IP(proto=4) / INNER[4] / PAYLOAD)
    for length in range(14 + 20, len(whole)):  # the kernel runs no test on less than an IP header
        result = prog_test_run(program.object.program_fd(PROGRAM), whole[:length])
        assert result.retval == PASS
        assert result.data_out == whole[:length]


def test_the_filter_is_replaced_in_place_and_another_filter_survives_its_removal(machine: Path) -> None:
    with netns.entered(SERVER):
        netns.run(["tc", "qdisc", "add", "dev", "eth0", "clsact"])
        foreign = ["dev", "eth0", "ingress", "protocol", "ip", "prio", "1", "u32", "match", "u32", "0", "0"]
        netns.run(["tc", "filter", "add", *foreign])
        first, second = (ip_address(VIP4),), (ip_address(VIP4), ip_address(VIP6))
        decapsulation.attach("eth0", first)
        assert decapsulation.attached_state("eth0") == DecapsulationIs(device="eth0", vips=first).target
        decapsulation.attach("eth0", second)
        assert decapsulation.attached_state("eth0") == DecapsulationIs(device="eth0", vips=second).target
        shown = netns.run(["tc", "filter", "show", "dev", "eth0", "ingress"])
        assert shown.count("direct-action") == 1
        decapsulation.detach("eth0")
        assert decapsulation.attached_state("eth0") is None
        assert "u32" in netns.run(["tc", "filter", "show", "dev", "eth0", "ingress"])
