"""The TCP check against small servers on loopback."""

import asyncio
import contextlib
import os
import resource
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest
from tests.unit.monitor.carrying import carried

from piranha.base.clock import MonotonicClock
from piranha.model.check import Probe
from piranha.model.service import Protocol
from piranha.monitor.checks.kinds import conversation_of
from piranha.monitor.outcome import CheckImpossibleError, Outcome
from piranha.monitor.probes.wire import Wire

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(serve: Serve, host: str = "127.0.0.1") -> AsyncIterator[int]:
    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(guarded, host, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def check(port: int, *, host: str = "127.0.0.1", timeout_s: float = 0.3, **more: object) -> Outcome:
    probe = Probe(
        address=ip_address(host),
        port=port,
        protocol=Protocol.TCP,
        timeout_s=timeout_s,
        **more,  # type: ignore[arg-type]
    )
    return await carried(probe)


def saying(*parts: bytes, pause_s: float = 0.0, then_hold: bool = False) -> Serve:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause_s)
        if then_hold:
            await asyncio.sleep(5)

    return serve


async def http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    request = await reader.readuntil(b"\r\n\r\n")
    assert request == b"GET / HTTP/1.0\r\n\r\n"
    writer.write(b"HTTP/1.0 200 OK\r\n\r\nhello")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_http_as_in_the_article(host: str) -> None:
    async with serving(http, host) as port:
        outcome = await check(port, host=host, send=b"GET / HTTP/1.0\r\n\r\n", expect=b"HTTP")
    assert (outcome.ok, outcome.reason) == (True, "answered as expected")
    assert 0 < outcome.duration_s < 0.3


async def test_connect_alone_is_enough_when_nothing_is_set() -> None:
    async with serving(saying(then_hold=True)) as port:
        outcome = await check(port)
    assert (outcome.ok, outcome.reason) == (True, "connected")


async def test_connect_alone_leaves_no_connection_in_time_wait() -> None:
    async with serving(saying(then_hold=True)) as port:
        for _ in range(5):
            await check(port)
    listing = Path("/proc/net/tcp").read_text()  # noqa: ASYNC240
    time_wait = "06"
    assert not [line for line in listing.splitlines() if f":{port:04X} {time_wait} " in line.upper()]


async def test_closed_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    outcome = await check(port, expect=b"HTTP")
    assert (outcome.ok, outcome.reason, outcome.answered) == (False, "connection refused", True)


async def test_silent_server() -> None:
    """F3: it accepts (the kernel does) and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        outcome = await check(silent.getsockname()[1], send=b"x", expect=b"HTTP")
    assert time.monotonic() - began < 0.3 + 0.1
    assert not outcome.ok
    assert not outcome.answered
    assert outcome.reason.startswith("connected, no answer within 0.3 s")


async def test_full_backlog_is_a_connect_that_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as stack:
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        outcome = await check(full.getsockname()[1])
    assert (outcome.ok, outcome.answered) == (False, False)
    assert outcome.reason == "CONNECT timed out after 0.3 s"


async def test_reset() -> None:
    async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with serving(reset) as port:
        outcome = await check(port, expect=b"HTTP")
    assert (outcome.ok, outcome.reason, outcome.answered) == (False, "connected, then connection reset", True)


async def test_an_answer_in_split_segments() -> None:
    async with serving(saying(b"H", b"T", b"TP/1.0", pause_s=0.03)) as port:
        assert (await check(port, expect=b"HTTP")).ok


async def test_one_byte_at_a_time_beyond_the_deadline() -> None:
    """One deadline for everything: bytes that trickle in do not prolong it."""
    async with serving(saying(*[b"x"] * 100, pause_s=0.05)) as port:
        began = time.monotonic()
        outcome = await check(port, expect=b"x" * 100)
    assert time.monotonic() - began < 0.3 + 0.1
    assert outcome.reason.startswith("connected, no matching answer within 0.3 s")


async def test_too_short() -> None:
    async with serving(saying(b"HT")) as port:
        outcome = await check(port, expect=b"HTTP")
    assert (outcome.ok, outcome.answered) == (False, True)
    assert outcome.reason == "too short: 2 of 4 bytes, then closed"


async def test_garbage() -> None:
    async with serving(saying(os.urandom(100_000))) as port:
        assert not (await check(port, expect=b"HTTP/1.0 200")).ok
        assert not (await check(port, expect=b"^HTTP/1[.][01] 200", use_regex=True)).ok


async def test_an_endless_body_is_read_up_to_the_bound() -> None:
    sent = 0

    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while True:
            writer.write(b"x" * 65536)
            sent += 65536
            await writer.drain()

    async with serving(endless) as port:
        outcome = await check(port, expect=b"needle", use_regex=True, timeout_s=2)
    assert outcome.reason.startswith("no match in 65536 bytes that begin with 'xxxx")
    assert outcome.duration_s < 1


async def test_anything_takes_data_a_close_and_not_silence() -> None:
    async with serving(saying(b"x", then_hold=True)) as port:
        assert (await check(port, expect_any=True)).ok
        assert (await check(port, expect=b"")).ok
    async with serving(saying()) as port:
        assert (await check(port, expect_any=True)).ok
        assert (await check(port, expect=b"")).ok
    async with serving(saying(then_hold=True)) as port:
        assert not (await check(port, expect=b"", timeout_s=0.1)).ok


async def test_pattern_in_a_greeting_that_stays_open() -> None:
    async with serving(saying(b"220 mail.", b"example.com ESMTP\r\n", pause_s=0.03, then_hold=True)) as port:
        assert (await check(port, expect=rb"^220 .*ESMTP", use_regex=True)).ok


async def test_send_without_expect_is_sent() -> None:
    got: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def collect(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        got.set_result(await reader.read(100))

    async with serving(collect) as port:
        assert (await check(port, send=b"hello")).ok
        assert await asyncio.wait_for(got, 1) == b"hello"


async def test_a_big_request_to_a_server_that_does_not_read() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        outcome = await check(deaf.getsockname()[1], send=b"x" * 20_000_000, expect=b"HTTP")
    assert not outcome.ok
    assert outcome.duration_s < 0.5


async def test_no_route() -> None:
    """The kernel connects to no broadcast address, on any machine."""
    outcome = await check(80, host="255.255.255.255")
    assert (outcome.ok, outcome.reason, outcome.answered) == (False, "network unreachable", False)


async def test_a_bad_pattern_and_a_missing_interface_are_our_own_trouble() -> None:
    with pytest.raises(CheckImpossibleError, match="regular expression"):
        await check(80, expect=b"(", use_regex=True)
    with pytest.raises(CheckImpossibleError, match="no interface nosuch0"):
        await check(80, host="fe80::1%nosuch0")


async def test_no_descriptors_left_is_our_own_trouble() -> None:
    async with serving(http) as port:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        ended: list[object] = []
        wire = Wire(MonotonicClock(), lambda probe, began_at, result: ended.append(result), conversation_of)
        wire.open()
        lowest_free = os.dup(0)
        os.close(lowest_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
        probe = Probe(address=ip_address("127.0.0.1"), port=port, protocol=Protocol.TCP, timeout_s=1)
        try:
            wire.start(probe, MonotonicClock().now())
            assert isinstance(ended[0], CheckImpossibleError)
            assert "no file descriptors left" in str(ended[0])
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            wire.close()


async def test_no_descriptor_is_leaked() -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        await asyncio.gather(*(check(port, expect=b"x", timeout_s=0.05) for _ in range(20)))
        cancelled = asyncio.ensure_future(check(port, expect=b"x", timeout_s=5))
        await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
