"""ICMP: errors about known connections are carried on, errors of our own are sent; the rest is not ours. TC only.

client ── router ── director ── router ── real server
   an error about a reply ──▶      ◀── an error about a request
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, TCPerror, UDPerror
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPerror6,
    IPv6,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from piranha.dataplane.port import DeleteDestination
from piranha.model.service import ForwardingMethod, Protocol, ServiceKey
from tests.packet.bench import CLIENT, CLIENT_MAC, DIRECTOR, SERVER, SERVER_MAC, VIP, Bench, assert_checksums

BOTH = pytest.mark.parametrize("version", [4, 6])
L4S = pytest.mark.parametrize("l4", [TCP, UDP])
IP_LAYER: dict[int, type[Packet]] = {4: IP, 6: IPv6}
ROUTER = {4: "10.1.0.77", 6: "fd01::77"}
BACK_ROUTER = {4: "10.2.0.77", 6: "fd02::77"}
ERRORS = {
    4: [ICMP(type=3, code=1), ICMP(type=3, code=4, nexthopmtu=1400), ICMP(type=11), ICMP(type=12), ICMP(type=4)],
    6: [ICMPv6DestUnreach(code=1), ICMPv6PacketTooBig(mtu=1400), ICMPv6TimeExceeded(), ICMPv6ParamProblem()],
}


@dataclass(frozen=True)
class Ends:
    """One direction of a flow as it looks on a wire."""

    source: str
    sport: int
    target: str
    dport: int


def frame(bench: Bench, dev: str, source: str, target: str, version: int, *layers: Packet, ttl: int = 60) -> bytes:
    """A whole frame towards us; layers are put in as bytes, so that scapy mends nothing inside them."""
    mac = CLIENT_MAC if dev == "cl" else SERVER_MAC
    ip = IP(src=source, dst=target, ttl=ttl) if version == 4 else IPv6(src=source, dst=target, hlim=ttl)
    packet = Ether(src=mac, dst=bench.net.mac[dev]) / ip
    for layer in layers:
        packet /= layer
    return bytes(packet)


def quoted(version: int, l4: type[Packet], flow: Ends) -> bytes:
    """The beginning of the packet that the error is about."""
    ip = (IP if version == 4 else IPv6)(src=flow.source, dst=flow.target)
    whole = bytes(ip / l4(sport=flow.sport, dport=flow.dport) / b"what was said")
    return whole[: (20 if version == 4 else 40) + 8]


def quoted_flow(packet: Packet, version: int, l4: type[Packet]) -> Ends:
    ip = packet[IPerror if version == 4 else IPerror6]
    # Scapy takes eight bytes of TCP for less than a header.
    raw = bytes(ip.payload)
    return Ends(ip.src, int.from_bytes(raw[:2], "big"), ip.dst, int.from_bytes(raw[2:4], "big"))


def assert_right(raw: bytes) -> None:
    """Outer IP, ICMP, and quoted IP checksums."""
    packet = Ether(raw)
    version = 4 if IP in packet else 6
    copy = packet.copy()
    if version == 4:
        del copy[IP].chksum, copy[ICMP].chksum
        again = Ether(bytes(copy))
        assert (again[IP].chksum, again[ICMP].chksum) == (packet[IP].chksum, packet[ICMP].chksum)
        inner = IP(bytes(packet[IPerror])[:20])
        was, inner.chksum = inner.chksum, None
        assert IP(bytes(inner)).chksum == was
    else:
        got = copy[IPv6].payload.cksum
        del copy[IPv6].payload.cksum
        assert Ether(bytes(copy))[IPv6].payload.cksum == got


def connected(
    bench: Bench, version: int, l4: type[Packet], method: ForwardingMethod, server: str | None = None
) -> ServiceKey:
    service = bench.service(version, Protocol.TCP if l4 is TCP else Protocol.UDP)
    bench.server(service, server, method=method, port=8080 if method is ForwardingMethod.MASQUERADE else 80)
    bench.run(bench.to_vip(version, l4, 5000, **({"flags": "S"} if l4 is TCP else {})))
    return service


@BOTH
@L4S
def test_error_about_a_reply_goes_to_the_masqueraded_server(tc: Bench, version: int, l4: type[Packet]) -> None:
    connected(tc, version, l4, ForwardingMethod.MASQUERADE)
    for number, error in enumerate(ERRORS[version], 1):
        about = quoted(version, l4, Ends(VIP[version], 80, CLIENT[version], 5000))
        out = tc.run(frame(tc, "cl", ROUTER[version], VIP[version], version, error, about))
        ip = out.packet[IP_LAYER[version]]
        assert out.verdict == "redirect"
        assert (ip.src, ip.dst) == (ROUTER[version], SERVER[version])
        assert quoted_flow(out.packet, version, l4) == Ends(SERVER[version], 8080, CLIENT[version], 5000)
        assert (ip.ttl if version == 4 else ip.hlim) == 59
        assert_right(out.raw)
        assert tc.reasons() == {"icmp_relayed": number}


@BOTH
@L4S
def test_error_about_a_request_goes_to_the_client_as_from_the_vip(tc: Bench, version: int, l4: type[Packet]) -> None:
    """Sent by the server itself (port unreachable) or by a router before it."""
    connected(tc, version, l4, ForwardingMethod.MASQUERADE)
    for source in (SERVER[version], BACK_ROUTER[version]):
        for error in ERRORS[version]:
            about = quoted(version, l4, Ends(CLIENT[version], 5000, SERVER[version], 8080))
            out = tc.run(frame(tc, "rs", source, CLIENT[version], version, error, about), "rs")
            ip = out.packet[IP_LAYER[version]]
            assert out.verdict == "redirect"
            assert (ip.src, ip.dst) == (VIP[version], CLIENT[version])
            assert quoted_flow(out.packet, version, l4) == Ends(CLIENT[version], 5000, VIP[version], 80)
            assert (out.packet.dst, out.packet.src) == (CLIENT_MAC, tc.net.mac["cl"])
            assert_right(out.raw)


@BOTH
def test_direct_routing_carries_it_on_unchanged(tc: Bench, version: int) -> None:
    connected(tc, version, TCP, ForwardingMethod.DIRECT)
    about = quoted(version, TCP, Ends(VIP[version], 80, CLIENT[version], 5000))
    sent = frame(tc, "cl", ROUTER[version], VIP[version], version, ERRORS[version][1], about)
    out = tc.run(sent)
    expected = Ether(sent)
    if version == 4:
        expected[IP].ttl = 59
        del expected[IP].chksum
    else:
        expected[IPv6].hlim = 59
    assert (out.verdict, out.raw[14:]) == ("redirect", bytes(expected)[14:])
    assert tc.reasons() == {"icmp_relayed": 1}


@pytest.mark.parametrize("outer", [4, 6])
@BOTH
def test_tunnel_wraps_it(tc: Bench, version: int, outer: int) -> None:
    connected(tc, version, TCP, ForwardingMethod.TUNNEL, SERVER[outer])
    about = quoted(version, TCP, Ends(VIP[version], 80, CLIENT[version], 5000))
    sent = frame(tc, "cl", ROUTER[version], VIP[version], version, ERRORS[version][1], about)
    out = tc.run(sent)
    header = 20 if outer == 4 else 40
    wrapper = IP_LAYER[outer](out.raw[14 : 14 + header])
    inside = IP_LAYER[version](out.raw[14 + header :])
    assert out.verdict == "redirect"
    assert (wrapper.src, wrapper.dst) == (DIRECTOR[outer], SERVER[outer])
    assert (wrapper.proto if outer == 4 else wrapper.nh) == (4 if version == 4 else 41)
    assert (wrapper.ttl if outer == 4 else wrapper.hlim) == 59
    assert (inside.src, inside.dst) == (ROUTER[version], VIP[version])
    start = 20 if version == 4 else 40
    assert bytes(inside)[start:] == sent[14 + start :]


@BOTH
def test_local_node_gets_it_from_the_stack(tc: Bench, version: int) -> None:
    service = tc.service(version)
    tc.server(service, DIRECTOR[version], port=8080, local=True)
    tc.run(tc.to_vip(version, TCP, 5000, flags="S"))
    about = quoted(version, TCP, Ends(VIP[version], 80, CLIENT[version], 5000))
    out = tc.run(frame(tc, "cl", ROUTER[version], VIP[version], version, ERRORS[version][0], about))
    assert (out.verdict, out.packet[IP_LAYER[version]].dst) == ("pass", DIRECTOR[version])
    assert quoted_flow(out.packet, version, TCP) == Ends(DIRECTOR[version], 8080, CLIENT[version], 5000)
    assert_right(out.raw)


@BOTH
def test_what_is_not_about_a_connection_is_not_ours(tc: Bench, version: int) -> None:
    connected(tc, version, TCP, ForwardingMethod.MASQUERADE)
    client, vip, server = CLIENT[version], VIP[version], SERVER[version]
    error = ERRORS[version][0]
    echo = ICMP() if version == 4 else ICMPv6EchoRequest()
    cut = quoted(version, TCP, Ends(vip, 80, client, 5000))
    cases = {
        "another port": (error, quoted(version, TCP, Ends(vip, 80, client, 5001))),
        "another protocol": (error, quoted(version, UDP, Ends(vip, 80, client, 5000))),
        "the other direction": (error, quoted(version, TCP, Ends(client, 5000, vip, 80))),
        "another server": (error, quoted(version, TCP, Ends(client, 5000, server, 8081))),
        "echo request": (echo, cut),
        "quote without ports": (error, cut[:-6]),
        "quote without header": (error, cut[:10]),
        "no quote": (error,),
    }
    for name, layers in cases.items():
        sent = frame(tc, "cl", ROUTER[version], vip, version, *layers)
        out = tc.run(sent)
        assert (out.verdict, out.raw) == ("pass", sent), name
    sent = frame(tc, "cl", ROUTER[version], vip, version, error, cut)
    stranger = b"\x02\0\0\0\0\x99" + sent[6:]
    assert tc.run(stranger).raw == stranger, "another host's frame"
    assert tc.reasons() == {}


def test_quoted_later_fragment_has_no_ports(tc: Bench) -> None:
    connected(tc, 4, UDP, ForwardingMethod.MASQUERADE)
    about = bytearray(quoted(4, UDP, Ends(VIP[4], 80, CLIENT[4], 5000)))
    about[7] = 100
    sent = frame(tc, "cl", ROUTER[4], VIP[4], 4, ERRORS[4][0], bytes(about))
    assert tc.run(sent).raw == sent


def test_expired_connection_is_not_known(tc: Bench) -> None:
    connected(tc, 4, TCP, ForwardingMethod.MASQUERADE)
    tc.age(61)
    for dev, about in (("cl", Ends(VIP[4], 80, CLIENT[4], 5000)), ("rs", Ends(CLIENT[4], 5000, SERVER[4], 8080))):
        sent = frame(tc, dev, ROUTER[4], VIP[4], 4, ERRORS[4][0], quoted(4, TCP, about))
        assert tc.run(sent, dev).raw == sent


def test_removed_destination_gets_nothing(tc: Bench) -> None:
    service = connected(tc, 4, TCP, ForwardingMethod.MASQUERADE)
    key = tc.status(service).destinations[0].destination.key
    tc.plane.apply([DeleteDestination(service=service, key=key)])
    sent = frame(tc, "cl", ROUTER[4], VIP[4], 4, ERRORS[4][0], quoted(4, TCP, Ends(VIP[4], 80, CLIENT[4], 5000)))
    assert tc.run(sent).verdict == "drop"
    assert tc.reasons() == {"destination_removed": 1}


@pytest.mark.parametrize("dev", ["cl", "rs"])
def test_error_at_its_last_hop_is_dropped_without_another(tc: Bench, dev: str) -> None:
    connected(tc, 4, TCP, ForwardingMethod.MASQUERADE)
    about = Ends(VIP[4], 80, CLIENT[4], 5000) if dev == "cl" else Ends(CLIENT[4], 5000, SERVER[4], 8080)
    target = VIP[4] if dev == "cl" else CLIENT[4]
    sent = frame(tc, dev, ROUTER[4], target, 4, ERRORS[4][0], quoted(4, TCP, about), ttl=1)
    assert tc.run(sent, dev).verdict == "drop"
    assert tc.reasons() == {"ttl_expired": 1}


def test_xdp_hands_icmp_on_untouched(xdp: Bench) -> None:
    connected(xdp, 4, TCP, ForwardingMethod.MASQUERADE)
    about = quoted(4, TCP, Ends(VIP[4], 80, CLIENT[4], 5000))
    sent = frame(xdp, "cl", ROUTER[4], VIP[4], 4, ERRORS[4][0], about)
    out = xdp.run(sent)
    assert (out.verdict, out.raw) == ("pass", sent)


# ---- errors of our own ----


def assert_error(tc: Bench, raw: bytes, request: Packet, version: int, kind: tuple[int, int], mtu: int = 0) -> None:
    """An error of `kind` (type, code) from the packet's target back to its source, quoting it."""
    packet = Ether(raw)
    layer = IP_LAYER[version]
    assert (packet[layer].src, packet[layer].dst) == (request[layer].dst, request[layer].src)
    assert (packet.src, packet.dst) == (request.dst, request.src)
    if version == 4:
        assert (packet[ICMP].type, packet[ICMP].code) == kind
        assert int.from_bytes(raw[40:42], "big") == mtu
    else:
        assert (packet[IPv6].payload.type, packet[IPv6].payload.code) == kind
        assert int.from_bytes(raw[58:62], "big") == mtu
    quote = raw[14 + (20 if version == 4 else 40) + 8 :]
    assert bytes(request)[14:].startswith(quote)
    assert len(quote) >= (28 if version == 4 else 48)
    assert_right(raw)


@BOTH
@L4S
@pytest.mark.parametrize("ttl", [0, 1])
def test_request_at_its_last_hop(tc: Bench, version: int, l4: type[Packet], ttl: int) -> None:
    connected(tc, version, l4, ForwardingMethod.MASQUERADE)
    request = tc.to_vip(version, l4, 5000, ip={"ttl": ttl} if version == 4 else {"hlim": ttl})
    out = tc.run(request)
    assert out.verdict == "redirect"
    assert_error(tc, out.raw, request, version, (11, 0) if version == 4 else (3, 0))
    assert tc.reasons() == {"ttl_expired": 1, "icmp_sent": 1}
    assert tc.plane.snapshot()[0].counters.in_packets == 1, "it was not forwarded"


@BOTH
def test_reply_at_its_last_hop(tc: Bench, version: int) -> None:
    connected(tc, version, TCP, ForwardingMethod.MASQUERADE)
    reply = tc.from_server(8080, 5000, version, flags="SA")
    reply[IP_LAYER[version]].setfieldval("ttl" if version == 4 else "hlim", 1)
    reply = Ether(bytes(reply))
    out = tc.run(reply, "rs")
    assert_error(tc, out.raw, reply, version, (11, 0) if version == 4 else (3, 0))


OVERHEAD = {ForwardingMethod.MASQUERADE: 0, ForwardingMethod.DIRECT: 0, ForwardingMethod.TUNNEL: 20}


@BOTH
@L4S
@pytest.mark.parametrize("method", list(ForwardingMethod))
def test_too_big_for_the_next_hop(tc: Bench, version: int, l4: type[Packet], method: ForwardingMethod) -> None:
    connected(tc, version, l4, method)
    overhead = OVERHEAD[method] * (1 if version == 4 else 2)
    tc.resolve(SERVER[version], mtu=1400)
    df = {"ip": {"flags": "DF"}} if version == 4 else {}
    headers = (20 if version == 4 else 40) + (20 if l4 is TCP else 8)
    fits = tc.to_vip(version, l4, 5000, load=bytes(1400 - overhead - headers), **df)
    assert len(bytes(fits)) - 14 == 1400 - overhead
    assert len(tc.run(fits).raw) == 14 + 1400
    request = tc.to_vip(version, l4, 5000, load=bytes(1401 - overhead - headers), **df)
    out = tc.run(request)
    assert out.verdict == "redirect"
    assert_error(tc, out.raw, request, version, (3, 4) if version == 4 else (2, 0), 1400 - overhead)
    assert tc.reasons() == {"too_big": 1, "icmp_sent": 1}


@pytest.mark.parametrize("outer", [4, 6])
def test_the_tunnel_header_counts_by_its_own_family(tc: Bench, outer: int) -> None:
    connected(tc, 4, TCP, ForwardingMethod.TUNNEL, SERVER[outer])
    overhead = 20 if outer == 4 else 40
    for extra, reasons in ((0, {}), (1, {"too_big": 1, "icmp_sent": 1})):
        load = bytes(1500 - overhead - 40 + extra)
        tc.run(tc.to_vip(4, TCP, 5000, flags="A", load=load, ip={"flags": "DF"}))
        assert tc.reasons() == reasons


def test_super_packets_are_cut_later(tc: Bench) -> None:
    connected(tc, 4, TCP, ForwardingMethod.MASQUERADE)
    big = tc.to_vip(4, TCP, 5000, flags="A", load=bytes(3000), ip={"flags": "DF"})
    assert tc.run(big, gso=1400).packet[IP].dst == SERVER[4]
    assert tc.reasons() == {}


def test_xdp_hands_on_what_is_too_big_or_at_its_last_hop(xdp: Bench) -> None:
    connected(xdp, 4, TCP, ForwardingMethod.MASQUERADE)
    xdp.resolve(SERVER[4], mtu=1400)
    big = xdp.to_vip(4, TCP, 5000, flags="A", load=bytes(1400), ip={"flags": "DF"})
    last = xdp.to_vip(4, TCP, 5000, flags="A", ip={"ttl": 1})
    for packet in (big, last):
        out = xdp.run(packet)
        assert (out.verdict, out.raw) == ("pass", bytes(packet))
    assert xdp.reasons() == {"xdp_handed_on": 2}


@BOTH
def test_reply_too_big_for_the_way_to_the_client(tc: Bench, version: int) -> None:
    """The server's link takes more than the client's: the server is told."""
    connected(tc, version, TCP, ForwardingMethod.MASQUERADE)
    fields = {"flags": "A"}
    reply = tc.from_server(8080, 5000, version, **fields)
    reply[TCP].remove_payload()
    reply = Ether(bytes(reply / bytes(1600)))
    if version == 4:
        reply[IP].flags = "DF"
        del reply[IP].chksum
        reply = Ether(bytes(reply))
    out = tc.run(reply, "rs")
    assert out.verdict == "redirect"
    assert_error(tc, out.raw, reply, version, (3, 4) if version == 4 else (2, 0), 1500)
    small = tc.run(tc.from_server(8080, 5000, version, flags="A"), "rs")
    assert small.packet[IP_LAYER[version]].src == VIP[version]
    assert_checksums(small.raw)


def test_quotes_are_what_the_sender_needs_to_find_its_socket(tc: Bench) -> None:
    tc.service(4, Protocol.UDP)
    out = tc.run(tc.to_vip(4, UDP, 4321, load=bytes(500)))
    assert (out.packet[UDPerror].sport, out.packet[UDPerror].dport) == (4321, 80)
    tc.service(4, Protocol.TCP)
    out = tc.run(tc.to_vip(4, TCP, 4322, flags="S", seq=77))
    assert (out.packet[TCPerror].sport, out.packet[TCPerror].seq) == (4322, 77)
