"""The frames by which a host says or asks who has an address: ARP (RFC 826, 5227) and neighbour discovery (RFC 4861)."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from piranha.model.address import IPAddress

ETH_P_ARP, ETH_P_IPV6 = 0x0806, 0x86DD
REQUEST, REPLY = 1, 2
_BROADCAST, _NOBODY = b"\xff" * 6, bytes(6)
_ARP_HEAD = b"\0\1\x08\0\6\4"
_SHORTEST = 60  # what Ethernet carries without padding
_ICMPV6, _SOLICITATION, _ADVERTISEMENT = 58, 135, 136
_ROUTER, _SOLICITED, _OVERRIDE = 0x80000000, 0x40000000, 0x20000000
_SOURCE_MAC, _TARGET_MAC = b"\1\1", b"\2\1"
_ALL_NODES = IPv6Address("ff02::1")
_SOLICITED_NODE = int(IPv6Address("ff02::1:ff00:0"))
_UNSPECIFIED = IPv6Address("::")
_ARP_BYTES, _ADVERTISEMENT_BYTES = 42, 78

# Where a filter in the kernel finds the last word of the address that a frame claims, from the start of the frame.
ARP_SENDER_OFFSET, ADVERTISEMENT_TARGET_OFFSET = 28, 74
NEXT_HEADER_OFFSET, ICMPV6_TYPE_OFFSET = 20, 54


class Claim(NamedTuple):
    """A frame that says "I have this address". `answer`: it was sent to one host that had asked."""

    address: IPAddress
    mac: bytes
    answer: bool


def gratuitous_arp(mac: bytes, address: IPv4Address, operation: int) -> bytes:
    """An announcement: REQUEST as RFC 5227 has it, REPLY as the original's send_arp; some hosts believe only one."""
    target = mac if operation == REPLY else _NOBODY
    body = _ARP_HEAD + operation.to_bytes(2, "big") + mac + address.packed + target + address.packed
    return (_BROADCAST + mac + b"\x08\x06" + body).ljust(_SHORTEST, b"\0")


def who_has(mac: bytes, address: IPv4Address, source: IPv4Address | None) -> bytes:
    """A question. Without a source it is a probe (RFC 5227), which teaches nobody anything wrong."""
    sender = source.packed if source is not None else bytes(4)
    body = _ARP_HEAD + b"\0\1" + mac + sender + _NOBODY + address.packed
    return (_BROADCAST + mac + b"\x08\x06" + body).ljust(_SHORTEST, b"\0")


def unsolicited_advertisement(mac: bytes, address: IPv6Address, *, router: bool) -> bytes:
    """An announcement to all nodes, which overrides what they know. `router`: the interface forwards."""
    flags = _OVERRIDE | (_ROUTER if router else 0)
    body = struct.pack("!BBHI", _ADVERTISEMENT, 0, 0, flags) + address.packed + _TARGET_MAC + mac
    return _icmpv6(mac, address, _ALL_NODES, body)


def solicitation(mac: bytes, address: IPv6Address, source: IPv6Address | None) -> bytes:
    """A question. Without a source it is that of duplicate address detection, answered to all nodes."""
    group = IPv6Address(_SOLICITED_NODE | int(address) & 0xFFFFFF)
    body = struct.pack("!BBHI", _SOLICITATION, 0, 0, 0) + address.packed
    if source is not None:
        body += _SOURCE_MAC + mac
    return _icmpv6(mac, source or _UNSPECIFIED, group, body)


def read_claim(frame: bytes) -> Claim | None:
    """What a received frame claims; None for one that claims nothing, or is not whole."""
    if frame[12:14] == b"\x08\x06":
        if len(frame) < _ARP_BYTES or frame[14:20] != _ARP_HEAD:
            return None
        operation = int.from_bytes(frame[20:22], "big")
        sender, target = frame[28:32], frame[38:42]
        if operation not in (REQUEST, REPLY) or not any(sender):
            return None
        is_answer = operation == REPLY and not frame[0] & 1 and sender != target
        return Claim(IPv4Address(sender), frame[22:28], is_answer)
    if frame[12:14] == b"\x86\xdd":
        if len(frame) < _ADVERTISEMENT_BYTES or frame[20] != _ICMPV6 or frame[21] != 255 or frame[54] != _ADVERTISEMENT:
            return None
        (flags,) = struct.unpack_from("!I", frame, 58)
        # Duplicate address detection is answered to all nodes, as an announcement is: then it is taken for one.
        return Claim(IPv6Address(frame[62:78]), _advertised_mac(frame), bool(flags & _SOLICITED))
    return None


def _advertised_mac(frame: bytes) -> bytes:
    option: bytes = frame[78:86]
    return option[2:] if option[:2] == _TARGET_MAC and len(option) == 8 else frame[6:12]


def _icmpv6(mac: bytes, source: IPv6Address, to: IPv6Address, body: bytes) -> bytes:
    pseudo = source.packed + to.packed + struct.pack("!II", len(body), _ICMPV6)
    body = body[:2] + _checksum(pseudo + body) + body[4:]
    head: bytes = struct.pack("!IHBB", 0x60000000, len(body), _ICMPV6, 255) + source.packed + to.packed
    return b"\x33\x33" + to.packed[12:] + mac + b"\x86\xdd" + head + body


def _checksum(data: bytes) -> bytes:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF).to_bytes(2, "big")
