"""Tunnels of every type: what stands around the packet, its checksums, and what is done where they cannot be told.

outer IPv4 or IPv6 │ ipip: nothing; gre: 4 or 8 bytes; gue: UDP and 4 bytes │ the client's packet, one hop further
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, IPv6, IPv6ExtHdrDestOpt
from scapy.layers.l2 import GRE, Ether
from scapy.packet import Packet, Raw

from piranha.dataplane.port import EditDestination, SetSettings
from piranha.model.rules import PlaneRules
from piranha.model.service import ForwardingMethod, Protocol, ServiceKey, TunnelChecksum, TunnelType
from tests.packet.bench import CLIENT, DIRECTOR, SERVER, SERVER_MAC, VIP, Bench, assert_checksums, leave
from tests.packet.test_fragments import IP_LAYER, big, opening, pieces

PORT = 6080
FAMILIES = pytest.mark.parametrize(("inner", "outer"), [(4, 4), (4, 6), (6, 4), (6, 6)])
L4S = pytest.mark.parametrize("l4", [TCP, UDP])


@dataclass(frozen=True)
class Kind:
    """A type of tunnel with its checksum option."""

    type: TunnelType
    checksum: TunnelChecksum = TunnelChecksum.NONE

    def __str__(self) -> str:
        return f"{self.type}-{self.checksum}"

    @property
    def fields(self) -> dict[str, Any]:
        port = PORT if self.type is TunnelType.GUE else 0
        return {"tunnel": self.type, "tunnel_checksum": self.checksum, "tunnel_port": port}

    @property
    def shim(self) -> int:
        if self.type is TunnelType.GRE:
            return 8 if self.summed else 4
        return 12 if self.type is TunnelType.GUE else 0

    @property
    def summed(self) -> bool:
        return self.checksum is not TunnelChecksum.NONE and self.type is not TunnelType.IPIP


IPIP, GUE, GUE_CSUM = Kind(TunnelType.IPIP), Kind(TunnelType.GUE), Kind(TunnelType.GUE, TunnelChecksum.FULL)
GUE_REMCSUM = Kind(TunnelType.GUE, TunnelChecksum.REMOTE)
GRE_PLAIN, GRE_CSUM = Kind(TunnelType.GRE), Kind(TunnelType.GRE, TunnelChecksum.FULL)
ALL = (IPIP, GUE, GUE_CSUM, GUE_REMCSUM, GRE_PLAIN, GRE_CSUM)
KINDS = pytest.mark.parametrize("kind", ALL, ids=str)
SUMMED = pytest.mark.parametrize("kind", [GUE_CSUM, GRE_CSUM], ids=str)


def served(bench: Bench, kind: Kind, inner: int, outer: int, l4: type[Packet] = TCP) -> ServiceKey:
    service = bench.service(inner, Protocol.TCP if l4 is TCP else Protocol.UDP)
    bench.server(service, SERVER[outer], method=ForwardingMethod.TUNNEL, port=80, **kind.fields)
    return service


def words_sum(data: bytes) -> int:
    """What a checksum over right bytes gives: 0xffff."""
    total = sum(int.from_bytes(data[i : i + 2].ljust(2, b"\0"), "big") for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def opened(raw: bytes, kind: Kind, inner: int, outer: int) -> tuple[Packet, Packet]:
    """Outer and inner IP packet of a frame that left, every length, type and checksum in between looked at."""
    wrapper = IP_LAYER[outer](raw[14:])
    header = 20 if outer == 4 else 40
    body = raw[14 + header :]
    protocol = wrapper.proto if outer == 4 else wrapper.nh
    assert (wrapper.len if outer == 4 else wrapper.plen + 40) == len(raw) - 14
    if outer == 4:
        assert words_sum(raw[14:34]) == 0xFFFF
        assert (wrapper.ihl, wrapper.frag) == (5, 0)
    else:
        assert wrapper.fl == 0
    assert (wrapper.src, wrapper.dst) == (DIRECTOR[outer], SERVER[outer])
    if kind.type is TunnelType.IPIP:
        assert protocol == (4 if inner == 4 else 41)
    elif kind.type is TunnelType.GRE:
        assert protocol == 47
        gre = GRE(body)
        assert (gre.chksum_present, gre.version, gre.proto) == (int(kind.summed), 0, 0x0800 if inner == 4 else 0x86DD)
        assert body[:2] == (b"\x80\0" if kind.summed else b"\0\0"), "no key, sequence or routing"
        assert not kind.summed or (words_sum(body) == 0xFFFF and body[6:8] == b"\0\0")
    else:
        assert protocol == 17
        udp = UDP(body)
        assert (udp.dport, udp.len) == (PORT, len(body))
        assert udp.sport >= 0xC000
        assert body[8:12] == bytes([0, 4 if inner == 4 else 41, 0, 0])
        if kind.summed:
            pseudo = raw[26:34] if outer == 4 else raw[22:54]
            assert udp.chksum != 0
            assert words_sum(pseudo + bytes([0, 17]) + len(body).to_bytes(2, "big") + body) == 0xFFFF
        else:
            assert udp.chksum == 0
    return wrapper, IP_LAYER[inner](body[kind.shim :])


def expected(request: Packet) -> bytes:
    """The packet as it should come out of the tunnel: one hop further."""
    packet = Ether(bytes(request))
    if IP in packet:
        packet[IP].ttl -= 1
        del packet[IP].chksum
    else:
        packet[IPv6].hlim -= 1
    return bytes(packet)[14:]


def ttl_of(packet: Packet) -> int:
    return int(packet.ttl if packet.version == 4 else packet.hlim)


def tos_of(packet: Packet) -> int:
    return int(packet.tos if packet.version == 4 else packet.tc)


@KINDS
@FAMILIES
@L4S
def test_every_type_in_every_family(bench: Bench, kind: Kind, inner: int, outer: int, l4: type[Packet]) -> None:
    """Odd and even lengths, and none at all; the checksum is right without a look at the data."""
    service = served(bench, kind, inner, outer, l4)
    for load in (b"", b"x", b"GET /", bytes(range(256)) * 4):
        ip = {"ttl": 61} if inner == 4 else {"hlim": 61}
        request = bench.to_vip(inner, l4, 5000, load=load, ip=ip, **opening(l4))
        out = bench.run(request)
        assert out.verdict == "redirect"
        wrapper, inside = opened(out.raw, kind, inner, outer)
        assert bytes(inside) == expected(request)
        assert ttl_of(wrapper) == ttl_of(inside) == 60
        assert bench.hook == "tc" or out.raw[12:14] == (b"\x08\0" if outer == 4 else b"\x86\xdd")
    assert bench.reasons() == {}
    assert bench.status(service).destinations[0].counters.in_packets == 4


@KINDS
def test_ipv4_options_and_flow_labels(bench: Bench, kind: Kind) -> None:
    served(bench, kind, 4, 4)
    request = bench.to_vip(4, TCP, 5000, flags="S", ip={"options": [b"\x01" * 8]})
    assert bytes(opened(bench.run(request).raw, kind, 4, 4)[1]) == expected(request)
    served(bench, kind, 6, 4)
    request = bench.to_vip(6, TCP, 5000, flags="S", ip={"fl": 0xABCDE, "tc": 0x28})
    assert bytes(opened(bench.run(request).raw, kind, 6, 4)[1]) == expected(request)


@pytest.mark.parametrize("kind", [GUE], ids=str)
def test_the_source_port_is_the_flows(bench: Bench, kind: Kind) -> None:
    """One flow keeps one; flows are spread."""
    served(bench, kind, 4, 4)
    ports: list[int] = []
    for sport in range(2000, 2050):
        mine = {UDP(bench.run(bench.to_vip(4, TCP, sport, flags=f)).raw[34:]).sport for f in ("S", "A", "PA")}
        assert len(mine) == 1
        ports += mine
    assert len(set(ports)) > 45


@KINDS
@FAMILIES
def test_traffic_class(bench: Bench, kind: Kind, inner: int, outer: int) -> None:
    """Copied; congestion that was met before the tunnel is not: the outer packet can be marked anew."""
    served(bench, kind, inner, outer)
    for tos, wanted in ((0x00, 0x00), (0xB8, 0xB8), (0x29, 0x29), (0xBA, 0xBA), (0xBB, 0xBA), (0x03, 0x02)):
        ip = {"tos": tos} if inner == 4 else {"tc": tos}
        wrapper, inside = opened(bench.run(bench.to_vip(inner, TCP, flags="S", ip=ip)).raw, kind, inner, outer)
        assert (tos_of(wrapper), tos_of(inside)) == (wanted, tos)


@pytest.mark.parametrize("kind", [IPIP, GUE, GRE_CSUM], ids=str)
@pytest.mark.parametrize("pmtu_disc", [True, False])
def test_df_is_copied_only_with_pmtu_disc(bench: Bench, kind: Kind, pmtu_disc: bool) -> None:
    """An outer packet that may be cut has an identification; an inner IPv6 packet never forbids it (as IPVS)."""
    served(bench, kind, 4, 4)
    served(bench, kind, 6, 4)
    bench.plane.apply([SetSettings(settings=PlaneRules(pmtu_disc=pmtu_disc))])
    assert bench.plane.rules().pmtu_disc == pmtu_disc
    df = bench.to_vip(4, TCP, 5000, flags="S", ip={"flags": "DF"})
    plain, six = bench.to_vip(4, TCP, 5000, flags="S"), bench.to_vip(6, TCP, 5000, flags="S")
    wrappers = [opened(bench.run(p).raw, kind, 6 if IPv6 in p else 4, 4)[0] for p in (df, plain, six) for _ in "123"]
    assert [int(w.flags) for w in wrappers] == [2 if pmtu_disc else 0] * 3 + [0] * 6
    assert len({w.id for w in wrappers if not int(w.flags)}) > 3


@KINDS
@FAMILIES
def test_the_sender_is_told_what_fits(tc: Bench, kind: Kind, inner: int, outer: int) -> None:
    served(tc, kind, inner, outer)
    overhead = (20 if outer == 4 else 40) + kind.shim
    room = 1400 - overhead - (40 if inner == 4 else 60)
    tc.resolve(SERVER[outer], mtu=1400)
    df: dict[str, Any] = {"ip": {"flags": "DF"}} if inner == 4 else {}
    fits = tc.run(tc.to_vip(inner, TCP, 5000, flags="S", load=bytes(room), **df))
    assert len(fits.raw) == 14 + 1400
    told = tc.run(tc.to_vip(inner, TCP, 5000, flags="A", load=bytes(room + 1), **df))
    message = told.raw[14 + (20 if inner == 4 else 40) :]
    assert (message[0], message[1]) == ((3, 4) if inner == 4 else (2, 0))
    assert int.from_bytes(message[4:8], "big") == 1400 - overhead
    assert tc.reasons() == {"too_big": 1, "icmp_sent": 1}


# ---- where the headers do not tell the sum ----


def unsummed(bench: Bench, inner: int) -> Iterator[Packet]:
    """Datagrams whose checksum does not cover all of the packet."""
    if inner == 4:
        yield bench.to_vip(4, UDP, 5000, load=b"no checksum", chksum=0)
    short = Ether(bytes(bench.to_vip(inner, UDP, 5000, load=b"sixteen bytes..", len=8 + 11)))
    yield short
    if inner == 6:
        plain = bench.to_vip(6, UDP, 5000, load=b"behind options")
        head = Ether(src=plain.src, dst=plain.dst) / IPv6(src=CLIENT[6], dst=VIP[6]) / IPv6ExtHdrDestOpt()
        yield head / UDP(bytes(Ether(bytes(plain))[UDP]))


@SUMMED
@FAMILIES
def test_what_has_to_be_read_whole_is_read_in_tc(tc: Bench, kind: Kind, inner: int, outer: int) -> None:
    served(tc, kind, inner, outer, UDP)
    for request in unsummed(tc, inner):
        out = tc.run(request)
        assert out.verdict == "redirect"
        assert bytes(opened(out.raw, kind, inner, outer)[1]) == expected(request)
    for size in (255, 256, 257, 511, 512, 1300):
        load = bytes(i % 253 for i in range(size))
        request = Ether(bytes(tc.to_vip(inner, UDP, 5000, load=load, len=8)))
        assert bytes(opened(tc.run(request).raw, kind, inner, outer)[1]) == expected(request)
    assert tc.reasons() == {}


@SUMMED
@FAMILIES
def test_xdp_hands_it_on(xdp: Bench, kind: Kind, inner: int, outer: int) -> None:
    served(xdp, kind, inner, outer, UDP)
    sent = list(unsummed(xdp, inner))
    for request in sent:
        assert xdp.run(request).raw == bytes(request)
        assert xdp.run(request, hook="tc").verdict == "redirect"
    assert xdp.reasons() == {"xdp_handed_on": len(sent)}


@KINDS
@FAMILIES
@L4S
def test_fragments(tc: Bench, kind: Kind, inner: int, outer: int, l4: type[Packet]) -> None:
    served(tc, kind, inner, outer, l4)
    for piece in pieces(big(tc, inner, l4)):
        out = tc.run(piece)
        assert out.verdict == "redirect"
        assert bytes(opened(out.raw, kind, inner, outer)[1]) == expected(Ether(piece))
    assert tc.reasons() == {}


def test_fragments_of_a_packet_keep_one_source_port(tc: Bench) -> None:
    served(tc, GUE, 4, 4, UDP)
    assert len({UDP(tc.run(piece).raw[34:]).sport for piece in pieces(big(tc, 4))}) == 1


@KINDS
@FAMILIES
def test_errors_about_replies(tc: Bench, kind: Kind, inner: int, outer: int) -> None:
    """An ICMP error to the VIP goes through the tunnel as any packet of the connection."""
    served(tc, kind, inner, outer)
    tc.run(tc.to_vip(inner, TCP, 5000, flags="S"))
    layer = IP_LAYER[inner]
    about = bytes(layer(src=VIP[inner], dst=CLIENT[inner]) / TCP(sport=80, dport=5000))
    frame = Ether(bytes(tc.to_vip(inner, TCP)))
    head = Ether(src=frame.src, dst=frame.dst) / layer(src=CLIENT[inner], dst=VIP[inner])
    error = Ether(bytes(head / (ICMP(type=3, code=1) if inner == 4 else ICMPv6DestUnreach()) / Raw(about)))
    out = tc.run(error)
    assert out.verdict == "redirect"
    assert bytes(opened(out.raw, kind, inner, outer)[1]) == expected(error)
    assert tc.reasons() == {"icmp_relayed": 1}


# ---- super-packets ----


@pytest.mark.parametrize(("kind", "outer"), [(GRE_CSUM, 4), (GRE_CSUM, 6), (GUE_CSUM, 6), (GUE_REMCSUM, 6)], ids=str)
@pytest.mark.parametrize("inner", [4, 6])
@pytest.mark.parametrize("size", [2400, 2399, 2801, 3002, 3003])
def test_super_packets_that_need_a_checksum(tc: Bench, kind: Kind, inner: int, outer: int, size: int) -> None:
    """Segments of TCP are made here, as the kernel would make them, but for the checksum around them."""
    served(tc, kind, inner, outer)
    tc.run(tc.to_vip(inner, TCP, 5000, flags="S"))
    load = bytes(i * i % 253 for i in range(size))
    ip = {"flags": "DF", "id": 65535} if inner == 4 else {}
    options = [("NOP", None), ("NOP", None), ("Timestamp", (7, 8))]
    request = tc.to_vip(inner, TCP, 5000, seq=0xFFFFFF00, flags="FPAC", options=options, load=load, ip=ip)
    frames = leave(tc, request, gso=1400)
    overhead = (20 if outer == 4 else 40) + kind.shim
    step = 1400 - overhead
    assert len(frames) == -(-size // step)
    assert sum(len(frame) - 14 for frame in frames) == size + len(frames) * (overhead + (20 if inner == 4 else 40) + 32)
    for number, frame in enumerate(frames):
        assert frame[:14].hex() == (SERVER_MAC + tc.net.mac["rs"]).replace(":", "") + ("0800" if outer == 4 else "86dd")
        wrapper, inside = opened(frame, kind, inner, outer)
        segment = inside[TCP]
        first, last = number == 0, number == len(frames) - 1
        assert bytes(segment.payload) == load[number * step : (number + 1) * step]
        assert segment.seq == (0xFFFFFF00 + number * step) % 2**32
        assert str(segment.flags) == ("FP" if last else "") + "A" + ("C" if first else "")
        assert segment.options == options
        assert inner == 6 or inside.id == (65535 + number) % 65536
        assert ttl_of(wrapper) == ttl_of(inside) == 63
        assert_checksums(frame[:12] + (b"\x08\0" if inner == 4 else b"\x86\xdd") + bytes(inside))
    assert tc.reasons() == {}
    (status,) = tc.plane.snapshot()
    assert status.counters.in_packets == 2


def test_super_packets_that_cannot_be_cut_up(tc: Bench) -> None:
    """Datagrams; and segments of which nothing would be left."""
    served(tc, GRE_CSUM, 4, 4, UDP)
    assert tc.run(tc.to_vip(4, UDP, 5000, load=bytes(3000)), gso=1400).verdict == "drop"
    served(tc, GRE_CSUM, 4, 4)
    tc.run(tc.to_vip(4, TCP, 5000, flags="S"))
    assert tc.run(tc.to_vip(4, TCP, 5000, flags="A", load=bytes(3000)), gso=80).verdict == "drop"
    assert tc.reasons() == {"unsupported": 2}


def test_wrong_checksums_stay_wrong(bench: Bench) -> None:
    """The outer one is made from what the inner one claims: then both are wrong, and nobody takes the packet for good."""
    served(bench, GRE_CSUM, 4, 4)
    out = bench.run(bench.to_vip(4, TCP, 5000, flags="S", chksum=0x1234))
    assert words_sum(out.raw[34:]) != 0xFFFF
    assert TCP(bytes(IP(out.raw[42:])[TCP])).chksum == 0x1234


def test_an_edit_changes_the_tunnel_of_connections(bench: Bench) -> None:
    """As in IPVS: the method stays with the connection, the type with the destination."""
    service = served(bench, IPIP, 4, 4)
    bench.run(bench.to_vip(4, TCP, 5000, flags="S"))
    destination = bench.status(service).destinations[0].destination
    for kind in ALL:
        edited = replace(destination, **kind.fields)
        bench.plane.apply([EditDestination(service=service, destination=edited)])
        assert bench.status(service).destinations[0].destination == edited
        opened(bench.run(bench.to_vip(4, TCP, 5000, flags="A")).raw, kind, 4, 4)


def test_local_node_needs_no_tunnel(tc: Bench) -> None:
    service = tc.service()
    tc.server(service, method=ForwardingMethod.TUNNEL, port=80, local=True, **GUE_CSUM.fields)
    request = tc.to_vip(4, TCP, flags="S")
    assert (tc.run(request).verdict, tc.run(request).raw) == ("pass", bytes(request))


def test_checksums_of_the_inner_packet_are_right(bench: Bench) -> None:
    served(bench, GUE_CSUM, 4, 4)
    out = bench.run(bench.to_vip(4, TCP, 5000, flags="S"))
    assert_checksums(out.raw[:14] + bytes(opened(out.raw, GUE_CSUM, 4, 4)[1]))
