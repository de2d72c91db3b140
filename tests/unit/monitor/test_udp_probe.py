"""The UDP check against small servers on loopback."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address

import pytest
from tests.unit.monitor.carrying import carried

from piranha.model.check import Probe
from piranha.model.service import Protocol
from piranha.monitor.outcome import Outcome


class Server:
    """Answers datagrams with `reply(datagram)`, an empty one too, which asyncio's own transports swallow."""

    def __init__(self, reply: Callable[[bytes], bytes | None], host: str) -> None:
        self.got: list[bytes] = []
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.socket.setblocking(False)
        self._reply = reply

    def on_readable(self) -> None:
        data, sender = self.socket.recvfrom(65536)
        self.got.append(data)
        if (reply := self._reply(data)) is not None:
            self.socket.sendto(reply, sender)


@asynccontextmanager
async def serving(reply: Callable[[bytes], bytes | None], host: str = "127.0.0.1") -> AsyncIterator[tuple[int, Server]]:
    server = Server(reply, host)
    loop = asyncio.get_running_loop()
    loop.add_reader(server.socket, server.on_readable)
    try:
        yield server.socket.getsockname()[1], server
    finally:
        loop.remove_reader(server.socket)
        server.socket.close()


async def check(port: int, *, host: str = "127.0.0.1", timeout_s: float = 0.2, **more: object) -> Outcome:
    probe = Probe(
        address=ip_address(host),
        port=port,
        protocol=Protocol.UDP,
        timeout_s=timeout_s,
        **more,  # type: ignore[arg-type]
    )
    return await carried(probe)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_echo(host: str) -> None:
    async with serving(lambda data: data, host) as (port, server):
        outcome = await check(port, host=host, send=b"ping", expect=b"pi")
    assert (outcome.ok, outcome.reason) == (True, "answered as expected")
    assert server.got == [b"ping"]


async def test_wrong_and_short_replies() -> None:
    async with serving(lambda _: b"nope") as (port, _):
        outcome = await check(port, send=b"x", expect=b"pong")
        assert (outcome.ok, outcome.reason, outcome.answered) == (False, "wrong answer 'nope'", True)
    async with serving(lambda _: b"po") as (port, _):
        assert (await check(port, send=b"x", expect=b"pong")).reason.startswith("too short: 2 of 4")
    async with serving(lambda _: b"") as (port, _):
        assert (await check(port, send=b"x", expect=b"pong")).reason == "an empty datagram as answer"


async def test_pattern_and_anything() -> None:
    async with serving(lambda _: b"status: ready 7") as (port, _):
        assert (await check(port, send=b"?", expect=b"ready [0-9]$", use_regex=True)).ok
        assert (await check(port, send=b"?", expect_any=True)).ok


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("expect", [None, b"pong"])
async def test_closed_port_is_down_at_once(host: str, expect: bytes | None) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as closed:
        closed.bind((host, 0))
        port = closed.getsockname()[1]
    outcome = await check(port, host=host, timeout_s=2, expect=expect)
    assert (outcome.ok, outcome.reason, outcome.answered) == (False, "port unreachable", True)
    assert outcome.duration_s < 1


async def test_silence_is_a_failure_only_with_expect() -> None:
    async with serving(lambda _: None) as (port, server):
        silent = await check(port, send=b"x", expect=b"pong")
        assert (silent.ok, silent.answered) == (False, False)
        assert "no answer within 0.2 s" in silent.reason
        assert not (await check(port, send=b"x", expect_any=True)).ok
        assert (await check(port)).ok
        assert server.got == [b"x", b"x", b""]


async def test_any_reply_is_enough_without_expect() -> None:
    """The original crashed here."""
    async with serving(lambda _: b"whatever") as (port, _):
        outcome = await check(port, timeout_s=5)
    assert outcome.ok
    assert outcome.duration_s < 1


async def test_what_we_may_not_send_is_not_the_servers_answer() -> None:
    outcome = await check(9, host="255.255.255.255", expect=b"x")
    assert (outcome.ok, outcome.answered) == (False, False)
