"""One packet through each forwarding method, family, protocol and hook: verdict, packet out, table change."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from piranha.model.service import ForwardingMethod, Protocol
from tests.packet.bench import CLIENT, CLIENT_MAC, DIRECTOR, SERVER, SERVER_MAC, VIP, Bench, assert_checksums

IP_LAYER: dict[int, type[Packet]] = {4: IP, 6: IPv6}
BOTH = pytest.mark.parametrize("version", [4, 6])
L4S = pytest.mark.parametrize(("l4", "protocol"), [(TCP, Protocol.TCP), (UDP, Protocol.UDP)])


def hop_limit(packet: Packet, version: int) -> int:
    return int(packet[IP].ttl if version == 4 else packet[IPv6].hlim)


@BOTH
@L4S
def test_masquerading_both_ways(bench: Bench, version: int, l4: type[Packet], protocol: Protocol) -> None:
    service = bench.service(version, protocol)
    bench.server(service, port=8080)
    flags = {"flags": "S"} if l4 is TCP else {}
    request = bench.to_vip(version, l4, 5000, **flags)
    out = bench.run(request)
    layer = IP_LAYER[version]
    assert out.verdict == "redirect"
    assert (out.packet[layer].src, out.packet[layer].dst) == (CLIENT[version], SERVER[version])
    assert (out.packet[l4].sport, out.packet[l4].dport) == (5000, 8080)
    assert hop_limit(out.packet, version) == hop_limit(request, version) - 1
    assert_checksums(out.raw)
    if bench.hook == "xdp":
        assert (out.packet.dst, out.packet.src) == (SERVER_MAC, bench.net.mac["rs"])

    flags = {"flags": "SA"} if l4 is TCP else {}
    back = bench.run(bench.from_server(8080, 5000, version, l4, **flags), "rs")
    assert back.verdict == "redirect"
    assert (back.packet[layer].src, back.packet[layer].dst) == (VIP[version], CLIENT[version])
    assert (back.packet[l4].sport, back.packet[l4].dport) == (80, 5000)
    assert (back.packet.dst, back.packet.src) == (CLIENT_MAC, bench.net.mac["cl"])
    assert_checksums(back.raw)

    again = bench.run(bench.from_server(8080, 5000, version, l4, **({"flags": "A"} if l4 is TCP else {})), "rs")
    assert again.raw[:34] == back.raw[:34] or version == 6
    (status,) = bench.plane.snapshot()
    counters = status.destinations[0].counters
    length = len(bytes(request)) - 14
    assert (counters.connections, counters.in_packets, counters.out_packets) == (1, 1, 2)
    assert (counters.in_bytes, counters.out_bytes > 0) == (length, True)
    assert status.counters == counters


@BOTH
@L4S
def test_direct_routing_changes_nothing_but_the_hop_limit(
    bench: Bench, version: int, l4: type[Packet], protocol: Protocol
) -> None:
    service = bench.service(version, protocol)
    bench.server(service, method=ForwardingMethod.DIRECT, port=80)
    request = bench.to_vip(version, l4, **({"flags": "S"} if l4 is TCP else {}))
    out = bench.run(request)
    assert out.verdict == "redirect"
    expected = Ether(bytes(request))
    if version == 4:
        expected[IP].ttl -= 1
        del expected[IP].chksum
    else:
        expected[IPv6].hlim -= 1
    assert out.raw[14:] == bytes(expected)[14:]
    if bench.hook == "xdp":
        assert (out.packet.dst, out.packet.src) == (SERVER_MAC, bench.net.mac["rs"])
    assert bench.run(bench.from_server(80, request[l4].sport, version, l4), "rs").verdict == "pass"


@pytest.mark.parametrize("inner", [4, 6])
@pytest.mark.parametrize("outer", [4, 6])
def test_tunnel_wraps_any_family_in_any(bench: Bench, inner: int, outer: int) -> None:
    service = bench.service(inner)
    bench.server(service, SERVER[outer], method=ForwardingMethod.TUNNEL, port=80)
    request = bench.to_vip(inner, TCP, flags="S")
    out = bench.run(request)
    assert out.verdict == "redirect"
    # In TC the Ethernet header is made anew by the neighbour's output; here it is the old one.
    raw = out.raw[:12] + (b"\x08\x00" if outer == 4 else b"\x86\xdd") + out.raw[14:]
    assert bench.hook == "tc" or raw == out.raw
    wrapper = Ether(raw)[IP_LAYER[outer]]
    assert (wrapper.src, wrapper.dst) == (DIRECTOR[outer], SERVER[outer])
    protocol = wrapper.proto if outer == 4 else wrapper.nh
    assert protocol == (4 if inner == 4 else 41)
    header = 20 if outer == 4 else 40
    inside = Ether(out.raw[:12] + (b"\x08\x00" if inner == 4 else b"\x86\xdd") + out.raw[14 + header :])
    assert hop_limit(inside, inner) == hop_limit(request, inner) - 1
    assert hop_limit(Ether(raw), outer) == hop_limit(inside, inner)
    assert bytes(inside[TCP]) == bytes(Ether(bytes(request))[TCP])
    assert_checksums(bytes(inside))
    if outer == 4:
        assert wrapper.len == len(out.raw) - 14
        check = wrapper.chksum
        copy = Ether(raw)
        del copy[IP].chksum
        assert Ether(bytes(copy))[IP].chksum == check
        assert int(wrapper.flags) & 2 == (0 if inner == 6 else int(request[IP].flags) & 2)
    else:
        assert wrapper.plen == len(out.raw) - 54


@BOTH
def test_local_node_gets_the_packet_as_it_is(tc: Bench, version: int) -> None:
    service = tc.service(version)
    tc.server(service, method=ForwardingMethod.DIRECT, port=80, local=True)
    request = tc.to_vip(version, TCP, flags="S")
    out = tc.run(request)
    assert (out.verdict, out.raw) == ("pass", bytes(request))
    assert tc.status(service).destinations[0].active_connections == 1


@BOTH
@L4S
def test_local_node_masqueraded_is_translated_in_and_out(
    tc: Bench, version: int, l4: type[Packet], protocol: Protocol
) -> None:
    service = tc.service(version, protocol)
    tc.server(service, DIRECTOR[version], port=8080, local=True)
    out = tc.run(tc.to_vip(version, l4, 7000, **({"flags": "S"} if l4 is TCP else {})))
    layer = IP_LAYER[version]
    assert out.verdict == "pass"
    assert (out.packet[layer].dst, out.packet[l4].dport) == (DIRECTOR[version], 8080)
    assert_checksums(out.raw)
    reply = tc.from_server(8080, 7000, version, l4, **({"flags": "SA"} if l4 is TCP else {}))
    reply[layer].src = DIRECTOR[version]
    back = tc.run(Ether(bytes(reply)), "rs", hook="egress")
    assert back.verdict == "pass"
    assert (back.packet[layer].src, back.packet[l4].sport) == (VIP[version], 80)
    assert_checksums(back.raw)


@BOTH
def test_others_traffic_is_untouched(bench: Bench, version: int) -> None:
    service = bench.service(version)
    bench.server(service)
    for change in ("address", "port", "protocol"):
        packet = bench.to_vip(version, UDP if change == "protocol" else TCP, dport=81 if change == "port" else 80)
        if change == "address":
            packet[IP_LAYER[version]].dst = CLIENT[version][:-1] + "9"
        out = bench.run(Ether(bytes(packet)))
        assert (out.verdict, out.raw) == ("pass", bytes(packet))
    assert not bench.connections()


def test_frames_to_another_host_are_not_ours(bench: Bench) -> None:
    service = bench.service()
    bench.server(service)
    packet = bench.to_vip(4, TCP, flags="S")
    packet.dst = "02:00:00:00:00:99"
    out = bench.run(Ether(bytes(packet)))
    assert (out.verdict, out.raw) == ("pass", bytes(packet))
    assert not bench.connections()


def test_udp_without_checksum_stays_without(bench: Bench) -> None:
    service = bench.service(4, Protocol.UDP)
    bench.server(service)
    out = bench.run(bench.to_vip(4, UDP, chksum=0))
    assert out.verdict == "redirect"
    assert out.packet[UDP].chksum == 0


def test_udp_checksum_never_becomes_zero(bench: Bench) -> None:
    """A sum that comes out as 0 is written as 0xffff, for 0 means "none"."""
    service = bench.service(4, Protocol.UDP)
    bench.server(service)
    want = bench.to_vip(4, UDP, 9000, load=b"\0\0")
    want[IP].dst, want[UDP].dport = SERVER[4], 8080
    # A payload word of exactly the checksum that an all-zero one gives: the sum is all ones, its complement 0.
    load = Ether(bytes(want))[UDP].chksum.to_bytes(2, "big")
    out = bench.run(bench.to_vip(4, UDP, 9000, load=load))
    assert out.packet[UDP].chksum == 0xFFFF
    assert_checksums(out.raw)


def test_xdp_hands_on_what_it_cannot_finish(xdp: Bench) -> None:
    """No next hop yet: XDP leaves the packet as it is, the TC program of the same object forwards it."""
    service = xdp.service()
    xdp.server(service, resolved=False)
    request = xdp.to_vip(4, TCP, flags="S")
    out = xdp.run(request)
    assert (out.verdict, out.raw) == ("pass", bytes(request))
    assert xdp.reasons()["xdp_handed_on"] == 1
    finished = xdp.run(request, hook="tc")
    assert (finished.verdict, finished.packet[IP].dst) == ("redirect", SERVER[4])
    (status,) = xdp.plane.snapshot()
    assert (status.counters.connections, status.counters.in_packets) == (1, 1)
