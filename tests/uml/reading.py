"""Frames that a director sent, read back into what they mean: segment, ICMP message, tunnel, whole again from fragments."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address

from tests.uml.packets import (
    SCTP_CHUNKS,
    WORDS,
    Address,
    Endpoint,
    Segment,
    crc32c,
    ones_complement,
    pseudo_header,
    tcp_word,
)

CHUNK_WORDS = {number: word for word, number in SCTP_CHUNKS.items()}
EXTENSION_HEADERS = (0, 43, 60)
FRAGMENT_HEADER = 44
ETHERNET = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a packet turned out to be.

    `tunnel` is the kind of tunnel it came in, `outer` that tunnel's target; `icmp` is type and code, `quoted` the flow that
    an ICMP error quotes; `mac` the frame's target; `sound` whether every checksum in it is right; `summed` whether a UDP
    datagram has one.
    """

    segment: Segment | None = None
    icmp: tuple[int, int] | None = None
    mtu: int = 0
    quoted: str = ""
    source: Address | None = None
    target: Address | None = None
    tunnel: str = ""
    outer: Address | None = None
    mac: bytes = b""
    sound: bool = True
    summed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """An IP packet without its headers. `offset` and `more` are not 0 and False in a fragment."""

    source: Address
    target: Address
    number: int
    ttl: int
    body: bytes
    sound: bool = True
    identity: int = 0
    offset: int = 0
    more: bool = False


Pieces = dict[tuple[object, ...], list[Packet]]


def read_frames(frames: Iterable[bytes], gue_port: int = 0) -> list[Seen]:
    """What came, in order; fragments are put together, also those in a tunnel, as the server at its end does. The network's
    own housekeeping is left out.
    """
    found: list[Seen] = []
    pieces: Pieces = {}
    for frame in frames:
        if frame[12:14] not in (b"\x08\x00", b"\x86\xdd"):
            continue
        seen = _read(read_packet(frame[ETHERNET:]), Seen(mac=frame[:6]), gue_port, pieces)
        if seen is not None:
            found.append(seen)
    found += [Seen(icmp=(0, 0), quoted="an incomplete fragmented packet") for _ in pieces]
    return found


def _whole(packet: Packet, so_far: Seen, pieces: Pieces) -> Packet | None:
    """The packet, put together from fragments with what came before; None while some are missing."""
    if not packet.more and not packet.offset:
        return packet
    key = (so_far.tunnel, so_far.outer, packet.source, packet.target, packet.number, packet.identity)
    pieces.setdefault(key, []).append(replace(packet, sound=packet.sound and so_far.sound))
    whole = joined(pieces[key])
    if whole is not None:
        del pieces[key]
    return whole


def joined(fragments: list[Packet]) -> Packet | None:
    """The whole packet of these fragments, or None while some are missing."""
    body = b""
    for piece in sorted(fragments, key=lambda item: item.offset):
        if piece.offset != len(body):
            return None
        body += piece.body
        if not piece.more:
            return replace(piece, body=body, offset=0, more=False, sound=all(item.sound for item in fragments))
    return None


def read_packet(data: bytes) -> Packet:
    """The IP header, and IPv6's extension headers, of a packet (that may be cut short)."""
    if data[0] >> 4 == 4:
        length = (data[0] & 15) * 4
        total, identity, word = struct.unpack_from("!HHH", data, 2)
        return Packet(source=IPv4Address(data[12:16]), target=IPv4Address(data[16:20]), number=data[9], ttl=data[8],
                      body=data[length:total], sound=ones_complement(data[:length]) == 0, identity=identity,
                      offset=(word & 0x1FFF) * 8, more=bool(word & 0x2000))  # fmt: skip
    number, body = data[6], data[40 : 40 + struct.unpack_from("!H", data, 4)[0]]
    identity = offset = 0
    more = False
    while number in EXTENSION_HEADERS or number == FRAGMENT_HEADER:
        skip = 8 if number == FRAGMENT_HEADER else (body[1] + 1) * 8
        if number == FRAGMENT_HEADER:
            word, identity = struct.unpack_from("!HI", body, 2)
            offset, more = word & 0xFFF8, bool(word & 1)
        number, body = body[0], body[skip:]
    return Packet(source=IPv6Address(data[8:24]), target=IPv6Address(data[24:40]), number=number, ttl=data[7], body=body,
                  identity=identity, offset=offset, more=more)  # fmt: skip


def _read(packet: Packet, so_far: Seen, gue_port: int, pieces: Pieces) -> Seen | None:
    whole = _whole(packet, so_far, pieces)
    if whole is None:
        return None
    packet = whole
    so_far = replace(so_far, sound=so_far.sound and packet.sound, source=packet.source, target=packet.target)
    body = packet.body
    if packet.number in (4, 41):
        return _read(read_packet(body), replace(so_far, tunnel="ipip", outer=packet.target), gue_port, pieces)
    if packet.number == 47:
        summed = bool(body[0] & 0x80)
        sound = so_far.sound and (not summed or ones_complement(body) == 0)
        inside = replace(so_far, tunnel="gre+csum" if summed else "gre", outer=packet.target, sound=sound)
        return _read(read_packet(body[8 if summed else 4 :]), inside, gue_port, pieces)
    if packet.number in (1, 58):
        return _read_icmp(packet, so_far)
    if packet.number not in WORDS:
        return None
    seen = _read_transport(packet, so_far)
    segment = seen.segment
    if gue_port and segment and segment.protocol == "udp" and segment.target.port == gue_port:
        options = segment.payload[0] & 31
        kind = "gue" + "+remcsum" * bool(options) + "+csum" * seen.summed
        inside = Seen(mac=seen.mac, tunnel=kind, outer=packet.target, sound=seen.sound)
        return _read(read_packet(segment.payload[4 + options * 4 :]), inside, 0, pieces)
    return seen


def _read_icmp(packet: Packet, so_far: Seen) -> Seen | None:
    body, covered, mtu, quoted = packet.body, packet.body, 0, ""
    kind, code = body[0], body[1]
    if packet.number == 58:
        if 130 <= kind <= 143:
            return None
        covered = pseudo_header(packet.source, packet.target, 58, len(body)) + body
        error = kind < 128
        mtu = struct.unpack_from("!I", body, 4)[0] if kind == 2 else 0
    else:
        error = kind in (3, 4, 5, 11, 12)
        mtu = struct.unpack_from("!H", body, 6)[0] if (kind, code) == (3, 4) else 0
    if error:
        inside = read_packet(body[8:])
        ports = struct.unpack_from("!HH", inside.body) if inside.number in WORDS and len(inside.body) >= 4 else (0, 0)
        ends = [
            str(Endpoint(address=address, port=port))
            for address, port in zip((inside.source, inside.target), ports, strict=True)
        ]
        quoted = f"{WORDS.get(inside.number, inside.number)} {ends[0]} > {ends[1]}"
    sound = so_far.sound and ones_complement(covered) == 0
    return replace(so_far, icmp=(kind, code), mtu=mtu, quoted=quoted, sound=sound)


def _read_transport(packet: Packet, so_far: Seen) -> Seen:
    body = packet.body
    source_port, target_port = struct.unpack_from("!HH", body)
    word, payload, sound, summed = "", b"", so_far.sound, True
    sequence, acknowledged = 1, 1
    if packet.number == 132:
        word = CHUNK_WORDS.get(body[12], str(body[12]))
        sound = sound and struct.unpack_from("<I", body, 8)[0] == crc32c(body[:8] + b"\0\0\0\0" + body[12:])
    else:
        if packet.number == 6:
            word, payload = tcp_word(body[13]), body[(body[12] >> 4) * 4 :]
            sequence, acknowledged = struct.unpack_from("!II", body, 4)
        else:
            payload, summed = body[8:], body[6:8] != b"\0\0"
        covered = pseudo_header(packet.source, packet.target, packet.number, len(body)) + body
        sound = sound and (not summed or ones_complement(covered) == 0)
    segment = Segment(
        protocol=WORDS[packet.number],
        source=Endpoint(address=packet.source, port=source_port),
        target=Endpoint(address=packet.target, port=target_port),
        word=word,
        payload=payload,
        ttl=packet.ttl,
        sequence=sequence,
        acknowledged=acknowledged,
    )
    return replace(so_far, segment=segment, sound=sound, summed=summed)
