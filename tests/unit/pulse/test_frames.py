"""Frames that announce and ask: as scapy reads them, and as we read them back."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)
from scapy.layers.l2 import ARP, Ether

from piranha.pulse.frames import (
    REPLY,
    REQUEST,
    Claim,
    gratuitous_arp,
    read_claim,
    solicitation,
    unsolicited_advertisement,
    who_has,
)

MAC = bytes.fromhex("02000000000d")
MAC_TEXT = "02:00:00:00:00:0d"
VIP4, VIP6 = IPv4Address("10.9.0.100"), IPv6Address("fd09::12:3456")


@pytest.mark.parametrize("operation", [REQUEST, REPLY])
def test_gratuitous_arp_says_who_has_the_address(operation: int) -> None:
    frame = gratuitous_arp(MAC, VIP4, operation)
    arp = Ether(frame)[ARP]
    assert Ether(frame).dst == "ff:ff:ff:ff:ff:ff"
    assert (arp.op, arp.psrc, arp.pdst, arp.hwsrc) == (operation, str(VIP4), str(VIP4), MAC_TEXT)
    assert arp.hwdst == (MAC_TEXT if operation == REPLY else "00:00:00:00:00:00")
    assert len(frame) == 60
    assert read_claim(frame) == Claim(VIP4, MAC, False)


@pytest.mark.parametrize("router", [True, False])
def test_an_unsolicited_advertisement_goes_to_all_nodes(router: bool) -> None:
    frame = unsolicited_advertisement(MAC, VIP6, router=router)
    packet = Ether(frame)
    assert (packet.dst, packet[IPv6].src, packet[IPv6].dst, packet[IPv6].hlim) == (
        "33:33:00:00:00:01", str(VIP6), "ff02::1", 255,
    )  # fmt: skip
    message = packet[ICMPv6ND_NA]
    assert (message.R, message.S, message.O, message.tgt) == (int(router), 0, 1, str(VIP6))
    assert packet[ICMPv6NDOptDstLLAddr].lladdr == MAC_TEXT
    assert_checksum(frame)
    assert read_claim(frame) == Claim(VIP6, MAC, False)


def assert_checksum(frame: bytes) -> None:
    packet = Ether(frame)
    layer = packet[IPv6].payload
    given_sum = layer.cksum
    del layer.cksum
    assert Ether(bytes(packet))[IPv6].payload.cksum == given_sum


@pytest.mark.parametrize("source", [IPv4Address("10.9.0.3"), None])
def test_who_has_asks_from_the_source_or_as_a_probe(source: IPv4Address | None) -> None:
    frame = who_has(MAC, VIP4, source)
    arp = Ether(frame)[ARP]
    assert (arp.op, arp.psrc, arp.pdst, arp.hwdst) == (1, str(source or "0.0.0.0"), str(VIP4), "00:00:00:00:00:00")
    claim = read_claim(frame)
    assert claim is None if source is None else claim == Claim(source, MAC, False)


@pytest.mark.parametrize("source", [IPv6Address("fe80::3"), None])
def test_a_solicitation_goes_to_the_group_of_the_address(source: IPv6Address | None) -> None:
    packet = Ether(solicitation(MAC, VIP6, source))
    assert (packet.dst, packet[IPv6].dst, packet[IPv6].src) == (
        "33:33:ff:12:34:56",
        "ff02::1:ff12:3456",
        str(source or "::"),
    )
    assert packet[ICMPv6ND_NS].tgt == str(VIP6)
    assert (ICMPv6NDOptSrcLLAddr in packet) == (source is not None), "RFC 4861: not with the unspecified source"
    assert_checksum(bytes(packet))
    assert read_claim(bytes(packet)) is None


def test_an_answer_is_told_from_an_announcement() -> None:
    other = "02:00:00:00:00:0c"
    answer = bytes(
        Ether(src=MAC_TEXT, dst=other) / ARP(op=2, hwsrc=MAC_TEXT, psrc=str(VIP4), hwdst=other, pdst="10.9.0.3")
    )
    assert read_claim(answer) == Claim(VIP4, MAC, True)
    in_use = bytes(Ether(src=MAC_TEXT) / ARP(op=1, hwsrc=MAC_TEXT, psrc=str(VIP4), pdst="10.9.0.3"))
    assert read_claim(in_use) == Claim(VIP4, MAC, False), "RFC 5227: who asks in its name claims it"
    advertised = Ether(src=MAC_TEXT) / IPv6(src=str(VIP6), dst="fe80::3", hlim=255) / ICMPv6ND_NA(tgt=str(VIP6), S=1)
    assert read_claim(bytes(advertised)) == Claim(VIP6, MAC, True)
    routed = Ether(src=MAC_TEXT) / IPv6(src=str(VIP6), dst="fe80::3", hlim=64) / ICMPv6ND_NA(tgt=str(VIP6), S=1)
    assert read_claim(bytes(routed)) is None, "it came through a router: somebody forges"


@given(st.sampled_from([b"\x08\x06", b"\x86\xdd", b"\x08\0"]), st.binary(max_size=120))
def test_any_frame_is_read_without_an_exception(protocol: bytes, rest: bytes) -> None:
    read_claim(bytes(12) + protocol + rest)
    read_claim(rest)
