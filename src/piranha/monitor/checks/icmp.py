"""The ICMP check: an echo request that must be echoed (RFC 792, RFC 4443)."""

from __future__ import annotations

import struct

from piranha.model.check import Probe
from piranha.monitor.conversation import Conversation, Found

_REQUEST = {4: 8, 6: 128}
_REPLY = {4: 0, 6: 129}
_HEADER_BYTES = 8


def converse(probe: Probe, token: bytes) -> Conversation:
    """Whatever else comes in is none of ours; raw sockets hear the replies to others too."""
    version = probe.address.version
    data = yield _echo_request(version, token)
    while _payload(data, version) != token:
        data = yield b""
    return Found("echoed")


def _echo_request(version: int, token: bytes) -> bytes:
    """The kernel writes the number of a ping socket in, and the checksum of everything but raw IPv4."""
    blank = struct.pack("!BBHHH", _REQUEST[version], 0, 0, int.from_bytes(token[:2], "big"), 1)
    if version == 6:
        return blank + token
    packet = blank + token
    total = sum(struct.unpack(f"!{len(packet) // 2}H", packet))
    total = (total >> 16) + (total & 0xFFFF)
    checksum = ~(total + (total >> 16)) & 0xFFFF
    return packet[:2] + struct.pack("!H", checksum) + packet[4:]


def _payload(data: bytes, version: int) -> bytes:
    """What an echo reply echoes; empty where it is none. Raw IPv4 sockets give the IP header too."""
    if version == 4 and data[:1] >= b"\x40" and data[:1] < b"\x50":
        data = data[(data[0] & 15) * 4 :]
    return data[_HEADER_BYTES:] if data[:2] == bytes((_REPLY[version], 0)) else b""
