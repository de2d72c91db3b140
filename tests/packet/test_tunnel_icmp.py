"""ICMP errors from inside a tunnel: the router quotes our packet, the client is told about its own. TC only.

client ◀── "your packet…" ── director ◀── "your packet [outer[client's]]…" ── router ── real server
"""

from __future__ import annotations

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6PacketTooBig, ICMPv6ParamProblem, ICMPv6TimeExceeded
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from piranha.dataplane.port import DeleteDestination, EditDestination
from piranha.model.service import Destination, DestinationKey, ForwardingMethod
from tests.packet.bench import CLIENT, CLIENT_MAC, DIRECTOR, SERVER_MAC, VIP, Bench
from tests.packet.test_fragments import IP_LAYER, opening
from tests.packet.test_icmp import BACK_ROUTER, assert_right
from tests.packet.test_tunnels import ALL, FAMILIES, GRE_CSUM, GRE_PLAIN, GUE, GUE_CSUM, IPIP, KINDS, Kind, served

L4S = pytest.mark.parametrize("l4", [TCP, UDP])
TOO_BIG = {4: ICMP(type=3, code=4, nexthopmtu=1400), 6: ICMPv6PacketTooBig(mtu=1400)}


def sent(bench: Bench, inner: int, l4: type[Packet] = TCP, *, df: bool = True) -> bytes:
    """The IP packet that we sent into the tunnel for a client's new connection."""
    ip = {"flags": "DF"} if inner == 4 and df else {}
    out = bench.run(bench.to_vip(inner, l4, 5000, load=bytes(range(200)), ip=ip, **opening(l4)))
    assert out.verdict == "redirect"
    return out.raw[14:]


def error(bench: Bench, outer: int, what: Packet, quoted: bytes, *, target: str | None = None) -> bytes:
    """A router's error about `quoted`, as it comes in."""
    head = Ether(src=SERVER_MAC, dst=bench.net.mac["rs"])
    return bytes(head / IP_LAYER[outer](src=BACK_ROUTER[outer], dst=target or DIRECTOR[outer]) / what / Raw(quoted))


def client_part(packet: bytes, kind: Kind, outer: int) -> bytes:
    return packet[(20 if outer == 4 else 40) + kind.shim :]


def told(bench: Bench, raw: bytes, inner: int) -> tuple[int, int, int, bytes]:
    """Type, code, the word behind them and quote of the error that the client gets from the VIP."""
    out = bench.run(raw, "rs")
    assert out.verdict == "redirect"
    assert (out.packet.dst, out.packet.src) == (CLIENT_MAC, bench.net.mac["cl"])
    assert out.raw[12:14] == (b"\x08\0" if inner == 4 else b"\x86\xdd")
    ip = out.packet[IP_LAYER[inner]]
    assert (ip.src, ip.dst) == (VIP[inner], CLIENT[inner])
    assert (ip.ttl if inner == 4 else ip.hlim) == 64
    assert (ip.len if inner == 4 else ip.plen + 40) == len(out.raw) - 14
    assert_right(out.raw)
    message = out.raw[14 + (20 if inner == 4 else 40) :]
    return message[0], message[1], int.from_bytes(message[4:8], "big"), message[8:]


@KINDS
@FAMILIES
@L4S
def test_what_does_not_fit(tc: Bench, kind: Kind, inner: int, outer: int, l4: type[Packet]) -> None:
    """The size of the way, less the tunnel's headers."""
    service = served(tc, kind, inner, outer, l4)
    ours = sent(tc, inner, l4)
    type_, code, mtu, quote = told(tc, error(tc, outer, TOO_BIG[outer], ours), inner)
    assert (type_, code) == ((3, 4) if inner == 4 else (2, 0))
    assert mtu == 1400 - (20 if outer == 4 else 40) - kind.shim
    assert quote == client_part(ours, kind, outer)[:128]
    assert tc.reasons() == {"icmp_relayed": 1}
    counters = tc.status(service).destinations[0].counters
    assert (counters.out_packets, counters.out_bytes) == (1, len(client_part(ours, kind, outer)))


ERRORS: dict[tuple[int, int], list[tuple[Packet, tuple[int, int]]]] = {
    (4, 4): [(ICMP(type=3, code=code), (3, code)) for code in (0, 1, 2, 3, 13)]
    + [(ICMP(type=11, code=0), (11, 0)), (ICMP(type=4), (4, 0))],
    (6, 6): [(ICMPv6DestUnreach(code=code), (1, code)) for code in (0, 1, 3, 4)]
    + [(ICMPv6TimeExceeded(), (3, 0)), (ICMPv6TimeExceeded(code=1), (3, 1))],
    (4, 6): [(ICMPv6DestUnreach(code=code), (3, to)) for code, to in ((0, 1), (1, 13), (3, 1), (4, 3))]
    + [(ICMPv6TimeExceeded(), (11, 0))],
    (6, 4): [(ICMP(type=3, code=code), (1, to)) for code, to in ((0, 3), (1, 3), (2, 3), (3, 4), (9, 1), (13, 1))]
    + [(ICMP(type=11, code=0), (3, 0))],
}


@pytest.mark.parametrize("kind", [IPIP, GUE, GRE_CSUM], ids=str)
@FAMILIES
def test_other_errors(tc: Bench, kind: Kind, inner: int, outer: int) -> None:
    served(tc, kind, inner, outer)
    ours = sent(tc, inner)
    for what, wanted in ERRORS[inner, outer]:
        type_, code, info, quote = told(tc, error(tc, outer, what, ours), inner)
        assert ((type_, code), info) == (wanted, 0)
        assert quote == client_part(ours, kind, outer)[:128]


@KINDS
@FAMILIES
def test_a_quote_of_the_least_length(tc: Bench, kind: Kind, inner: int, outer: int) -> None:
    """Routers may stop behind the ports; what they give is passed on."""
    served(tc, kind, inner, outer)
    ours = sent(tc, inner)
    headers = len(ours) - len(client_part(ours, kind, outer)) + (20 if inner == 4 else 40)
    for length in (headers + 4, headers + 8, headers + 9):
        assert (
            told(tc, error(tc, outer, TOO_BIG[outer], ours[:length]), inner)[3]
            == client_part(ours, kind, outer)[: length - (len(ours) - len(client_part(ours, kind, outer)))]
        )
    for length in range(headers + 4):
        raw = error(tc, outer, TOO_BIG[outer], ours[:length])
        assert tc.run(raw, "rs").raw == raw
    assert tc.reasons() == {"icmp_relayed": 3}


def test_options_in_the_quoted_headers(tc: Bench) -> None:
    served(tc, IPIP, 4, 4)
    options = {"options": [b"\x01" * 8], "flags": "DF"}
    ours = tc.run(tc.to_vip(4, TCP, 5000, flags="S", ip=options)).raw[14:]
    out = tc.run(error(tc, 4, TOO_BIG[4], ours), "rs")
    assert (out.verdict, out.raw[14 + 28 :]) == ("redirect", ours[20:])


@pytest.mark.parametrize(
    ("inner", "outer", "mtu", "wanted"),
    [
        (4, 4, 88, 88),
        (4, 4, 89, 69),
        (4, 4, 0, 0),
        (6, 4, 576, 1280),
        (6, 6, 1280, 1280),
        (6, 6, 1330, 1290),
        (4, 6, 70_000, 65_535),
        (6, 6, 70_000, 69_960),
    ],
)
def test_bounds_of_the_size(tc: Bench, inner: int, outer: int, mtu: int, wanted: int) -> None:
    """Nobody is told of less than 68 (IPv4, as IPVS) or 1280 bytes (IPv6) but by the router itself."""
    served(tc, IPIP, inner, outer)
    what = ICMP(type=3, code=4, nexthopmtu=mtu) if outer == 4 else ICMPv6PacketTooBig(mtu=mtu)
    assert told(tc, error(tc, outer, what, sent(tc, inner)), inner)[2] == wanted


@pytest.mark.parametrize("outer", [4, 6])
def test_a_client_that_does_not_look_for_the_size_is_not_told(tc: Bench, outer: int) -> None:
    """Its packet has no DF. The error is for our own stack then, which learns from it."""
    served(tc, IPIP, 4, outer)
    raw = error(tc, outer, TOO_BIG[outer], sent(tc, 4, df=False))
    assert (tc.run(raw, "rs").verdict, tc.run(raw, "rs").raw) == ("pass", raw)
    assert tc.reasons() == {}


@KINDS
def test_what_we_never_sent_is_not_ours(tc: Bench, kind: Kind) -> None:
    served(tc, kind, 4, 4)
    ours = bytearray(sent(tc, 4))
    inside = 20 + kind.shim
    strangers = {
        "from another address": (12, b"\x0a\x02\0\x09"),
        "to another server": (16, b"\x0a\x02\0\x09"),
        "a later fragment": (6, b"\0\x64"),
        "another protocol": (9, b"\x06"),
        "from another client": (inside + 12, b"\x0a\x01\0\x09"),
        "to another VIP": (inside + 16, b"\x0a\x09\0\x09"),
        "another port": (inside + 20, b"\x27\x10"),
        "a later fragment inside": (inside + 6, b"\0\x64"),
        "not IP inside": (inside, b"\x75"),
    }
    if kind.type is GUE.type:
        strangers |= {
            "another GUE port": (22, b"\x10\0"),
            "GUE options": (28, b"\x01"),
            "GUE control": (28, b"\x20"),
            "GUE version": (28, b"\x40"),
            "other contents": (29, b"\x11"),
        }
    if kind.type is GRE_PLAIN.type:
        strangers |= {"GRE key": (20, b"\x20"), "GRE version": (21, b"\1"), "other contents": (22, b"\x65\x58")}
    for name, (offset, change) in strangers.items():
        quoted = bytes(ours[:offset]) + change + bytes(ours[offset + len(change) :])
        raw = error(tc, 4, TOO_BIG[4], quoted)
        assert tc.run(raw, "rs").raw == raw, name
    elsewhere = error(tc, 4, TOO_BIG[4], bytes(ours), target="10.2.0.9")
    assert tc.run(elsewhere, "rs").raw == elsewhere
    frame = error(tc, 4, TOO_BIG[4], bytes(ours))
    assert tc.run(b"\x02\0\0\0\0\x99" + frame[6:], "rs").verdict == "pass", "another host's frame"
    assert tc.reasons() == {}
    assert tc.run(frame, "rs").verdict == "redirect"


def test_errors_of_other_kinds_go_to_the_stack(tc: Bench) -> None:
    served(tc, IPIP, 4, 4)
    served(tc, IPIP, 6, 6)
    for outer, what in ((4, ICMP(type=12)), (4, ICMP()), (6, ICMPv6ParamProblem())):
        raw = error(tc, outer, what, sent(tc, outer))
        assert tc.run(raw, "rs").raw == raw
    assert tc.reasons() == {}


@pytest.mark.parametrize("kind", [GUE, GUE_CSUM, GRE_PLAIN], ids=str)
def test_only_for_the_tunnel_that_the_destination_has(tc: Bench, kind: Kind) -> None:
    """An edit in between: the error is about headers that are not used any more."""
    service = served(tc, kind, 4, 4)
    ours = sent(tc, 4)
    key = tc.status(service).destinations[0].destination.key
    edited = Destination(key=key, method=ForwardingMethod.TUNNEL, **IPIP.fields)
    tc.plane.apply([EditDestination(service=service, destination=edited)])
    raw = error(tc, 4, TOO_BIG[4], ours)
    assert tc.run(raw, "rs").raw == raw


def test_other_methods_and_dead_connections(tc: Bench) -> None:
    service = tc.service()
    tc.server(service, method=ForwardingMethod.DIRECT, port=80)
    tc.run(tc.to_vip(4, TCP, 5000, flags="S"))
    whole = bytes(IP(src=DIRECTOR[4], dst="10.2.0.2") / IP(src=CLIENT[4], dst=VIP[4], flags="DF") / TCP(sport=5000))
    raw = error(tc, 4, TOO_BIG[4], whole)
    assert tc.run(raw, "rs").raw == raw
    key = DestinationKey(address=tc.status(service).destinations[0].destination.key.address, port=80)
    tc.plane.apply([DeleteDestination(service=service, key=key)])
    other = served(tc, IPIP, 6, 4)
    ours = sent(tc, 6)
    assert tc.run(error(tc, 4, TOO_BIG[4], ours), "rs").verdict == "redirect"
    tc.age(61)
    raw = error(tc, 4, TOO_BIG[4], ours)
    assert tc.run(raw, "rs").raw == raw
    assert tc.status(other).destinations[0].counters.out_packets == 1


def test_no_more_than_the_rate(tc: Bench) -> None:
    served(tc, IPIP, 4, 4)
    raw = error(tc, 4, TOO_BIG[4], sent(tc, 4))
    tc.tables.settings["icmp_rate"], tc.tables.settings["icmp_burst"] = 1, 2
    assert {tc.run(raw, "rs").verdict for _ in range(8)} >= {"drop"}
    assert tc.reasons()["icmp_limited"] >= 4


def test_xdp_leaves_it_to_tc(xdp: Bench) -> None:
    served(xdp, GUE, 4, 4)
    raw = error(xdp, 4, TOO_BIG[4], sent(xdp, 4))
    assert (xdp.run(raw, "rs").verdict, xdp.run(raw, "rs").raw) == ("pass", raw)


def test_all_types_are_here() -> None:
    assert {kind.type for kind in ALL} == {IPIP.type, GUE.type, GRE_PLAIN.type}
