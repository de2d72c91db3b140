"""Servers that say what a script tells them, and a check by the block's text."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address

from tests.unit.monitor.carrying import carried

from piranha.config.names import FixedNames
from piranha.config.parser import parse
from piranha.model.check import Probe
from piranha.model.configuration import RealServer
from piranha.monitor.outcome import Outcome
from piranha.monitor.rules import target_of

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Reply = Callable[[bytes], bytes | None]


def probe_of_block(kind: str, directives: str, *, port: int, host: str = "127.0.0.1", within: str = "3s") -> Probe:
    """The probe that a `check` block of an lvs.cf asks of a server."""
    text = f"virtual v {{\nprotocol = tcp\ntimeout = {within}\ncheck {kind} {{\n{directives}\n}}\n}}\n"
    parsed = parse(text, names=FixedNames())
    assert parsed.errors == ()
    server = RealServer(name="s", address=ip_address(host), port=port)
    return target_of(parsed.configuration.virtuals[0], server).checks[0].probe


async def check(kind: str, directives: str, *, port: int, host: str = "127.0.0.1", within: str = "3s") -> Outcome:
    return await carried(probe_of_block(kind, directives, port=port, host=host, within=within))


@asynccontextmanager
async def serving(serve: Serve, host: str = "127.0.0.1", **options: object) -> AsyncIterator[int]:
    """A TCP server; `options` as `asyncio.start_server` takes them."""
    tasks: set[asyncio.Task[None]] = set()

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(guarded, host, 0, **options)  # type: ignore[arg-type]
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()


def lines(*script: tuple[str, str] | str) -> Serve:
    """Speaks lines: a text is said, a pair is a line that is waited for and the answer to it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for step in script:
            if isinstance(step, str):
                writer.write(step.encode())
                continue
            heard = (await reader.readline()).decode().rstrip("\r\n")
            assert heard.startswith(step[0]), f"{heard!r} instead of {step[0]!r}"
            writer.write(step[1].encode())
        await reader.read()

    return serve


@asynccontextmanager
async def answering(reply: Reply, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """A UDP server that answers each datagram; None is silence."""

    gone = asyncio.Event()

    class Server(asyncio.DatagramProtocol):
        def connection_lost(self, exc: Exception | None) -> None:
            gone.set()

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            answer = reply(data)
            if answer is not None:
                self.transport.sendto(answer, addr)  # type: ignore[attr-defined]

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Server, local_addr=(host, 0))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()
        await gone.wait()
