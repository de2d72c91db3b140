"""Packets of the conformance suite, built with the standard library alone so that the guest starts fast."""

from __future__ import annotations

import functools
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

Address = IPv4Address | IPv6Address
PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}
WORDS = {number: word for word, number in PROTOCOLS.items()}
TCP_FLAGS = {"FIN": 1, "SYN": 2, "RST": 4, "PSH": 8, "ACK": 16}
SCTP_CHUNKS = {"DATA": 0, "INIT": 1, "INIT-ACK": 2, "ABORT": 6, "SHUTDOWN": 7, "SHUTDOWN-ACK": 8, "ERROR": 9,
               "COOKIE-ECHO": 10, "COOKIE-ACK": 11, "SHUTDOWN-COMPLETE": 14}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    address: Address
    port: int

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """From `10.0.0.1:80` or `[fd00::1]:80`."""
        host, _, port = text.rpartition(":")
        return cls(address=ip_address(host.strip("[]")), port=int(port))

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if self.address.version == 6 else f"{self.address}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One transport packet. `word` is `SYN+ACK` for TCP, a chunk name for SCTP, empty for UDP."""

    protocol: str
    source: Endpoint
    target: Endpoint
    word: str = ""
    payload: bytes = b""
    ttl: int = 64
    sequence: int = 1
    acknowledged: int = 1


def ones_complement(data: bytes) -> int:
    """The Internet checksum of `data`."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@functools.cache
def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ 0x82F63B78 if byte & 1 else byte >> 1
        table.append(byte)
    return tuple(table)


def crc32c(data: bytes) -> int:
    """SCTP's checksum (RFC 9260, appendix A), before it is written least byte first."""
    table, value = _crc_table(), 0xFFFFFFFF
    for byte in data:
        value = table[(value ^ byte) & 255] ^ (value >> 8)
    return value ^ 0xFFFFFFFF


def tcp_bits(word: str) -> int:
    return sum(TCP_FLAGS[name] for name in word.split("+")) if word else 0


def tcp_word(bits: int) -> str:
    return "+".join(name for name, bit in TCP_FLAGS.items() if bits & bit)


def pseudo_header(source: Address, target: Address, number: int, length: int) -> bytes:
    """What the checksums of TCP, UDP and ICMPv6 cover beside the transport itself."""
    if source.version == 4:
        return source.packed + target.packed + struct.pack("!BBH", 0, number, length)
    return source.packed + target.packed + struct.pack("!IHBB", length, 0, 0, number)


def _transport(segment: Segment) -> bytes:
    ports = struct.pack("!HH", segment.source.port, segment.target.port)
    if segment.protocol == "tcp":
        body = ports + struct.pack("!II", segment.sequence, segment.acknowledged)
        body += struct.pack("!BBHHH", 5 << 4, tcp_bits(segment.word), 8192, 0, 0) + segment.payload
        where = 16
    elif segment.protocol == "udp":
        body = ports + struct.pack("!HH", 8 + len(segment.payload), 0) + segment.payload
        where = 6
    else:
        kind = SCTP_CHUNKS[segment.word or "INIT"]
        rest = struct.pack("!IIHHI", 1, 65535, 1, 1, 1) if kind in (1, 2) else b"\0" * 12
        chunk = struct.pack("!BBH", kind, 3 if kind == 0 else 0, 4 + len(rest)) + rest
        body = ports + struct.pack("!II", 0 if kind == 1 else 1, 0) + chunk
        return body[:8] + struct.pack("<I", crc32c(body)) + body[12:]
    pseudo = pseudo_header(segment.source.address, segment.target.address, PROTOCOLS[segment.protocol], len(body))
    value = ones_complement(pseudo + body) or 0xFFFF
    return body[:where] + struct.pack("!H", value) + body[where + 2 :]


def build_packet(segment: Segment, *, dont_fragment: bool = True, extended: bool = False) -> bytes:
    """The IP packet of a segment, with right checksums; `extended` puts a destination-options header into an IPv6 one."""
    body, number = _transport(segment), PROTOCOLS[segment.protocol]
    if extended:
        body, number = bytes([number, 0, 1, 4, 0, 0, 0, 0]) + body, 60
    return wrap(
        segment.source.address, segment.target.address, number, body, segment.ttl, 0x4000 if dont_fragment else 0
    )


def wrap(source: Address, target: Address, number: int, body: bytes, ttl: int = 64, fragment: int = 0) -> bytes:
    """`body` in an IP header; `fragment` is IPv4's word of flags and offset."""
    if source.version == 6:
        return struct.pack("!IHBB", 6 << 28, len(body), number, ttl) + source.packed + target.packed + body
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, fragment, ttl, number, 0)
    head += source.packed + target.packed
    return head[:10] + struct.pack("!H", ones_complement(head)) + head[12:] + body


def build_fragments(segment: Segment, size: int) -> list[bytes]:
    """The segment's packet in fragments of `size` bytes (a multiple of 8) each."""
    body, number = _transport(segment), PROTOCOLS[segment.protocol]
    source, target = segment.source.address, segment.target.address
    packets = []
    for at in range(0, len(body), size):
        more, piece = at + size < len(body), body[at : at + size]
        if source.version == 4:
            packets.append(wrap(source, target, number, piece, segment.ttl, at // 8 | 0x2000 * more))
        else:
            packets.append(wrap(source, target, 44, struct.pack("!BBHI", number, 0, at | more, 1) + piece, segment.ttl))
    return packets


ERRORS = {
    "unreachable-net": ((3, 0), (1, 0)),
    "unreachable-host": ((3, 1), (1, 3)),
    "unreachable-port": ((3, 3), (1, 4)),
    "too-big": ((3, 4), (2, 0)),
    "time-exceeded": ((11, 0), (3, 0)),
}


def build_error(source: Address, target: Address, error: str, quoted: bytes, mtu: int = 0) -> bytes:
    """An ICMP error, by its word in ERRORS, that quotes the begin of a packet."""
    version6 = source.version == 6
    kind, code = ERRORS[error][version6]
    body = struct.pack("!BBHI", kind, code, 0, mtu) + quoted[: 512 if version6 else 128]
    covered = (pseudo_header(source, target, 58, len(body)) if version6 else b"") + body
    body = body[:2] + struct.pack("!H", ones_complement(covered)) + body[4:]
    return wrap(source, target, 58 if version6 else 1, body)


def build_echo(source: Address, target: Address) -> bytes:
    """An ICMP echo request."""
    version6 = source.version == 6
    body = struct.pack("!BBHHH", 128 if version6 else 8, 0, 0, 1, 1) + b"piranha!"
    covered = (pseudo_header(source, target, 58, len(body)) if version6 else b"") + body
    body = body[:2] + struct.pack("!H", ones_complement(covered)) + body[4:]
    return wrap(source, target, 58 if version6 else 1, body)


def build_frame(packet: bytes, *, source_mac: bytes, target_mac: bytes) -> bytes:
    return target_mac + source_mac + (b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\x00") + packet
