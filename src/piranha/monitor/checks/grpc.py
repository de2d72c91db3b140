"""The gRPC check: the health service must say SERVING (grpc.health.v1 over HTTP/2, RFC 9113).

Only frames are read. Headers come compressed and are not needed: health stands in the message.
"""

from __future__ import annotations

import struct
from collections.abc import Generator

from piranha.model.check import Probe
from piranha.monitor.checks.lines import perhaps_secured
from piranha.monitor.conversation import Conversation, Found, Inbox, Reconnect, WrongAnswer

MAX_FRAME_BYTES = 16_384
_MAX_FRAMES = 200

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY = 0, 1, 3, 4, 6, 7
_END_STREAM, _ACK, _END_HEADERS, _PADDED = 1, 1, 4, 8
_STATES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
_PATH = b"/grpc.health.v1.Health/Check"


def converse(probe: Probe, token: bytes) -> Conversation:
    return perhaps_secured(probe, _talk(probe))


def _talk(probe: Probe) -> Conversation:
    inbox = Inbox()
    send = _request(probe)
    message = b""
    for _ in range(_MAX_FRAMES):
        kind, flags, stream, payload = yield from _frame(inbox, send)
        send = b""
        if kind == _SETTINGS and not flags & _ACK:
            send = _framed(_SETTINGS, _ACK, 0)
        elif kind == _PING and not flags & _ACK:
            send = _framed(_PING, _ACK, 0, payload)
        elif kind == _GOAWAY:
            raise WrongAnswer("goes away")
        elif stream == 1 and kind == _RST_STREAM:
            raise WrongAnswer("breaks the call off")
        elif stream == 1 and kind in (_DATA, _HEADERS):
            if kind == _DATA:
                message += _unpadded(flags, payload)
                state = _state_in(message)
                if state is not None:
                    if state == 1:
                        return Found("SERVING")
                    raise WrongAnswer(_STATES.get(state, f"health {state}"))
            if flags & _END_STREAM:
                raise WrongAnswer("answers without a health: no health service there, or no such service")
    raise WrongAnswer(f"more than {_MAX_FRAMES} frames without an answer")


def _request(probe: Probe) -> bytes:
    options = probe.options
    assert options is not None
    service = (options.service or "").encode("utf-8", "surrogateescape")
    host = (options.host or options.sni or str(probe.address)).encode("utf-8", "surrogateescape")
    headers = bytes((0x83, 0x87 if options.tls else 0x86, 0x04)) + _string(_PATH) + b"\x01" + _string(host)
    headers += b"\x00" + _string(b"content-type") + _string(b"application/grpc")
    headers += b"\x00" + _string(b"te") + _string(b"trailers")
    body = b"\x0a" + _varint(len(service)) + service if service else b""
    data = struct.pack("!BI", 0, len(body)) + body
    return (
        _PREFACE
        + _framed(_SETTINGS, 0, 0)
        + _framed(_HEADERS, _END_HEADERS, 1, headers)
        + _framed(_DATA, _END_STREAM, 1, data)
    )


def _frame(inbox: Inbox, send: bytes) -> Generator[bytes | Reconnect, bytes, tuple[int, int, int, bytes]]:
    head = yield from inbox.exactly(9, send)
    length = int.from_bytes(head[:3], "big")
    if length > MAX_FRAME_BYTES:
        raise WrongAnswer("no HTTP/2 frame, or one that is too long")
    payload = yield from inbox.exactly(length)
    return head[3], head[4], int.from_bytes(head[5:9], "big") & 0x7FFFFFFF, payload


def _framed(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _unpadded(flags: int, payload: bytes) -> bytes:
    if not flags & _PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise WrongAnswer("a padded frame that is all padding")
    return payload[1 : len(payload) - payload[0]]


def _state_in(message: bytes) -> int | None:
    """The health in a response, None while it is not whole."""
    if len(message) < 5:
        return None
    compressed, length = struct.unpack_from("!BI", message)
    if compressed or length > MAX_FRAME_BYTES:
        raise WrongAnswer("a health that cannot be read")
    if len(message) < 5 + length:
        return None
    state, rest = 0, message[5 : 5 + length]
    while rest:
        key, rest = _read_varint(rest)
        if key & 7 == 0:
            value, rest = _read_varint(rest)
            state = value if key >> 3 == 1 else state
        elif key & 7 == 2:
            size, rest = _read_varint(rest)
            rest = rest[size:]
        else:
            raise WrongAnswer("a health that cannot be read")
    return state


def _read_varint(data: bytes) -> tuple[int, bytes]:
    value = 0
    for at, byte in enumerate(data[:10]):
        value |= (byte & 0x7F) << (7 * at)
        if byte < 0x80:
            return value, data[at + 1 :]
    raise WrongAnswer("a health that cannot be read")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def _string(text: bytes) -> bytes:
    """A literal of HPACK, not compressed (RFC 7541 section 5)."""
    size = len(text)
    return (bytes((size,)) if size < 0x7F else b"\x7f" + _varint(size - 0x7F)) + text
