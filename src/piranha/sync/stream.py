"""A stream of bytes to the partner, and the frames on it: type, length, body.

Version 1. The listener (who dials) sends HELLO and ACK, the teller HELLO, ENTRIES, COMPLETE and MARK. ENTRIES are
datagrams of connection sync, one after the other.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Protocol

from piranha.base.errors import PiranhaError

VERSION = 1
_HEAD = struct.Struct("!BI")
_NUMBER = struct.Struct("!Q")
LONGEST_BODY = 64 * 1024
_DATAGRAM_SIZE = struct.Struct("!xxH")


class StreamError(PiranhaError):
    """The partner said something that it may not say."""


class Kind(IntEnum):
    HELLO = 1
    ENTRIES = 2
    COMPLETE = 3  # all that was there when the listener came has been told
    MARK = 4  # a number, to be acknowledged when all before it is in the listener's table
    ACK = 5


class ByteStream(Protocol):
    """Bytes in order, both ways. What secures them is not known here."""

    async def read_exactly(self, size: int) -> bytes:
        """Raises ConnectionError when the stream ends before."""
        ...

    async def write(self, data: bytes) -> None:
        """Returns when there is room for more. Raises ConnectionError."""
        ...

    def close(self) -> None: ...


class SocketStream:
    """A ByteStream on asyncio's streams, with or without TLS."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read_exactly(self, size: int) -> bytes:
        try:
            return await self._reader.readexactly(size)
        except asyncio.IncompleteReadError as error:
            raise ConnectionResetError("the partner closed the stream") from error

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def close(self) -> None:
        self._writer.transport.abort()


async def send(stream: ByteStream, kind: Kind, body: bytes = b"") -> None:
    await stream.write(_HEAD.pack(kind, len(body)) + body)


async def receive(stream: ByteStream, within_s: float) -> tuple[Kind, bytes]:
    """The next frame. Raises StreamError, ConnectionError, or TimeoutError when none came."""
    async with asyncio.timeout(within_s):
        kind, size = _HEAD.unpack(await stream.read_exactly(_HEAD.size))
        if size > LONGEST_BODY:
            raise StreamError(f"a frame of {size} bytes is longer than {LONGEST_BODY}")
        if kind not in tuple(Kind):
            raise StreamError(f"a frame has type {kind}")
        return Kind(kind), await stream.read_exactly(size) if size else b""


def pack_hello(role: str) -> bytes:
    return json.dumps({"version": VERSION, "role": role}).encode()


def unpack_hello(body: bytes) -> str:
    """The partner's role. Unknown fields are ignored. Raises StreamError."""
    try:
        document = json.loads(body)
        version, role = document["version"], document["role"]
    except (ValueError, KeyError, TypeError) as error:
        raise StreamError("the partner's greeting cannot be read") from error
    if not isinstance(version, int) or not isinstance(role, str):
        raise StreamError("the partner's greeting has fields of the wrong type")
    if version != VERSION:
        raise StreamError(f"the partner speaks version {version} of the stream, we speak {VERSION}")
    return role


def pack_number(number: int) -> bytes:
    return _NUMBER.pack(number)


def unpack_number(body: bytes) -> int:
    if len(body) != _NUMBER.size:
        raise StreamError(f"a number has {len(body)} bytes")
    return int(_NUMBER.unpack(body)[0])


def datagrams_of(body: bytes) -> Iterator[bytes]:
    """The datagrams of an ENTRIES frame; each says its own size. Raises StreamError."""
    at = 0
    while at < len(body):
        size = int(_DATAGRAM_SIZE.unpack_from(body, at)[0]) if len(body) - at >= _DATAGRAM_SIZE.size else 0
        if size < _DATAGRAM_SIZE.size or at + size > len(body):
            raise StreamError("a frame of entries is cut off")
        yield body[at : at + size]
        at += size
