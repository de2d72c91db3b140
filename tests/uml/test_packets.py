"""Packets that the suite builds are right (scapy says so), and are read back as what they were."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6

from tests.uml.packets import ERRORS, Endpoint, Segment, build_error, build_fragments, build_frame, build_packet, wrap
from tests.uml.reading import Seen, read_frames

MAC = bytes.fromhex("020002040001")
ENDS = {4: ("10.1.0.1:1000", "10.9.0.1:80"), 6: ("[2001:db8:c::1]:1000", "[fd09::1]:80")}
KINDS = (("tcp", "SYN+ACK"), ("udp", ""), ("sctp", "INIT"), ("sctp", "COOKIE-ECHO"))


def segment(version: int, protocol: str = "tcp", word: str = "ACK", payload: bytes = b"") -> Segment:
    source, target = (Endpoint.parse(text) for text in ENDS[version])
    return Segment(protocol=protocol, source=source, target=target, word=word, payload=payload)


def read(*packets: bytes, gue_port: int = 0) -> list[Seen]:
    return read_frames([build_frame(packet, source_mac=MAC, target_mac=MAC) for packet in packets], gue_port)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(("protocol", "word"), KINDS)
def test_a_packet_is_read_back_and_its_checksums_are_scapys(version: int, protocol: str, word: str) -> None:
    sent = segment(version, protocol, word, b"odd" if protocol != "sctp" else b"")
    packet = build_packet(sent)
    (seen,) = read(packet)
    assert (seen.segment, seen.sound, seen.mac) == (sent, True, MAC)
    layers: Any = (IP if version == 4 else IPv6)(packet)
    wanted = bytes(layers)
    layer = layers
    while layer:
        for name in ("chksum", "cksum"):
            if name in layer.fields:
                delattr(layer, name)
        layer = layer.payload
    assert bytes(layers) == wanted


@pytest.mark.parametrize("version", [4, 6])
def test_a_wrong_checksum_is_seen(version: int) -> None:
    packet = bytearray(build_packet(segment(version, payload=b"words")))
    packet[-1] ^= 1
    assert [seen.sound for seen in read(bytes(packet))] == [False]


@pytest.mark.parametrize("version", [4, 6])
def test_fragments_in_any_order_are_one_segment(version: int) -> None:
    sent = segment(version, "udp", "", b"x" * 100)
    fragments = build_fragments(sent, 24)
    assert len(fragments) == 5
    (seen,) = read(*reversed(fragments))
    assert (seen.segment, seen.sound) == (sent, True)
    assert [seen.quoted for seen in read(*fragments[1:])] == ["an incomplete fragmented packet"]


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("error", ERRORS)
def test_an_error_quotes_its_flow(version: int, error: str) -> None:
    about = segment(version)
    packet = build_error(about.target.address, about.source.address, error, build_packet(about), 1300)
    (seen,) = read(packet)
    assert seen.icmp == ERRORS[error][version == 6]
    assert (seen.quoted, seen.sound) == (f"tcp {about.source} > {about.target}", True)
    assert seen.mtu == (1300 if error == "too-big" else 0)


def test_extension_headers_are_passed_over() -> None:
    (seen,) = read(build_packet(segment(6), extended=True))
    assert seen.segment == segment(6)


@pytest.mark.parametrize("version", [4, 6])
def test_tunnels_are_looked_into(version: int) -> None:
    inside = build_packet(segment(version))
    director, server = ip_address("10.2.0.254"), ip_address("10.2.0.1")
    (seen,) = read(wrap(director, server, 4 if version == 4 else 41, inside))
    assert (seen.tunnel, seen.outer, seen.segment) == ("ipip", server, segment(version))
    gre = b"\0\0" + (b"\x08\0" if version == 4 else b"\x86\xdd") + inside
    (seen,) = read(wrap(director, server, 47, gre))
    assert (seen.tunnel, seen.outer, seen.segment) == ("gre", server, segment(version))
