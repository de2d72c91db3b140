"""Packets of the conformance suite: built and read with the standard library alone, so that the guest starts fast."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a frame turned out to be. `outer` is the tunnel's target, `tunnel` its kind; `icmp` is type and code."""

    segment: Segment | None = None
    icmp: tuple[int, int] | None = None
    mtu: int = 0
    tunnel: str = ""
    outer: Address | None = None
    mac: bytes = b""
    sound: bool = True


def ones_complement(data: bytes) -> int:
    """The Internet checksum of `data`."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
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


def _pseudo_header(source: Address, target: Address, number: int, length: int) -> bytes:
    if source.version == 4:
        return source.packed + target.packed + struct.pack("!BBH", 0, number, length)
    return source.packed + target.packed + struct.pack("!IHBB", length, 0, 0, number)


def _transport(segment: Segment) -> bytes:
    ports = struct.pack("!HH", segment.source.port, segment.target.port)
    if segment.protocol == "tcp":
        body = ports + struct.pack("!IIBBHHH", 1, 1, 5 << 4, tcp_bits(segment.word), 8192, 0, 0) + segment.payload
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
    pseudo = _pseudo_header(segment.source.address, segment.target.address, PROTOCOLS[segment.protocol], len(body))
    value = ones_complement(pseudo + body) or 0xFFFF
    return body[:where] + struct.pack("!H", value) + body[where + 2 :]


def build_packet(segment: Segment, *, dont_fragment: bool = True) -> bytes:
    """The IP packet of a segment, with right checksums."""
    body, number = _transport(segment), PROTOCOLS[segment.protocol]
    source, target = segment.source.address, segment.target.address
    if source.version == 6:
        return struct.pack("!IHBB", 6 << 28, len(body), number, segment.ttl) + source.packed + target.packed + body
    flags = 0x4000 if dont_fragment else 0
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, flags, segment.ttl, number, 0)
    head += source.packed + target.packed
    return head[:10] + struct.pack("!H", ones_complement(head)) + head[12:] + body


def build_frame(packet: bytes, *, source_mac: bytes, target_mac: bytes) -> bytes:
    return target_mac + source_mac + (b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\x00") + packet


def read_frame(frame: bytes) -> Seen | None:
    """What a frame carries; None for what is not IP or is the network's own housekeeping (ARP, neighbours, listeners)."""
    if frame[12:14] not in (b"\x08\x00", b"\x86\xdd"):
        return None
    return _read_packet(frame[14:], Seen(mac=frame[:6]))


def _read_packet(packet: bytes, so_far: Seen) -> Seen | None:
    if packet[0] >> 4 == 4:
        length = (packet[0] & 15) * 4
        number, ttl = packet[9], packet[8]
        source: Address = IPv4Address(packet[12:16])
        target: Address = IPv4Address(packet[16:20])
        body = packet[length : struct.unpack_from("!H", packet, 2)[0]]
        sound = ones_complement(packet[:length]) == 0
    else:
        number, ttl = packet[6], packet[7]
        source, target = IPv6Address(packet[8:24]), IPv6Address(packet[24:40])
        body, sound = packet[40 : 40 + struct.unpack_from("!H", packet, 4)[0]], True
    sound = sound and so_far.sound
    if number in (4, 41):
        return _read_packet(body, Seen(mac=so_far.mac, tunnel="ipip", outer=target, sound=sound))
    if number == 47:
        skip = 8 if body[0] & 0x80 else 4
        kind = "gre+csum" if body[0] & 0x80 else "gre"
        return _read_packet(body[skip:], Seen(mac=so_far.mac, tunnel=kind, outer=target, sound=sound))
    if number == 1:
        mtu = struct.unpack_from("!H", body, 6)[0] if body[0] == 3 and body[1] == 4 else 0
        return Seen(mac=so_far.mac, icmp=(body[0], body[1]), mtu=mtu, sound=sound and ones_complement(body) == 0)
    if number == 58:
        if body[0] >= 130 and body[0] <= 143:
            return None
        mtu = struct.unpack_from("!I", body, 4)[0] if body[0] == 2 else 0
        sound = sound and ones_complement(_pseudo_header(source, target, 58, len(body)) + body) == 0
        return Seen(mac=so_far.mac, icmp=(body[0], body[1]), mtu=mtu, sound=sound)
    if number not in WORDS:
        return None
    return _read_transport(number, source, target, ttl, body, Seen(mac=so_far.mac, tunnel=so_far.tunnel, outer=so_far.outer, sound=sound))  # fmt: skip


def _read_transport(number: int, source: Address, target: Address, ttl: int, body: bytes, so_far: Seen) -> Seen | None:
    source_port, target_port = struct.unpack_from("!HH", body)
    word, payload, sound = "", b"", so_far.sound
    if number == 132:
        kinds = {value: name for name, value in SCTP_CHUNKS.items()}
        word = kinds.get(body[12], str(body[12]))
        sound = sound and struct.unpack_from("<I", body, 8)[0] == crc32c(body[:8] + b"\0\0\0\0" + body[12:])
    else:
        if number == 6:
            word, payload = tcp_word(body[13]), body[(body[12] >> 4) * 4 :]
        else:
            payload = body[8:]
        summed = number == 6 or body[6:8] != b"\0\0"
        sound = sound and (not summed or ones_complement(_pseudo_header(source, target, number, len(body)) + body) == 0)
    segment = Segment(
        protocol=WORDS[number],
        source=Endpoint(address=source, port=source_port),
        target=Endpoint(address=target, port=target_port),
        word=word,
        payload=payload,
        ttl=ttl,
    )
    return Seen(segment=segment, tunnel=so_far.tunnel, outer=so_far.outer, mac=so_far.mac, sound=sound)


def read_gue(seen: Seen, port: int) -> Seen:
    """The same, looked into once more where it is a GUE datagram to `port` (inside UDP, header of 4 bytes or more)."""
    segment = seen.segment
    if segment is None or segment.protocol != "udp" or segment.target.port != port:
        return seen
    skip = 4 + (segment.payload[0] & 31) * 4
    kind = "gue" if not segment.payload[0] & 31 else "gue+remcsum"
    inner = _read_packet(segment.payload[skip:], Seen(mac=seen.mac, tunnel=kind, outer=segment.target.address, sound=seen.sound))  # fmt: skip
    return inner or seen
