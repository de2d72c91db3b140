"""The engine with real checks against small servers on loopback."""

import asyncio
import contextlib
import logging
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest

from piranha.base.clock import MonotonicClock
from piranha.model.check import Probe, VerdictRules
from piranha.model.check_block import CheckKind
from piranha.model.health import Health
from piranha.model.service import DestinationKey, Protocol, ServiceKey
from piranha.monitor.checks import tcp
from piranha.monitor.checks.kinds import CONVERSATIONS
from piranha.monitor.conversation import Conversation
from piranha.monitor.engine import MAX_SOCKETS_IN_FLIGHT, Nanny, Target, TargetKey
from piranha.monitor.target import Check

VIP = ServiceKey(protocol=Protocol.TCP, address=ip_address("10.0.0.100"), port=80)


class WebFarm:
    """One HTTP server behind every address of 127.0.0.0/8; each address can be told to be silent."""

    def __init__(self) -> None:
        self.silent: set[str] = set()
        self.delay_s = 0.0
        self.asked: Counter[str] = Counter()
        self.open = 0
        self.most_open = 0
        self.port = 0

    @asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._serve, "0.0.0.0", port, backlog=4096)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self.port
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host = writer.get_extra_info("sockname")[0]
        self.asked[host] += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            if host not in self.silent:
                writer.write(b"HTTP/1.0 200 OK\r\n\r\n")
            else:
                await reader.read()
        self.open -= 1
        writer.close()


class Watcher:
    """A running nanny with everything it has said."""

    def __init__(self, **options: str) -> None:
        self.said: list[tuple[TargetKey, Health, str]] = []
        self.nanny = Nanny(MonotonicClock(), lambda *change: self.said.append(change), **options)

    @asynccontextmanager
    async def running(self, targets: dict[TargetKey, Target]) -> AsyncIterator["Watcher"]:
        self.nanny.set_targets(targets)
        task = asyncio.create_task(self.nanny.run())
        try:
            yield self
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def healths(self) -> list[Health]:
        return [status.health for status in self.nanny.statuses()]

    async def until(self, condition: Callable[[], bool], within_s: float = 5.0) -> None:
        end = time.monotonic() + within_s
        while not (holds := condition()) and time.monotonic() < end:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        assert holds, f"not within {within_s} s: {self.nanny.overview()} {self.nanny.statuses()[:5]}"


def key(host: str, port: int, vip: ServiceKey = VIP) -> TargetKey:
    return TargetKey(service=vip, destination=DestinationKey(address=ip_address(host), port=port))


def web(host: str, port: int, *, interval_s: float = 0.1, timeout_s: float = 0.5, rise: int = 1) -> Target:
    probe = Probe(
        address=ip_address(host),
        port=port,
        protocol=Protocol.TCP,
        timeout_s=timeout_s,
        send=b"GET / HTTP/1.0\r\n\r\n",
        expect=b"HTTP",
    )
    return Target(checks=(Check(probe=probe, rules=VerdictRules(interval_s=interval_s, rise=rise)),))


def farm_of(port: int, hosts: list[str], **options: float) -> dict[TargetKey, Target]:
    return {key(host, port): web(host, port, **options) for host in hosts}  # type: ignore[arg-type]


async def test_a_web_server_is_stopped_and_returns(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="piranha.monitor")
    one, two = WebFarm(), WebFarm()
    async with two.serving() as stays, contextlib.AsyncExitStack() as stack:
        stopping = await stack.enter_async_context(contextlib.AsyncExitStack())
        port = await stopping.enter_async_context(one.serving())
        targets = {key("127.0.0.1", port): web("127.0.0.1", port), key("127.0.0.2", stays): web("127.0.0.2", stays)}
        async with Watcher().running(targets) as watcher:
            began = time.monotonic()
            await watcher.until(lambda: watcher.healths() == [Health.UP, Health.UP])
            assert time.monotonic() - began < 0.3, "first checks are at once (F12)"
            await stopping.aclose()
            stopped = time.monotonic()
            await watcher.until(lambda: watcher.healths() == [Health.DOWN, Health.UP])
            assert time.monotonic() - stopped < 0.1 * 1.5 + 0.1
            async with one.serving(port):
                await watcher.until(lambda: watcher.healths() == [Health.UP, Health.UP])
    assert [(k.destination.port == port, health) for k, health, _ in watcher.said[2:]] == [
        (True, Health.DOWN),
        (True, Health.UP),
    ]
    assert watcher.said[2][2] in {"connection refused", "connected, then connection reset", "closed without an answer"}
    assert f"[ active ] making 127.0.0.1:{port} available" in caplog.text
    assert f"[inactive] shutting down 127.0.0.1:{port} due to connection failure" in caplog.text
    assert f"starting LVS client monitor for tcp 10.0.0.100:80 -> 127.0.0.1:{port}" in caplog.text


async def test_two_thousand_targets_bounded_in_flight_and_nobody_wrongly_down() -> None:
    farm = WebFarm()
    hosts = [f"127.1.{n // 250}.{n % 250 + 1}" for n in range(2000)]
    descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    async with farm.serving() as port:
        async with Watcher().running(farm_of(port, hosts, interval_s=2, timeout_s=2)) as watcher:
            await watcher.until(lambda: watcher.healths() == [Health.UP] * 2000, within_s=60)
            await watcher.until(lambda: min(farm.asked.values()) >= 2, within_s=60)
            overview = watcher.nanny.overview()
            assert (overview.targets, overview.checks) == (2000, 2000)
        assert farm.most_open <= MAX_SOCKETS_IN_FLIGHT
        assert [health for _, health, _ in watcher.said] == [Health.UP] * 2000
    await watcher.until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors, within_s=60)  # noqa: PTH208


async def test_one_check_for_all_virtual_servers_that_share_it() -> None:
    farm = WebFarm()
    async with farm.serving() as port:
        vips = [ServiceKey(protocol=Protocol.TCP, address=ip_address(f"10.9.0.{n}"), port=80) for n in range(200)]
        targets = {key("127.0.0.1", port, vip): web("127.0.0.1", port, interval_s=30) for vip in vips}
        async with Watcher().running(targets) as watcher:
            await watcher.until(lambda: watcher.healths() == [Health.UP] * 200)
    assert sum(farm.asked.values()) <= 2


async def test_a_stall_of_our_own_takes_nobody_out() -> None:
    """The deadline passes while we are not running: nothing is learnt (F10)."""
    farm = WebFarm()
    farm.delay_s = 0.05
    async with farm.serving() as port:
        targets = farm_of(port, ["127.0.0.1", "127.0.0.2"], interval_s=0.2, timeout_s=0.2)
        async with Watcher().running(targets) as watcher:
            await watcher.until(lambda: watcher.healths() == [Health.UP] * 2)
            for _ in range(20):
                # An answer that came while we stalled counts, so not every stall voids a check.
                await watcher.until(lambda: farm.open > 0)
                time.sleep(0.4)  # noqa: ASYNC251
                await asyncio.sleep(0.05)
                if watcher.nanny.overview().voids > 2:
                    break
            assert watcher.nanny.overview().voids > 0
            asked = sum(farm.asked.values())
            await watcher.until(lambda: sum(farm.asked.values()) > asked + 2)
            assert watcher.nanny.overview().stalls > 0
    assert [health for _, health, _ in watcher.said] == [Health.UP] * 2


async def test_our_own_link_fails_and_verdicts_freeze(caplog: pytest.LogCaptureFixture) -> None:
    farm = WebFarm()
    hosts = [f"127.0.0.{n}" for n in range(1, 6)]
    async with (
        farm.serving() as port,
        Watcher().running(farm_of(port, hosts, interval_s=0.3, timeout_s=0.25)) as watcher,
    ):
        await watcher.until(lambda: watcher.healths() == [Health.UP] * 5)
        farm.silent |= set(hosts)
        await watcher.until(lambda: watcher.nanny.overview().panic)
        assert watcher.healths() == [Health.UP] * 5
        farm.silent.clear()
        await watcher.until(lambda: not watcher.nanny.overview().panic)
        assert watcher.healths() == [Health.UP] * 5
    assert "panic: verdicts are frozen" in caplog.text


async def test_servers_that_stay_silent_go_out_after_the_freeze() -> None:
    farm = WebFarm()
    hosts = [f"127.0.0.{n}" for n in range(1, 5)]
    async with (
        farm.serving() as port,
        Watcher().running(farm_of(port, hosts, interval_s=0.2, timeout_s=0.15)) as watcher,
    ):
        await watcher.until(lambda: watcher.healths() == [Health.UP] * 4)
        farm.silent |= set(hosts[:3])
        await watcher.until(lambda: watcher.nanny.overview().panic)
        await watcher.until(lambda: watcher.healths() == [Health.DOWN] * 3 + [Health.UP])


async def test_forced_by_hand_and_released() -> None:
    farm = WebFarm()
    async with farm.serving() as port:
        target = key("127.0.0.1", port)
        async with Watcher().running(farm_of(port, ["127.0.0.1"], rise=50)) as watcher:
            await watcher.until(lambda: watcher.healths() == [Health.UP])
            watcher.nanny.force_down(target)
            assert watcher.healths() == [Health.DOWN]
            await watcher.until(lambda: watcher.nanny.overview().in_flight == 0)
            asked = sum(farm.asked.values())
            await asyncio.sleep(0.25)
            assert sum(farm.asked.values()) == asked, "checking is suspended"
            watcher.nanny.release(target)
            await watcher.until(lambda: watcher.healths() == [Health.UP], within_s=0.5)
            farm.silent.add("127.0.0.1")
            watcher.nanny.force_up(target)
            await asyncio.sleep(0.2)
            assert watcher.healths() == [Health.UP]
            with pytest.raises(KeyError):
                watcher.nanny.force_up(key("127.0.0.9", port))


async def test_targets_come_and_go_while_running() -> None:
    farm = WebFarm()
    async with farm.serving() as port, Watcher().running({}) as watcher:
        watcher.nanny.set_targets(farm_of(port, ["127.0.0.1", "127.0.0.2"]))
        await watcher.until(lambda: watcher.healths() == [Health.UP] * 2)
        before = watcher.nanny.status(key("127.0.0.2", port))
        watcher.nanny.set_targets(farm_of(port, ["127.0.0.2", "127.0.0.3"]))
        assert watcher.nanny.status(key("127.0.0.2", port)).since_at == before.since_at
        await watcher.until(lambda: watcher.healths() == [Health.UP] * 2)
        asked = farm.asked["127.0.0.1"]
        await watcher.until(lambda: farm.asked["127.0.0.3"] >= 4)
        assert farm.asked["127.0.0.1"] == asked
        assert len(watcher.said) == 3


async def test_status_says_what_was_found() -> None:
    farm = WebFarm()
    async with farm.serving() as port:
        watcher = Watcher()
        watcher.nanny.set_targets(farm_of(port, ["127.0.0.1"]))
        (before,) = watcher.nanny.statuses()
        assert (before.health, before.last_ok, before.last_reason) == (Health.UNKNOWN, None, "not checked yet")
        async with watcher.running(farm_of(port, ["127.0.0.1"])):
            await watcher.until(lambda: watcher.healths() == [Health.UP])
            status = watcher.nanny.status(key("127.0.0.1", port))
    assert (status.last_ok, status.last_reason, status.successes, status.failures) == (
        True,
        "answered as expected",
        1,
        0,
    )
    assert status.last_duration_s is not None
    assert 0 < status.last_duration_s < 0.5
    assert status.next_check_at is not None
    assert status.since_at == status.last_at


async def test_a_check_that_crashes_ends_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """F15, F16: the original's director went down with its first broken monitor."""
    real = tcp.converse

    def crashing(probe: Probe, token: bytes) -> Conversation:
        if probe.address == ip_address("127.0.0.1"):
            raise ZeroDivisionError("a bug of ours")
        return real(probe, token)

    monkeypatch.setitem(CONVERSATIONS, CheckKind.TCP, crashing)
    farm = WebFarm()
    async with farm.serving() as port, Watcher().running(farm_of(port, ["127.0.0.1", "127.0.0.2"])) as watcher:
        await watcher.until(lambda: watcher.healths() == [Health.UNKNOWN, Health.UP])
        assert "ZeroDivisionError" in watcher.nanny.status(key("127.0.0.1", port)).trouble
        await watcher.until(lambda: farm.asked["127.0.0.2"] >= 3)
    assert "check crashed" in caplog.text


async def test_a_check_that_is_impossible_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    probe = Probe(
        address=ip_address("127.0.0.1"), port=1, protocol=Protocol.TCP, timeout_s=1, expect=b"(", use_regex=True
    )
    target = Target(checks=(Check(probe=probe, rules=VerdictRules(interval_s=0.05, rise=1)),))
    async with Watcher().running({key("127.0.0.1", 1): target}) as watcher:
        await watcher.until(lambda: watcher.nanny.overview().voids >= 3)
        assert watcher.healths() == [Health.UNKNOWN]
    assert caplog.text.count("cannot check, verdict kept") == 1
    assert watcher.said == []


async def test_programs_and_udp_run_in_the_same_engine(tmp_path: Path) -> None:
    def target(**more: object) -> Target:
        fields = {"address": ip_address("127.0.0.1"), "port": 9, "protocol": Protocol.TCP, "timeout_s": 2.0, **more}
        probe = Probe(**fields)  # type: ignore[arg-type]
        return Target(checks=(Check(probe=probe, rules=VerdictRules(interval_s=0.2, rise=1)),))

    class Echo(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            self.transport.sendto(data, addr)  # type: ignore[attr-defined]

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    targets = {
        key("127.0.0.1", 1): target(program=("/bin/true",)),
        key("127.0.0.1", 2): target(program=("/bin/false",)),
        key("127.0.0.1", 3): target(program=("/bin/echo", "%h:", "%p"), expect=b"127.0.0.1: 9"),
        key("127.0.0.1", 4): target(protocol=Protocol.UDP, port=port, send=b"ping", expect=b"ping"),
    }
    expected = [Health.UP, Health.DOWN, Health.DOWN, Health.UP]
    async with Watcher().running(targets) as watcher:
        await watcher.until(lambda: watcher.healths() == expected)
        assert watcher.nanny.statuses()[2].last_reason == "printed '%h: 9'"
    transport.close()
    assert not Path(f"/proc/self/task/{os.getpid()}/children").read_text()  # noqa: ASYNC240


async def test_cancelled_in_the_middle_and_run_again() -> None:
    farm = WebFarm()
    farm.silent.add("127.0.0.1")
    async with farm.serving() as port:
        watcher = Watcher()
        targets = farm_of(port, ["127.0.0.1", "127.0.0.2"], timeout_s=5)
        for _ in range(2):
            async with watcher.running(targets):
                await watcher.until(lambda: farm.open > 0 and watcher.healths()[1] is Health.UP)
                with pytest.raises(RuntimeError, match="running already"):
                    await watcher.nanny.run()
            assert watcher.nanny.overview().in_flight == 0
            await watcher.until(lambda: farm.open == 0)
        farm.silent.clear()
        async with watcher.running(targets):
            await watcher.until(lambda: watcher.healths() == [Health.UP] * 2)
    assert {task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("check ")} == set()


async def test_many_services_on_one_server_are_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="piranha.monitor")
    farm = WebFarm()
    async with farm.serving() as port:
        vips = [ServiceKey(protocol=Protocol.TCP, address=ip_address(f"10.9.0.{n}"), port=80) for n in range(150)]
        async with Watcher().running({key("127.0.0.1", port, vip): web("127.0.0.1", port) for vip in vips}) as watcher:
            await watcher.until(lambda: watcher.healths() == [Health.UP] * 150)
    active = [line for line in caplog.messages if line.startswith("[ active ]")]
    assert active == [
        f"[ active ] making 127.0.0.1:{port} available service=tcp 10.9.0.0:80 services=150 reason=answered as expected"
    ]
    assert "starting LVS client monitors targets=150" in caplog.messages
