"""One connection of the pair link, from the TLS handshake to its end."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable

from piranha.cluster.keys import Peer
from piranha.replication.frames import HEAD, FrameError, Hello, Kind, hello_frame, limit_of, pack, read_hello
from piranha.replication.tls import is_peer

BEAT_S = 1.0
SILENCE_S = 4.0
GREETING_S = 5.0
_FRAME_WITHIN_S = 20.0
_MOST_UNSENT_BYTES = 32 << 20


class Session:
    """A connection with the pair's other director, proven by its certificate. `remote` is its address."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, remote: str, hello: Hello) -> None:
        self._reader = reader
        self._writer = writer
        self.remote = remote
        self.hello = hello

    @staticmethod
    async def greet(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, remote: str, *, ours: Hello, peer: Peer
    ) -> Session:
        """Exchange the greetings. Raises `FrameError`, OSError, TimeoutError; the connection is then closed."""
        try:
            tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
            if not is_peer(tls.getpeercert(binary_form=True), peer.certificate):
                raise FrameError(f"the certificate at {remote} is not the pair's")
            writer.write(hello_frame(ours))
            async with asyncio.timeout(GREETING_S):
                kind, body = await _receive(reader)
            if kind != Kind.HELLO:
                raise FrameError("the other director does not greet")
            hello = read_hello(body)
            if hello.node != peer.node.hex():
                raise FrameError("the other director shows the pair's certificate and another node id")
        except BaseException:
            writer.transport.abort()
            raise
        return Session(reader, writer, remote, hello)

    def choose(self) -> None:
        """Of all that stand, the side that dialled uses this one."""
        self.send(pack(Kind.BEAT))

    async def chosen(self) -> None:
        """Wait for the other's `choose`; raises as `greet` does, and then closes."""
        try:
            async with asyncio.timeout(GREETING_S):
                kind, _ = await _receive(self._reader)
            if kind != Kind.BEAT:
                raise FrameError("the other director speaks out of turn")
        except BaseException:
            self.close()
            raise

    def send(self, frame: bytes) -> None:
        """Never blocks. A session whose other end takes nothing any more is given up."""
        if self._writer.transport.get_write_buffer_size() > _MOST_UNSENT_BYTES:
            self.close()
        elif not self._writer.is_closing():
            self._writer.write(frame)

    def close(self) -> None:
        self._writer.transport.abort()

    async def run(self, hear: Callable[[Kind, bytes], Awaitable[None]]) -> None:
        """Hand on what comes, and say that we are there, until it ends. Raises `FrameError`, OSError, TimeoutError."""
        beat = asyncio.create_task(self._beat(), name="pair link beat")
        try:
            while True:
                async with asyncio.timeout(SILENCE_S) as silence:
                    head = await self._reader.readexactly(HEAD.size)
                    silence.reschedule(asyncio.get_running_loop().time() + _FRAME_WITHIN_S)
                    kind, body = await _body(self._reader, head)
                if kind in tuple(Kind):
                    await hear(Kind(kind), body)
        except asyncio.IncompleteReadError:
            raise ConnectionResetError("the other director hung up") from None
        finally:
            beat.cancel()
            self.close()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            self.send(pack(Kind.BEAT))


async def _receive(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    try:
        return await _body(reader, await reader.readexactly(HEAD.size))
    except asyncio.IncompleteReadError:
        raise ConnectionResetError("the other director hung up") from None


async def _body(reader: asyncio.StreamReader, head: bytes) -> tuple[int, bytes]:
    kind, size = HEAD.unpack(head)
    if size > limit_of(kind):
        raise FrameError(f"a message of {size} bytes is longer than may be")
    return kind, await reader.readexactly(size)
