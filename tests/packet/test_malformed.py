"""Packets as nobody should send them: counted and left to the stack, never half forwarded, never two entries.

`PIRANHA_FUZZ_PACKETS` is how many mutated packets the last test sends by each hook.
"""

from __future__ import annotations

import os
import random
import struct
from collections import Counter
from collections.abc import Callable
from ipaddress import ip_address

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP, IPOption_RR
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from piranha.dataplane.ebpf import abi
from piranha.model.service import ForwardingMethod, Protocol
from tests.packet.bench import CLIENT, CLIENT_MAC, DIRECTOR, SERVER, VIP, Bench, assert_checksums

BOTH = pytest.mark.parametrize("version", [4, 6])
L4S = pytest.mark.parametrize(("l4", "protocol"), [(TCP, Protocol.TCP), (UDP, Protocol.UDP)])


def set_up(bench: Bench, method: ForwardingMethod = ForwardingMethod.MASQUERADE) -> None:
    for version in (4, 6):
        for protocol in (Protocol.TCP, Protocol.UDP):
            service = bench.service(version, protocol)
            bench.server(service, method=method, port=8080 if method is ForwardingMethod.MASQUERADE else 80)


def syn(bench: Bench, version: int, l4: type[Packet] = TCP, **fields: object) -> Packet:
    return bench.to_vip(version, l4, 5000, **({"flags": "S"} if l4 is TCP else {}), **fields)


def assert_left_alone(bench: Bench, raw: bytes, reason: str | None = "malformed") -> None:
    before = bench.reasons().get(reason, 0) if reason else 0
    out = bench.run(raw)
    assert (out.verdict, out.raw) == ("pass", raw)
    assert not bench.connections()
    if reason:
        assert bench.reasons().get(reason, 0) == before + 1


def shortest(bench: Bench, raw: bytes) -> int:
    """BPF_PROG_TEST_RUN takes nothing shorter: no frame without header, and in TC no IP packet without one."""
    if bench.hook == "xdp":
        return 14
    return {b"\x08\x00": 34, b"\x86\xdd": 54}.get(raw[12:14], 15)


@BOTH
@L4S
def test_truncated_at_every_length(bench: Bench, version: int, l4: type[Packet], protocol: Protocol) -> None:
    """From nothing but a frame header to one byte less than what the IP header promises."""
    set_up(bench)
    whole = bytes(syn(bench, version, l4))
    first = shortest(bench, whole)
    for length in range(first, len(whole)):
        assert_left_alone(bench, whole[:length], None)
    assert bench.reasons() == {"malformed": len(whole) - first}
    assert bench.run(whole).verdict == "redirect"


@BOTH
@L4S
def test_promised_shorter_than_its_headers(bench: Bench, version: int, l4: type[Packet], protocol: Protocol) -> None:
    """The IP length cuts the transport header, whatever the frame holds behind it (padding)."""
    set_up(bench)
    whole = bytearray(bytes(syn(bench, version, l4)))
    header = (20 if version == 4 else 0) + (20 if l4 is TCP else 8)
    for length in range(header):
        struct.pack_into(">H", whole, 16 if version == 4 else 18, length)
        assert_left_alone(bench, bytes(whole))
    struct.pack_into(">H", whole, 16 if version == 4 else 18, header)
    if l4 is UDP:
        struct.pack_into(">H", whole, 38 if version == 4 else 58, 8)
    assert bench.run(bytes(whole)).verdict == "redirect"


@BOTH
def test_ethernet_padding_is_no_part_of_the_packet(bench: Bench, version: int) -> None:
    set_up(bench)
    packet = syn(bench, version, load=b"")
    padded = bytes(packet) + bytes(20)
    out = bench.run(padded)
    assert out.verdict == "redirect"
    assert out.raw[-20:] == bytes(20)
    assert bench.plane.snapshot()[0 if version == 4 else 2].counters.in_bytes == len(bytes(packet)) - 14


def patched(raw: bytes, offset: int, value: int) -> bytes:
    return raw[:offset] + bytes([value]) + raw[offset + 1 :]


def test_wrong_versions_and_header_lengths(bench: Bench) -> None:
    set_up(bench)
    v4, v6 = bytes(syn(bench, 4)), bytes(syn(bench, 6))
    for first in range(256):
        if first >> 4 != 4 or first & 15 < 5:
            assert_left_alone(bench, patched(v4, 14, first))
        if first >> 4 != 6:
            assert_left_alone(bench, patched(v6, 14, first))


def test_header_length_beyond_the_packet(bench: Bench) -> None:
    set_up(bench)
    short = bytes(syn(bench, 4, UDP, load=b""))  # 28 bytes of IP: a header of 32 and more does not fit
    for words in range(8, 16):
        assert_left_alone(bench, patched(short, 14, 0x40 | words))


@BOTH
def test_lengths_beyond_the_frame(bench: Bench, version: int) -> None:
    set_up(bench)
    raw = bytearray(bytes(syn(bench, version)))
    offset = 16 if version == 4 else 18
    (right,) = struct.unpack_from(">H", raw, offset)
    for length in (right + 1, 1500, 0xFFFF, 0):
        struct.pack_into(">H", raw, offset, length)
        assert_left_alone(bench, bytes(raw))


@BOTH
def test_tcp_header_lengths(bench: Bench, version: int) -> None:
    set_up(bench)
    raw = bytes(syn(bench, version, load=b""))
    offset = (34 if version == 4 else 54) + 12
    for words in range(16):
        if words != 5:
            assert_left_alone(bench, patched(raw, offset, words << 4))


@BOTH
def test_udp_lengths(bench: Bench, version: int) -> None:
    set_up(bench)
    raw = bytearray(bytes(syn(bench, version, UDP, load=bytes(10))))
    offset = (34 if version == 4 else 54) + 4
    for length in (0, 1, 7, 19, 0xFFFF):
        struct.pack_into(">H", raw, offset, length)
        assert_left_alone(bench, bytes(raw))
    struct.pack_into(">H", raw, offset, 12)  # shorter than the IP packet is legal
    assert bench.run(bytes(raw)).verdict == "redirect"


# ---- options, fragments, extension headers ----


@L4S
@pytest.mark.parametrize("words", range(1, 11))
def test_ipv4_options_are_balanced(bench: Bench, l4: type[Packet], protocol: Protocol, words: int) -> None:
    set_up(bench)
    request = syn(bench, 4, l4, ip={"options": [IPOption_NOP()] * 4 * words})
    out = bench.run(request)
    assert out.verdict == "redirect"
    assert (out.packet[IP].dst, out.packet[IP].ihl, out.packet[l4].dport) == (SERVER[4], 5 + words, 8080)
    assert_checksums(out.raw)


def test_options_without_a_server_are_dropped_unanswered(tc: Bench) -> None:
    """Our errors quote headers of the plain length only."""
    tc.service()
    out = tc.run(syn(tc, 4, ip={"options": [IPOption_RR(length=7, pointer=4, routers=["0.0.0.0"]), IPOption_NOP()]}))
    assert out.verdict == "drop"
    assert tc.reasons() == {"no_destination": 1, "icmp_omitted": 1}


@L4S
def test_later_ipv4_fragments_alone_go_to_the_stack(tc: Bench, l4: type[Packet], protocol: Protocol) -> None:
    """Middle and last: no one is forwarded without its first, and none makes a connection."""
    set_up(tc)
    for flags, offset in (("MF", 10), (0, 10), (0, 8191), ("MF+DF", 10)):
        assert_left_alone(tc, bytes(syn(tc, 4, l4, ip={"flags": flags, "frag": offset})), "fragment")
    assert tc.run(syn(tc, 4, l4, ip={"flags": "DF"})).verdict == "redirect"
    assert tc.run(syn(tc, 4, l4, ip={"frag": 10})).verdict == "pass", "not even of a known connection"


def test_fragments_of_others_are_not_counted(bench: Bench) -> None:
    set_up(bench)
    packet = syn(bench, 4, ip={"flags": "MF"})
    packet[IP].dst = CLIENT[4]
    assert_left_alone(bench, bytes(Ether(bytes(packet))), None)
    assert bench.reasons() == {}


def with_extensions(bench: Bench, *headers: Packet, l4: Packet | None = None) -> Packet:
    packet = Ether(src=CLIENT_MAC, dst=bench.net.mac["cl"]) / IPv6(src=CLIENT[6], dst=VIP[6])
    for header in headers:
        packet /= header
    return packet / (l4 or TCP(sport=5000, dport=80, flags="S")) / Raw(b"data")


HOP, DEST, ROUTING = IPv6ExtHdrHopByHop, IPv6ExtHdrDestOpt, IPv6ExtHdrRouting


@pytest.mark.parametrize(
    "headers",
    [(HOP,), (DEST,), (ROUTING,), (HOP, ROUTING), (HOP, DEST, ROUTING, DEST), (HOP, DEST, ROUTING, DEST, DEST)],
    ids=lambda headers: "-".join(h.__name__[10:] for h in headers),
)
def test_extension_headers_are_walked(bench: Bench, headers: tuple[type[Packet], ...]) -> None:
    set_up(bench)
    for l4 in (TCP(sport=5000, dport=80, flags="S"), UDP(sport=5000, dport=80)):
        request = with_extensions(bench, *(header() for header in headers), l4=l4)
        out = bench.run(request)
        assert out.verdict == "redirect"
        assert out.packet[IPv6].dst == SERVER[6]
        assert out.packet[type(l4)].dport == 8080
        assert len(out.raw) == len(bytes(request))
        assert_checksums(out.raw)


def test_a_long_extension_header(bench: Bench) -> None:
    set_up(bench)
    out = bench.run(with_extensions(bench, DEST(options=[PadN(optdata=bytes(190))])))
    assert (out.verdict, out.packet[IPv6].dst) == ("redirect", SERVER[6])
    assert_checksums(out.raw)


def test_chains_that_are_too_deep_or_too_long(bench: Bench) -> None:
    set_up(bench)
    for headers in ([DEST()] * 6, [DEST()] * 40, [DEST(options=[PadN(optdata=bytes(250))])] * 2):
        assert_left_alone(bench, bytes(with_extensions(bench, *headers)))


def test_extension_header_beyond_the_packet(bench: Bench) -> None:
    """Its length field leads out of the frame, or beyond the payload length into padding."""
    set_up(bench)
    raw = bytes(with_extensions(bench, DEST()))
    for length in (3, 4, 40, 255):
        assert_left_alone(bench, patched(raw, 55, length))
    padded = bytearray(raw + bytes(100))
    padded[55] = 5
    assert_left_alone(bench, bytes(padded))


def test_later_ipv6_fragments_alone_go_to_the_stack(tc: Bench) -> None:
    set_up(tc)
    for fragment in (IPv6ExtHdrFragment(m=1, offset=100), IPv6ExtHdrFragment(offset=100)):
        assert_left_alone(tc, bytes(with_extensions(tc, fragment)), "fragment")
        assert_left_alone(tc, bytes(with_extensions(tc, HOP(), fragment)), "fragment")


@pytest.mark.parametrize("next_header", [50, 51, 59, 136, 135, 139, 255])
def test_other_protocols_are_not_ours(bench: Bench, next_header: int) -> None:
    set_up(bench)
    assert_left_alone(bench, patched(bytes(syn(bench, 6)), 20, next_header), None)
    assert_left_alone(bench, patched(bytes(syn(bench, 4)), 23, next_header), None)
    assert bench.reasons() == {}


def test_mapped_addresses_never_pass_for_ipv4(bench: Bench) -> None:
    """::ffff:10.9.0.1 in an IPv6 header would find the IPv4 service."""
    set_up(bench)
    for source, target in ((CLIENT[6], f"::ffff:{VIP[4]}"), (f"::ffff:{CLIENT[4]}", VIP[6]), ("::ffff:1.2.3.4",) * 2):
        packet = syn(bench, 6)
        packet[IPv6].src, packet[IPv6].dst = source, target
        assert_left_alone(bench, bytes(packet))


def test_other_frames_are_not_ours(bench: Bench) -> None:
    set_up(bench)
    raw = bytes(syn(bench, 4))
    for kind in (0x0806, 0x8100, 0x88A8, 0x0000, 0x05DC, 0x8847, 0xFFFF):
        assert_left_alone(bench, raw[:12] + kind.to_bytes(2, "big") + raw[14:], None)
    assert bench.reasons() == {}


def test_wrong_checksums_stay_wrong(bench: Bench) -> None:
    """We never make a broken packet look whole: the receiver is the one who finds out."""
    set_up(bench)
    for version in (4, 6):
        request = syn(bench, version, chksum=0x1234)
        out = bench.run(request)
        whole = out.packet.copy()
        del whole[TCP].chksum
        right = Ether(bytes(whole))[TCP].chksum
        good = bench.to_vip(version, TCP, 5000, flags="S")
        off_by = (Ether(bytes(good))[TCP].chksum - 0x1234) % 0xFFFF
        assert (right - out.packet[TCP].chksum) % 0xFFFF == off_by != 0


# ---- any bytes at all ----


def seeds(bench: Bench) -> list[tuple[str, bytes]]:
    """Good packets of every kind, with the device that they come by."""
    found: list[tuple[str, Packet | bytes]] = []
    for version in (4, 6):
        ip = IP if version == 4 else IPv6
        found += [("cl", syn(bench, version)), ("cl", syn(bench, version, UDP))]
        found += [("rs", bench.from_server(8080, 5000, version, TCP, flags="SA"))]
        found += [("rs", bench.from_server(8080, 5000, version, UDP))]
        about = bytes(ip(src=VIP[version], dst=CLIENT[version]) / TCP(sport=80, dport=5000))
        back = bytes(ip(src=CLIENT[version], dst=SERVER[version]) / UDP(sport=5000, dport=8080))
        error = ICMP(type=3, code=1) if version == 4 else ICMPv6DestUnreach()
        frame = Ether(src=CLIENT_MAC, dst=bench.net.mac["cl"])
        found += [("cl", frame / ip(src="10.1.0.9" if version == 4 else "fd01::9", dst=VIP[version]) / error / about)]
        frame = Ether(src=CLIENT_MAC, dst=bench.net.mac["rs"])
        found += [("rs", frame / ip(src=SERVER[version], dst=CLIENT[version]) / error / back)]
    found += [("cl", syn(bench, 4, ip={"options": [IPOption_NOP()] * 8}))]
    found += [("cl", with_extensions(bench, HOP(), DEST())), ("cl", with_extensions(bench, IPv6ExtHdrFragment()))]
    return [(dev, bytes(packet)) for dev, packet in found]


def mutated(dice: random.Random, raw: bytes) -> bytes:
    """Headers more than payload; lengths and types more often to their bounds."""
    data = bytearray(raw)
    for _ in range(dice.choice((0, 1, 1, 1, 2, 2, 3, 5))):
        place = dice.randrange(12, min(len(data), 110))
        data[place] = dice.choice((0, 1, 0xFF, 0x7F, 0x80, data[place] ^ 1 << dice.randrange(8), dice.randrange(256)))
    if dice.random() < 0.15:
        del data[dice.randrange(14, len(data)) :]
    elif dice.random() < 0.1:
        data += dice.randbytes(dice.randrange(1, 80))
    return bytes(data)


def entries_by_flow(bench: Bench) -> Counter[bytes]:
    """How many live entries each flow has."""
    tables = bench.tables
    alive = (tables.tags & 3) == abi.TAG_VALID
    return Counter(
        b"".join(entry[name].tobytes() for name in ("caddr", "vaddr", "cport", "vport")) + bytes([entry["life"] & 0xFF])
        for entry in tables.conns[alive]
    )


@pytest.mark.parametrize("method", list(ForwardingMethod))
def test_mutated_packets(bench: Bench, method: ForwardingMethod) -> None:
    set_up(bench, method)
    bench.tables.settings["icmp_rate"] = bench.tables.settings["icmp_burst"] = 1_000_000
    dice, good = random.Random(f"{bench.hook} {method}"), seeds(bench)
    tables = bench.tables
    for number in range(int(os.environ.get("PIRANHA_FUZZ_PACKETS", "20000")) // 3):
        dev, raw = dice.choice(good)
        packet = mutated(dice, raw)
        if len(packet) < shortest(bench, packet):
            continue
        out = bench.run_raw(packet, dev)
        assert out[0] in ("pass", "drop", "redirect"), packet.hex()
        assert out[0] != "pass" or out[1] == packet, packet.hex()
        if number % 2000 == 1999:
            assert max(entries_by_flow(bench).values(), default=1) == 1
            tables.conns["expires"][tables.tags != 0] = tables.jiffies() - 100
            bench.sweep()
    bench.age(2000)
    bench.sweep()
    assert not tables.dests["active"].any()
    assert not tables.dests["inactive"].any()
    assert not tables.tags.any()
    assert not tables.maps["rev_tags"].array(abi.REV_LINE)["word"].any()
    assert bench.reasons()["malformed"] > 0


def test_mutated_packets_with_a_local_server(tc: Bench) -> None:
    """Masqueraded to this host itself: what passes is as it came, or has its target translated and nothing else."""
    for version in (4, 6):
        for protocol in (Protocol.TCP, Protocol.UDP):
            tc.server(tc.service(version, protocol), DIRECTOR[version], port=8080, local=True)
    dice, good = random.Random(7), seeds(tc)
    translated = 0
    for _ in range(int(os.environ.get("PIRANHA_FUZZ_PACKETS", "20000")) // 10):
        dev, raw = dice.choice(good)
        packet = mutated(dice, raw)
        if len(packet) < shortest(tc, packet):
            continue
        verdict, after = tc.run_raw(packet, dev)
        assert verdict in ("pass", "drop", "redirect")
        if verdict == "pass" and after != packet:
            translated += 1
            assert len(after) == len(packet)
            version = 4 if packet[12:14] == b"\x08\x00" else 6
            target = slice(30, 34) if version == 4 else slice(38, 54)
            assert Ether(after)[IP if version == 4 else IPv6].dst == DIRECTOR[version]
            assert packet[target] == ip_address(VIP[version]).packed
    assert translated > 50


def test_random_bytes(bench: Bench) -> None:
    set_up(bench)
    dice = random.Random(9)
    to_us = bytes.fromhex(bench.net.mac["cl"].replace(":", ""))
    kinds: tuple[Callable[[], bytes], ...] = (
        lambda: dice.randbytes(dice.randrange(15, 200)),
        lambda: to_us + dice.randbytes(6) + b"\x08\x00\x45" + dice.randbytes(60),
        lambda: to_us + dice.randbytes(6) + b"\x86\xdd\x60" + dice.randbytes(80),
    )
    for _ in range(1500):
        packet = dice.choice(kinds)()
        assert bench.run_raw(packet) == ("pass", packet)
