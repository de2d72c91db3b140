"""Fragments: the first, with the ports, is balanced as any packet; the later ones go where it went. TC only.

client ══ [first: IP UDP data…] [later: IP …data…] [last: IP …data] ══▶ VIP      one real server gets all of them
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop
from scapy.layers.l2 import Ether
from scapy.layers.sctp import SCTP
from scapy.packet import Packet, Raw

from piranha.dataplane.port import AddService, DeleteDestination, EditDestination
from piranha.model.service import Destination, ForwardingMethod, Protocol, Service, ServiceKey
from tests.packet.bench import CLIENT, CLIENT_MAC, DIRECTOR, SERVER, SERVER_MAC, VIP, Bench, Result, assert_checksums

BOTH = pytest.mark.parametrize("version", [4, 6])
L4S = pytest.mark.parametrize("l4", [TCP, UDP])
METHODS = pytest.mark.parametrize("method", list(ForwardingMethod))
IP_LAYER: dict[int, type[Packet]] = {4: IP, 6: IPv6}
DATA = bytes(i % 251 for i in range(1500))


def pieces(whole: Packet, number: int = 77, size: int = 512, *, before: Iterable[Packet] = ()) -> list[bytes]:
    """A packet cut into fragments of `size` bytes; `before` are extension headers in front of the fragment header."""
    whole = Ether(bytes(whole))
    frame = Ether(src=whole.src, dst=whole.dst)
    ip = whole[IP] if IP in whole else whole[IPv6]
    data = bytes(ip.payload)
    found = []
    for offset in range(0, len(data), size):
        more, part = offset + size < len(data), Raw(data[offset : offset + size])
        if ip.version == 4:
            head = IP(src=ip.src, dst=ip.dst, ttl=ip.ttl, tos=ip.tos, id=number, proto=ip.proto)
            head.flags, head.frag = ("MF" if more else 0), offset // 8
            found.append(bytes(frame / head / part))
        else:
            head = IPv6(src=ip.src, dst=ip.dst, hlim=ip.hlim)
            for extension in before:
                head /= extension
            cut = IPv6ExtHdrFragment(nh=ip.nh, id=number, m=int(more), offset=offset // 8)
            found.append(bytes(frame / head / cut / part))
    return found


def together(results: Iterable[Result], version: int, strip: int = 0) -> Packet:
    """What the receiver makes of the fragments that came out, `strip` bytes of outer headers taken off."""
    data, ip = bytearray(), None
    for result in results:
        assert result.verdict in ("redirect", "pass")
        ip = IP_LAYER[version](result.raw[14 + strip :])
        if version == 4:
            copy = IP(bytes(ip)[:20])
            was, copy.chksum = copy.chksum, None
            assert IP(bytes(copy)).chksum == was
            place, part = ip.frag * 8, bytes(ip.payload)
        else:
            cut = ip[IPv6ExtHdrFragment]
            place, part = cut.offset * 8, bytes(cut.payload)
        assert place == len(data)
        data += part
    assert ip is not None
    if version == 4:
        head = IP(src=ip.src, dst=ip.dst, ttl=ip.ttl, proto=ip.proto)
    else:
        head = IPv6(src=ip.src, dst=ip.dst, hlim=ip.hlim, nh=ip[IPv6ExtHdrFragment].nh)
    return Ether(bytes(Ether(src=CLIENT_MAC, dst=SERVER_MAC) / head / Raw(bytes(data))))


def served(bench: Bench, version: int, l4: type[Packet], method: ForwardingMethod) -> ServiceKey:
    service = bench.service(version, Protocol.TCP if l4 is TCP else Protocol.UDP)
    bench.server(service, method=method, port=8080 if method is ForwardingMethod.MASQUERADE else 80)
    bench.resolve(SERVER[version], mtu=1500)
    return service


def opening(l4: type[Packet]) -> dict[str, Any]:
    """What makes the packet one that begins a connection."""
    return {"flags": "S"} if l4 is TCP else {}


def big(bench: Bench, version: int, l4: type[Packet] = UDP, sport: int = 5000, **fields: Any) -> Packet:
    return bench.to_vip(version, l4, sport, load=DATA, **opening(l4), **fields)


@BOTH
@L4S
@METHODS
def test_all_go_where_the_first_went(tc: Bench, version: int, l4: type[Packet], method: ForwardingMethod) -> None:
    service = served(tc, version, l4, method)
    sent = big(tc, version, l4)
    results = [tc.run(piece) for piece in pieces(sent)]
    assert [r.verdict for r in results] == ["redirect"] * 3
    masq, tunnel = method is ForwardingMethod.MASQUERADE, method is ForwardingMethod.TUNNEL
    outer = (20 if version == 4 else 40) if tunnel else 0
    whole = together(results, version, outer)
    layer = IP_LAYER[version]
    assert whole[layer].dst == (SERVER[version] if masq else VIP[version])
    assert (whole[l4].sport, whole[l4].dport) == (5000, 8080 if masq else 80)
    assert bytes(whole[l4].payload) == DATA
    assert_checksums(bytes(whole))
    for result in results if tunnel else ():
        wrapper = layer(result.raw[14:])
        assert (wrapper.src, wrapper.dst) == (DIRECTOR[version], SERVER[version])
        assert version == 6 or (wrapper.frag, int(wrapper.flags)) == (0, 0), "the outer packet is whole"
    counters = tc.status(service).destinations[0].counters
    assert (counters.connections, counters.in_packets) == (1, 3)
    assert counters.in_bytes == sum(len(piece) - 14 for piece in pieces(sent))
    assert tc.reasons() == {}


@BOTH
@L4S
def test_replies_of_a_masqueraded_server(tc: Bench, version: int, l4: type[Packet]) -> None:
    service = served(tc, version, l4, ForwardingMethod.MASQUERADE)
    tc.run(tc.to_vip(version, l4, 5000, **opening(l4)))
    reply = tc.from_server(8080, 5000, version, l4, **({"flags": "SA"} if l4 is TCP else {}))
    reply[Raw].load = DATA
    results = [tc.run(piece, "rs") for piece in pieces(reply, 9)]
    whole = together(results, version)
    assert (whole[IP_LAYER[version]].src, whole[IP_LAYER[version]].dst) == (VIP[version], CLIENT[version])
    assert (whole[l4].sport, whole[l4].dport, bytes(whole[l4].payload)) == (80, 5000, DATA)
    assert_checksums(bytes(whole))
    assert {(r.packet.dst, r.packet.src) for r in results} == {(CLIENT_MAC, tc.net.mac["cl"])}
    assert tc.status(service).destinations[0].counters.out_packets == 3
    assert tc.reasons() == {}


@BOTH
@L4S
def test_replies_of_the_local_node(tc: Bench, version: int, l4: type[Packet]) -> None:
    service = tc.service(version, Protocol.TCP if l4 is TCP else Protocol.UDP)
    tc.server(service, DIRECTOR[version], port=8080, local=True)
    sent = big(tc, version, l4)
    arrived = together([tc.run(piece) for piece in pieces(sent)], version)
    assert (arrived[IP_LAYER[version]].dst, arrived[l4].dport) == (DIRECTOR[version], 8080)
    assert_checksums(bytes(arrived))
    reply = tc.from_server(8080, 5000, version, l4, **({"flags": "SA"} if l4 is TCP else {}))
    reply[IP_LAYER[version]].src = DIRECTOR[version]
    reply[Raw].load = DATA
    results = [tc.run(piece, "rs", hook="egress") for piece in pieces(reply)]
    assert [r.verdict for r in results] == ["pass"] * 3
    whole = together(results, version)
    assert (whole[IP_LAYER[version]].src, whole[l4].sport) == (VIP[version], 80)
    assert_checksums(bytes(whole))


@BOTH
def test_local_node_direct_gets_them_as_they_are(tc: Bench, version: int) -> None:
    service = tc.service(version, Protocol.UDP)
    tc.server(service, method=ForwardingMethod.DIRECT, port=80, local=True)
    sent = pieces(big(tc, version))
    assert [(r.verdict, r.raw) for r in map(tc.run, sent)] == [("pass", piece) for piece in sent]
    assert tc.status(service).destinations[0].counters.in_packets == 3


@BOTH
def test_a_later_one_without_its_first_goes_to_the_stack(tc: Bench, version: int) -> None:
    """Before the first; of another packet, another client, or another protocol (which IPv6's key does not have)."""
    served(tc, version, UDP, ForwardingMethod.MASQUERADE)
    sent = big(tc, version)
    for number, piece in enumerate(pieces(sent)[:0:-1], 1):
        assert tc.run(piece).raw == piece
        assert tc.reasons() == {"fragment": number}
    assert tc.run(pieces(sent)[0]).verdict == "redirect"
    other = Ether(bytes(sent))
    other[IP_LAYER[version]].src = CLIENT[version][:-1] + "9"
    strangers = [pieces(sent, 78)[1], pieces(other)[1]]
    if version == 4:
        strangers.append(pieces(big(tc, version, TCP))[1])
    for number, piece in enumerate(strangers, 3):
        assert tc.run(piece).raw == piece
        assert tc.reasons() == {"fragment": number}
    assert tc.run(pieces(sent)[1]).verdict == "redirect"


def test_the_memory_ends(tc: Bench) -> None:
    served(tc, 4, UDP, ForwardingMethod.MASQUERADE)
    first, second, third = pieces(big(tc, 4))
    tc.run(first)
    age_fragments(tc, 29)
    assert tc.run(second).verdict == "redirect"
    age_fragments(tc, 2)
    assert tc.run(third).verdict == "pass"
    assert tc.reasons() == {"fragment": 1}


def age_fragments(bench: Bench, seconds: float) -> None:
    """`expires` of every remembered first, 20 bytes into the value."""
    table = bench.tables.maps["fragments"]
    for key in list(table.keys()):
        value = bytearray(table.lookup(key) or b"")
        expires = int.from_bytes(value[20:24], "little") - round(seconds * bench.tables.hz)
        value[20:24] = (expires % 2**32).to_bytes(4, "little")
        table.update(key, bytes(value))


def numbered(raw: bytes, number: int) -> bytes:
    """Another identification; the header's checksum is then wrong, which nobody here looks at."""
    return raw[:18] + number.to_bytes(2, "big") + raw[20:]


def test_more_firsts_than_there_is_room_for(tc: Bench) -> None:
    """The oldest give way; the newest is there."""
    served(tc, 4, UDP, ForwardingMethod.DIRECT)
    table = tc.tables.maps["fragments"]
    first, second, _ = pieces(big(tc, 4))
    count = table.max_entries * 5 // 4
    for number in range(count):
        assert tc.run_raw(numbered(first, number))[0] == "redirect"
    assert len(list(table.keys())) <= table.max_entries
    assert tc.run(numbered(second, count - 1)).verdict == "redirect"
    assert tc.run(numbered(second, 0)).verdict == "pass"
    assert tc.reasons() == {"fragment": 1}


def test_the_same_number_again_is_a_new_packet(tc: Bench) -> None:
    """16 bits of identification come round: the newest first decides."""
    service = tc.service(4, Protocol.UDP)
    for host in (2, 3):
        tc.server(service, f"10.2.0.{host}")
    for sport in (5000, 5001, 5002):
        out = [tc.run(piece) for piece in pieces(big(tc, 4, sport=sport))]
        assert len({r.packet[IP].dst for r in out}) == 1
    assert {str(c.destination) for c in tc.connections()} == {"10.2.0.2", "10.2.0.3"}


def test_one_packet_scheduling(tc: Bench) -> None:
    """There is no connection entry: the memory holds the destination itself."""
    key = ServiceKey(protocol=Protocol.UDP, address=served(tc, 4, TCP, ForwardingMethod.DIRECT).address, port=53)
    tc.plane.apply([AddService(service=Service(key=key, scheduler="rr", one_packet=True))])
    for host in (2, 3):
        tc.server(key, f"10.2.0.{host}", method=ForwardingMethod.TUNNEL, port=53)
    hosts = []
    for number in range(4):
        out = [tc.run(piece) for piece in pieces(big(tc, 4, dport=53), number)]
        assert len({r.packet[IP].dst for r in out}) == 1
        hosts.append(out[0].packet[IP].dst)
    assert hosts[:2] == hosts[2:]
    assert len(set(hosts)) == 2
    assert not tc.connections()


def test_a_first_that_is_not_balanced_leaves_no_memory(tc: Bench) -> None:
    served(tc, 4, UDP, ForwardingMethod.MASQUERADE)
    for piece in pieces(big(tc, 4, dport=81)):
        assert tc.run(piece).raw == piece
    assert tc.reasons() == {"no_service": 1, "fragment": 2}
    assert not list(tc.tables.maps["fragments"].keys())


def test_removed_destination(tc: Bench) -> None:
    service = served(tc, 4, UDP, ForwardingMethod.MASQUERADE)
    sent = pieces(big(tc, 4))
    tc.run(sent[0])
    tc.plane.apply([DeleteDestination(service=service, key=tc.status(service).destinations[0].destination.key)])
    assert tc.run(sent[1]).verdict == "drop"
    assert tc.reasons() == {"destination_removed": 1}


def test_a_connection_keeps_its_method(tc: Bench) -> None:
    """The destination's method was edited between the fragments: they must not part."""
    service = served(tc, 4, UDP, ForwardingMethod.MASQUERADE)
    sent = pieces(big(tc, 4))
    out = [tc.run(sent[0])]
    key = tc.status(service).destinations[0].destination.key
    tc.plane.apply([EditDestination(service=service, destination=Destination(key=key, method=ForwardingMethod.DIRECT))])
    out += [tc.run(piece) for piece in sent[1:]]
    assert {r.packet[IP].dst for r in out} == {SERVER[4]}


@BOTH
def test_last_hop_and_size(tc: Bench, version: int) -> None:
    """The sender is told once, about the first."""
    served(tc, version, UDP, ForwardingMethod.MASQUERADE)
    sent = pieces(big(tc, version))
    tc.run(sent[0])
    last = bytearray(sent[1])
    last[22 if version == 4 else 21] = 1
    if version == 4:
        del (mended := Ether(bytes(last)))[IP].chksum
        last = bytearray(bytes(mended))
    assert tc.run(bytes(last)).verdict == "drop"
    assert tc.reasons() == {"ttl_expired": 1}
    tc.resolve(SERVER[version], mtu=500)
    if version == 4:
        assert tc.run(sent[1]).verdict == "redirect", "it is cut again"
        sent[1] = sent[1][:20] + bytes([sent[1][20] | 0x40]) + sent[1][21:]
    assert tc.run(sent[1]).verdict == "drop"
    assert tc.reasons() == {"ttl_expired": 1, "too_big": 1}


@pytest.mark.parametrize("method", [ForwardingMethod.MASQUERADE, ForwardingMethod.DIRECT])
def test_ipv6_extension_headers_on_both_sides(tc: Bench, method: ForwardingMethod) -> None:
    served(tc, 6, UDP, method)
    plain = big(tc, 6)
    options = Ether(src=plain.src, dst=plain.dst) / IPv6(src=CLIENT[6], dst=VIP[6]) / IPv6ExtHdrDestOpt()
    behind = options / UDP(bytes(Ether(bytes(plain))[UDP]))
    out = [tc.run(piece) for piece in pieces(behind, before=[IPv6ExtHdrHopByHop()])]
    whole = together(out, 6)
    assert (whole[UDP].dport, bytes(whole[UDP].payload)) == (
        8080 if method is ForwardingMethod.MASQUERADE else 80,
        DATA,
    )
    assert {r.packet[IPv6].dst for r in out} == {SERVER[6] if method is ForwardingMethod.MASQUERADE else VIP[6]}
    assert_checksums(bytes(whole))


def test_ipv6_all_in_one_fragment_is_a_packet(tc: Bench) -> None:
    """RFC 6946. Nothing follows, so nothing is remembered."""
    served(tc, 6, UDP, ForwardingMethod.MASQUERADE)
    tc.resolve(SERVER[6], mtu=2000)
    (piece,) = pieces(big(tc, 6), size=2000)
    out = tc.run(piece)
    assert (out.verdict, out.packet[IPv6].dst, out.packet[UDP].dport) == ("redirect", SERVER[6], 8080)
    assert_checksums(bytes(together([out], 6)))
    assert not list(tc.tables.maps["fragments"].keys())


@BOTH
@pytest.mark.parametrize("size", [8, 16])
def test_a_first_without_its_whole_header_is_malformed(tc: Bench, version: int, size: int) -> None:
    served(tc, version, TCP, ForwardingMethod.MASQUERADE)
    sent = pieces(big(tc, version, TCP), size=size)
    for piece in sent[:2]:
        assert tc.run(piece).raw == piece
    if size == 8:  # and a later one that overlaps the header
        assert tc.run(sent[2]).raw == sent[2]
    assert tc.reasons() == {"malformed": 3 if size == 8 else 2}
    assert not tc.connections()


def test_a_later_one_must_not_overlap_the_tcp_header(tc: Bench) -> None:
    """RFC 3128: bytes 8 to 23 of the segment could turn an ACK into a SYN behind our back."""
    served(tc, 4, TCP, ForwardingMethod.MASQUERADE)
    first, second, _ = pieces(big(tc, 4, TCP))
    tc.run(first)
    evil = Ether(second)
    evil[IP].frag = 1
    del evil[IP].chksum
    assert tc.run(evil).raw == bytes(evil)
    assert tc.reasons() == {"malformed": 1}
    assert tc.run(second).verdict == "redirect"


@BOTH
def test_cut_short(tc: Bench, version: int) -> None:
    """A frame that ends within the fragment or transport header."""
    served(tc, version, UDP, ForwardingMethod.MASQUERADE)
    first = pieces(big(tc, version))[0]
    for length in range(14 + (20 if version == 4 else 40), 14 + (28 if version == 4 else 56)):
        raw = bytearray(first[:length])
        raw[16 if version == 4 else 18 : 18 if version == 4 else 20] = (
            length - 14 - (0 if version == 4 else 40)
        ).to_bytes(2, "big")
        assert tc.run(bytes(raw)).verdict == "pass"
    assert set(tc.reasons()) == {"malformed"}
    assert not tc.connections()


@BOTH
def test_fragments_of_a_large_echo_are_not_ours(tc: Bench, version: int) -> None:
    served(tc, version, UDP, ForwardingMethod.MASQUERADE)
    echo = Ether(src=CLIENT_MAC, dst=tc.net.mac["cl"]) / IP_LAYER[version](src=CLIENT[version], dst=VIP[version])
    echo = echo / (ICMP() / DATA if version == 4 else ICMPv6EchoRequest(data=DATA))
    for piece in pieces(echo):
        assert tc.run(piece).raw == piece
    assert tc.reasons() == {}


@BOTH
def test_another_hosts_frames_are_not_ours(tc: Bench, version: int) -> None:
    served(tc, version, UDP, ForwardingMethod.MASQUERADE)
    sent = big(tc, version)
    sent.dst = "02:00:00:00:00:99"
    for piece in pieces(sent):
        assert tc.run(piece).raw == piece
    assert tc.reasons() == {}
    assert not tc.connections()


@BOTH
def test_xdp_hands_fragments_on(xdp: Bench, version: int) -> None:
    served(xdp, version, UDP, ForwardingMethod.MASQUERADE)
    sent = pieces(big(xdp, version))
    for piece in sent:
        assert xdp.run(piece).raw == piece
    assert xdp.reasons() == {"xdp_handed_on": 3}
    assert [xdp.run(piece, hook="tc").verdict for piece in sent] == ["redirect"] * 3


def test_server_side_needs_a_connection(tc: Bench) -> None:
    served(tc, 4, UDP, ForwardingMethod.MASQUERADE)
    stranger = Ether(src=SERVER_MAC, dst=tc.net.mac["rs"]) / IP(src=SERVER[4], dst=CLIENT[4]) / UDP(sport=1, dport=2)
    for piece in pieces(stranger / DATA):
        assert tc.run(piece, "rs").raw == piece
    assert tc.reasons() == {"fragment": 2}


@pytest.mark.parametrize(("method", "port"), [(ForwardingMethod.DIRECT, 80), (ForwardingMethod.MASQUERADE, 80)])
def test_sctp_whose_port_stays(tc: Bench, method: ForwardingMethod, port: int) -> None:
    """Its checksum covers no addresses."""
    service = tc.service(4, Protocol.SCTP)
    tc.server(service, method=method, port=port)
    sent = big_init(tc)
    whole = together([tc.run(piece) for piece in pieces(sent)], 4)
    assert whole[IP].dst == (SERVER[4] if method is ForwardingMethod.MASQUERADE else VIP[4])
    assert bytes(whole[IP].payload) == bytes(Ether(bytes(sent))[IP].payload)
    assert tc.reasons() == {}


def test_sctp_whose_port_changes_cannot_go(tc: Bench) -> None:
    """What the port does to the checksum depends on how much follows, which a fragment does not say."""
    tc.server(tc.service(4, Protocol.SCTP), port=8080)
    assert [tc.run(piece).verdict for piece in pieces(big_init(tc))] == ["drop", "pass", "pass"]
    assert tc.reasons() == {"rewrite_failed": 1, "fragment": 2}


def big_init(bench: Bench) -> Packet:
    """An INIT with parameters enough for three fragments."""
    chunk = bytes([1, 0]) + (1200).to_bytes(2, "big") + DATA[:1196]
    return bench.to_vip(4, SCTP, 5000, load=chunk, tag=0)


@BOTH
def test_the_first_gets_an_error_where_one_can_be_made(tc: Bench, version: int) -> None:
    """Ours quote no IPv6 fragment header."""
    served(tc, version, UDP, ForwardingMethod.MASQUERADE)
    first, *_ = pieces(big(tc, version, ip={"ttl": 1} if version == 4 else {"hlim": 1}))
    out = tc.run(first)
    assert out.verdict == ("redirect" if version == 4 else "drop")
    assert tc.reasons() == {"ttl_expired": 1, "icmp_sent" if version == 4 else "icmp_omitted": 1}
