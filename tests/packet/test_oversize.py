"""Packets longer than their way: cut where they may be cut, whole again at the end, with every checksum right. TC only.

client ══ 1300 bytes without DF ══▶ VIP ─── way of 600 bytes ───▶ [576][576][…]   the last is what the program returns
"""

from __future__ import annotations

from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_RR
from scapy.layers.inet6 import ICMPv6PacketTooBig, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from piranha.dataplane.ebpf.abi import NextHopFlag
from piranha.dataplane.port import SetSettings
from piranha.model.rules import PlaneRules
from piranha.model.service import ForwardingMethod, Protocol
from tests.packet.bench import CLIENT_MAC, SERVER, SERVER_MAC, Bench, assert_checksums, leave
from tests.packet.test_fragments import DATA, opening, pieces
from tests.packet.test_tunnel_icmp import client_part, error, sent
from tests.packet.test_tunnels import ALL, GUE_CSUM, IPIP, KINDS, Kind, expected, opened, served

MTU = 600
LOADS = (b"", b"x", DATA[:7], DATA[:517], DATA[:530], DATA[:1101], DATA[:1472])


def whole(frames: list[bytes], mtu: int = MTU) -> bytes:
    """What the receiver puts together, as the frame that was cut. Looks at every header on the way."""
    version = frames[0][14] >> 4
    data, numbers = bytearray(), set()
    for place, frame in enumerate(frames):
        last = place == len(frames) - 1
        if version == 4:
            ip = IP(frame[14:])
            del (copy := IP(frame[14:34])).chksum
            assert IP(bytes(copy)).chksum == ip.chksum
            assert (ip.ihl, int(ip.flags), ip.frag * 8) == (5, 0 if last else 1, len(data))
            numbers.add(ip.id)
            length, headers = ip.len, 20
        else:
            head = int.from_bytes(frame[56:58], "big")
            assert (frame[20], frame[55], head & ~7, head & 1) == (44, 0, len(data), not last)
            numbers.add(frame[58:62])
            length, headers = int.from_bytes(frame[18:20], "big") + 40, 48
        assert length <= mtu
        assert last or (length > mtu - 8 and (length - headers) % 8 == 0 and len(frame) == length + 14)
        data += frame[14 + headers : 14 + length]
    assert len(numbers) == 1
    if version == 4:
        ip = IP(frames[0][14:34])
        ip.flags, ip.len = 0, 20 + len(data)
        del ip.chksum
        return frames[0][:14] + bytes(ip)[:20] + bytes(data)
    first = frames[0]
    return first[:18] + len(data).to_bytes(2, "big") + first[54:55] + first[21:54] + bytes(data)


def plain(bench: Bench, method: ForwardingMethod, l4: type[Packet]) -> None:
    service = bench.service(4, Protocol.TCP if l4 is TCP else Protocol.UDP)
    port = 8080 if method is ForwardingMethod.MASQUERADE else 80
    bench.server(service, method=method, port=port)
    assert bench.run(bench.to_vip(4, l4, 5000, load=b"", **opening(l4))).verdict == "redirect"
    bench.resolve(SERVER[4], mtu=MTU)


def request(bench: Bench, l4: type[Packet], load: bytes, version: int = 4, **ip: Any) -> Packet:
    return bench.to_vip(version, l4, 5000, load=load, ip=ip, **({"flags": "A"} if l4 is TCP else {}))


@pytest.mark.parametrize("l4", [TCP, UDP])
@pytest.mark.parametrize("method", [ForwardingMethod.MASQUERADE, ForwardingMethod.DIRECT])
def test_without_df_it_is_cut(tc: Bench, method: ForwardingMethod, l4: type[Packet]) -> None:
    plain(tc, method, l4)
    for load in LOADS:
        packet = request(tc, l4, load, id=4711)
        frames = leave(tc, packet)
        fits = len(packet) - 14 <= MTU
        assert len(frames) == (1 if fits else -(-(len(packet) - 34) // 576))
        frame = frames[0] if fits else whole(frames)
        assert fits or frame[:12] == bytes.fromhex((SERVER_MAC + tc.net.mac["rs"]).replace(":", ""))
        assert Ether(frame)[IP].id == 4711
        assert_checksums(frame)
        if method is ForwardingMethod.DIRECT:
            assert frame[14:] == expected(packet)
        else:
            assert (Ether(frame)[IP].dst, Ether(frame)[l4].dport) == (SERVER[4], 8080)
            assert bytes(Ether(frame)[l4].payload)[: len(load)] == load
    assert tc.reasons() == {}
    (status,) = tc.plane.snapshot()
    assert status.counters.in_packets == 1 + len(LOADS), "a packet is counted once, whatever becomes of it"


@KINDS
@pytest.mark.parametrize("outer", [4, 6])
@pytest.mark.parametrize("l4", [TCP, UDP])
def test_into_a_tunnel_the_outer_packet_is_cut(tc: Bench, kind: Kind, outer: int, l4: type[Packet]) -> None:
    served(tc, kind, 4, outer, l4)
    assert tc.run(tc.to_vip(4, l4, 5000, load=b"", **opening(l4))).verdict == "redirect"
    tc.resolve(SERVER[outer], mtu=MTU)
    for load in LOADS[3:]:
        packet = request(tc, l4, load)
        frames = leave(tc, packet)
        assert len(frames) > 1 or len(packet) < MTU
        frame = whole(frames) if len(frames) > 1 else frames[0]
        if len(frames) > 1:
            assert frame[12:14] == (b"\x08\0" if outer == 4 else b"\x86\xdd")
        assert bytes(opened(frame, kind, 4, outer)[1]) == expected(packet)
    assert tc.reasons() == {}


@pytest.mark.parametrize("kind", [IPIP, GUE_CSUM], ids=str)
@pytest.mark.parametrize("outer", [4, 6])
def test_a_tunnel_takes_what_every_link_of_ipv6_takes(tc: Bench, kind: Kind, outer: int) -> None:
    """1280 bytes always get through; of longer packets the client is told 1280, and no less."""
    served(tc, kind, 6, outer, UDP)
    tc.resolve(SERVER[outer], mtu=1280)
    packet = request(tc, UDP, DATA[: 1280 - 48], 6)
    frames = leave(tc, packet)
    assert len(frames) == 2
    assert bytes(opened(whole(frames, 1280), kind, 6, outer)[1]) == expected(packet)
    out = tc.run(request(tc, UDP, DATA[: 1281 - 48], 6))
    assert out.packet[ICMPv6PacketTooBig].mtu == 1280
    assert tc.reasons() == {"too_big": 1, "icmp_sent": 1}


def test_without_pmtu_disc_a_tunnel_cuts_in_spite_of_df(tc: Bench) -> None:
    served(tc, IPIP, 4, 4, UDP)
    tc.plane.apply([SetSettings(settings=PlaneRules(pmtu_disc=False))])
    tc.resolve(SERVER[4], mtu=MTU)
    packet = request(tc, UDP, DATA[:1200], flags="DF")
    assert bytes(opened(whole(leave(tc, packet)), IPIP, 4, 4)[1]) == expected(packet)
    tc.plane.apply([SetSettings(settings=PlaneRules(pmtu_disc=True))])
    assert tc.run(packet).packet[ICMP].nexthopmtu == MTU - 20


@pytest.mark.parametrize("l4", [TCP, UDP])
@pytest.mark.parametrize("tunnel", [False, True])
def test_a_checksum_left_to_the_device_is_finished(tc: Bench, l4: type[Packet], tunnel: bool) -> None:
    """In its place stands the sum of the pseudo header; no device can finish it in fragments."""
    if tunnel:
        served(tc, GUE_CSUM, 4, 4, l4)
        assert tc.run(tc.to_vip(4, l4, 5000, load=b"", **opening(l4))).verdict == "redirect"
        tc.resolve(SERVER[4], mtu=MTU)
    else:
        plain(tc, ForwardingMethod.MASQUERADE, l4)
    for load in (DATA[:1000], DATA[:1001]):
        packet = Ether(bytes(request(tc, l4, load)))
        right = expected(packet)
        length = len(packet) - 34
        words = bytes(packet)[26:34] + bytes([0, packet[IP].proto]) + length.to_bytes(2, "big")
        total = sum(int.from_bytes(words[i : i + 2], "big") for i in range(0, len(words), 2))
        packet[l4].chksum = (total & 0xFFFF) + (total >> 16)
        frame = whole(leave(tc, packet))
        if tunnel:
            assert bytes(opened(frame, GUE_CSUM, 4, 4)[1]) == right
        else:
            assert_checksums(frame)
            assert bytes(Ether(frame)[l4].payload) == load


def test_a_wrong_checksum_stays_wrong(tc: Bench) -> None:
    plain(tc, ForwardingMethod.DIRECT, UDP)
    packet = Ether(bytes(request(tc, UDP, DATA[:1000])))
    packet[UDP].chksum ^= 0x1234
    assert whole(leave(tc, packet))[14:] == expected(packet)


@pytest.mark.parametrize("method", list(ForwardingMethod))
def test_fragments_are_cut_again(tc: Bench, method: ForwardingMethod) -> None:
    service = tc.service(4, Protocol.UDP)
    tc.server(service, method=method, port=8080 if method is ForwardingMethod.MASQUERADE else 80)
    tc.resolve(SERVER[4], mtu=300)
    packet = Ether(bytes(tc.to_vip(4, UDP, 5000, load=DATA)))
    data, most, places = bytearray(), False, []
    for piece in pieces(packet):
        frames = leave(tc, piece)
        assert len(frames) > 1
        if method is ForwardingMethod.TUNNEL:
            assert bytes(opened(whole(frames, 300), IPIP, 4, 4)[1]) == expected(Ether(piece))
            continue
        for frame in frames:
            ip = IP(frame[14:])
            assert ip.len <= 300
            places.append((ip.frag * 8, most := bool(int(ip.flags) & 1)))
            assert ip.frag * 8 == len(data)
            data += frame[34 : 14 + ip.len]
    if method is not ForwardingMethod.TUNNEL:
        assert [more for _, more in places] == [True] * (len(places) - 1) + [False]
        assert not most
        head = IP(
            src=packet[IP].src, dst=SERVER[4] if method is ForwardingMethod.MASQUERADE else packet[IP].dst, proto=17
        )
        joined = bytes(Ether(src=CLIENT_MAC, dst=SERVER_MAC) / head / bytes(data))
        assert_checksums(joined)
        assert bytes(Ether(joined)[UDP].payload) == DATA
    assert tc.reasons() == {}


def test_a_reply_is_cut_on_its_way_to_the_client(tc: Bench) -> None:
    plain(tc, ForwardingMethod.MASQUERADE, UDP)
    answer = Ether(bytes(tc.from_server(8080, 5000, l4=UDP) / DATA[:1394]))
    tc.net.run_ip("link set cl mtu 1400")
    try:
        frames = leave(tc, answer, "rs", "cl", CLIENT_MAC)
    finally:
        tc.net.run_ip("link set cl mtu 1500")
    frame = whole(frames, 1400)
    assert len(frames) == 2
    assert_checksums(frame)
    assert (Ether(frame)[UDP].sport, Ether(frame)[UDP].dport, len(frame)) == (80, 5000, len(answer))


def test_what_cannot_be_cut_is_dropped_and_counted(tc: Bench) -> None:
    plain(tc, ForwardingMethod.DIRECT, UDP)
    options = request(tc, UDP, DATA[:1000], options=[IPOption_RR(routers=["0.0.0.0"] * 2)])
    assert tc.run(options).verdict == "drop"
    assert tc.reasons() == {"too_big": 1}
    tc.resolve(SERVER[4], mtu=MTU, ready=False)
    assert tc.run(request(tc, UDP, DATA[:1000])).verdict == "drop"
    assert tc.reasons() == {"too_big": 1, "no_route": 1}


def test_segments_of_a_super_packet_that_do_not_fit(tc: Bench) -> None:
    """The packet is as long as ever it likes; its segments are what leaves."""
    plain(tc, ForwardingMethod.MASQUERADE, TCP)
    big = request(tc, TCP, bytes(3000), flags="DF")
    assert tc.run(big, gso=MTU - 40).packet[IP].dst == SERVER[4]
    assert tc.reasons() == {}
    assert tc.run(big, gso=MTU - 39).packet[ICMP].nexthopmtu == MTU
    assert tc.reasons() == {"too_big": 1, "icmp_sent": 1}


@pytest.mark.parametrize("kind", ALL, ids=str)
@pytest.mark.parametrize(("inner", "outer"), [(4, 4), (4, 6), (6, 4), (6, 6)])
def test_the_size_of_a_tunnels_way_is_learned(tc: Bench, kind: Kind, inner: int, outer: int) -> None:
    served(tc, kind, inner, outer)
    ours = sent(tc, inner)
    overhead = len(ours) - len(client_part(ours, kind, outer))
    too_big = ICMP(type=3, code=4, nexthopmtu=1400) if outer == 4 else ICMPv6PacketTooBig(mtu=1400)
    assert tc.run(error(tc, outer, too_big, ours), "rs").verdict == "redirect"
    fitting = 1400 - overhead - (40 if inner == 4 else 60)
    ip = {"flags": "DF"} if inner == 4 else {}
    assert len(tc.run(request(tc, TCP, bytes(fitting), inner, **ip)).raw) == 1414
    answer = tc.run(request(tc, TCP, bytes(fitting + 1), inner, **ip)).packet
    told = answer[ICMP].nexthopmtu if inner == 4 else answer[ICMPv6PacketTooBig].mtu
    assert told == 1400 - overhead
    assert tc.reasons() == {"icmp_relayed": 1, "too_big": 1, "icmp_sent": 1}


def test_what_was_learned_is_forgotten(tc: Bench) -> None:
    """After ten minutes, or with the way; not when the way is resolved anew."""
    served(tc, IPIP, 4, 4)
    report = error(tc, 4, ICMP(type=3, code=4, nexthopmtu=1400), sent(tc, 4))
    long = request(tc, TCP, bytes(1400), flags="DF")

    def is_taken() -> bool:
        return IP in tc.run(long).packet and tc.run(long).packet[IP].proto == 4

    tc.run(report, "rs")
    assert not is_taken()
    tc.resolve(SERVER[4])
    assert not is_taken(), "the same way"
    tc.resolve(SERVER[4], mtu=1499)
    assert is_taken(), "another way"
    tc.run(report, "rs")
    (place,) = (tc.tables.nexthops["learned"] != 0).nonzero()[0][-1:]
    tc.tables.nexthops["learned"][place] -= (600 * tc.tables.hz - tc.tables.hz * 60) << 32
    assert not is_taken()
    tc.tables.nexthops["learned"][place] -= (tc.tables.hz * 60) << 32
    assert is_taken()
    assert tc.tables.nexthops["learned"][place] == 0


@pytest.mark.parametrize(
    ("outer", "told", "kept"), [(4, 68, 552), (4, 0, 552), (4, 1500, 0), (6, 600, 1280), (6, 9000, 0)]
)
def test_reports_that_cannot_be_true_do_no_harm(tc: Bench, outer: int, told: int, kept: int) -> None:
    served(tc, IPIP, 4, outer)
    what = ICMP(type=3, code=4, nexthopmtu=told) if outer == 4 else ICMPv6PacketTooBig(mtu=told)
    tc.run(error(tc, outer, what, sent(tc, 4)), "rs")
    assert {int(word) & 0xFFFFFFFF for word in tc.tables.nexthops["learned"]} <= {0, kept}
    assert bool(kept) == bool(tc.tables.nexthops["learned"].any())


def test_a_client_without_df_is_not_told_but_its_packets_are_cut_from_then_on(tc: Bench) -> None:
    served(tc, IPIP, 4, 6, UDP)
    assert tc.run(error(tc, 6, ICMPv6PacketTooBig(mtu=1300), sent(tc, 4, UDP, df=False)), "rs").verdict == "pass"
    packet = request(tc, UDP, DATA[:1400])
    assert bytes(opened(whole(leave(tc, packet), 1300), IPIP, 4, 6)[1]) == expected(packet)


def test_xdp_leaves_it_to_tc(xdp: Bench) -> None:
    service = xdp.service(4, Protocol.UDP)
    xdp.server(service, method=ForwardingMethod.TUNNEL, port=80)
    assert xdp.run(request(xdp, UDP, DATA[:1400])).verdict == "redirect"
    row = xdp.tables.nexthops
    (place,) = (row["flags"] & NextHopFlag.READY != 0).nonzero()[0][-1:]
    row["learned"][place] = (xdp.tables.jiffies() << 32) | 1300
    packet = bytes(request(xdp, UDP, DATA[:1400]))
    out = xdp.run(packet)
    assert (out.verdict, out.raw) == ("pass", packet)
    assert xdp.reasons() == {"xdp_handed_on": 1}
    assert IPv6 not in out.packet
