"""The load monitor with real sockets, files and commands: healthy, hanging, lying and dead sources."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from piranha.base.clock import MonotonicClock
from piranha.model.configuration import RealServer, VirtualServer
from piranha.model.service import DestinationKey, Protocol, ServiceKey
from piranha.monitor.load.ask import ask
from piranha.monitor.load.monitor import LoadMonitor, LoadStatus
from piranha.monitor.load.reading import LoadUnknownError, Reading
from piranha.monitor.load.source import LoadKind, LoadSource, source_of
from piranha.monitor.target import TargetKey

HERE = ip_address("127.0.0.1")


def source(kind: LoadKind, port: int = 0, interval_s: float = 30, **rest: object) -> LoadSource:
    return LoadSource(kind=kind, address=HERE, interval_s=interval_s, port=port, **rest)  # type: ignore[arg-type]


def key(number: int) -> TargetKey:
    service = ServiceKey(protocol=Protocol.TCP, address=ip_address("10.0.0.100"), port=80)
    return TargetKey(service=service, destination=DestinationKey(address=HERE, port=number))


class Rstatd(asyncio.DatagramProtocol):
    """Port mapper and rstatd behind one socket, which registers itself; the first `losing` datagrams are lost."""

    def __init__(self, losing: int = 0) -> None:
        self.losing = losing
        self.port = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str | bytes, int]) -> None:
        if self.losing:
            self.losing -= 1
            return
        xid, program = data[:4], struct.unpack(">I", data[12:16])[0]
        results = (self.other,) if program == 100000 else (*[0] * 18, 384, 0, 0, 0, 0, 0, 0, 0)
        self.transport.sendto(xid + struct.pack(f">{5 + len(results)}I", 1, 0, 0, 0, 0, *results), addr)

    other = 0


@asynccontextmanager
async def rstatd(losing: int = 0) -> AsyncIterator[int]:
    """The port mapper's port."""
    loop = asyncio.get_running_loop()
    mapper, found = await loop.create_datagram_endpoint(lambda: Rstatd(losing), local_addr=("127.0.0.1", 0))
    daemon, theirs = await loop.create_datagram_endpoint(Rstatd, local_addr=("127.0.0.1", 0))
    found.other = theirs.port
    yield found.port
    mapper.close()
    daemon.close()


@asynccontextmanager
async def saying(text: bytes, *, after: bytes = b"") -> AsyncIterator[int]:
    """A server that says this to whoever comes, once it was sent what ends with `after`."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if after:
            await reader.readuntil(after)
        writer.write(text)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("losing", [0, 1])
async def test_rup_asks_again_when_a_datagram_is_lost(losing: int) -> None:
    async with rstatd(losing) as port:
        assert await ask(source(LoadKind.RUP, port)) == Reading(average=1.5)


async def test_rup_to_nobody_says_so() -> None:
    async with saying(b"") as port:
        with pytest.raises(LoadUnknownError, match=r"(?i)refused"):
            await ask(source(LoadKind.RUP, port))


async def test_agent_and_http() -> None:
    async with saying(b"up 75%\nrest") as port:
        assert await ask(source(LoadKind.AGENT, port)) == Reading(percent=75, is_down=False)
    async with saying(b'HTTP/1.1 200 OK\r\nX: y\r\n\r\n{"load": 0.5}', after=b"\r\n\r\n") as port:
        assert await ask(source(LoadKind.HTTP, port, path="/", key="load")) == Reading(average=0.5)


@pytest.mark.parametrize(
    ("kind", "text", "why"),
    [
        (LoadKind.AGENT, b"x" * 200_000, "too long"),
        (LoadKind.AGENT, b"", "the agent said"),
        (LoadKind.HTTP, b"HTTP/1.1 500 No\r\n\r\n1", "status 500"),
        (LoadKind.HTTP, b"HTTP/1.1 200 OK\r\n\r\n" + b"1" * 200_000, "longer than"),
        (LoadKind.HTTP, b"\xff\xfe", "no HTTP"),
        (LoadKind.HTTP, b"HTTP/1.1 200 OK\r\n\r\n<html>", "no JSON"),
    ],
)
async def test_liars_are_named(kind: LoadKind, text: bytes, why: str) -> None:
    async with saying(text, after=b"\r\n\r\n" if kind is LoadKind.HTTP else b"") as port:
        with pytest.raises(LoadUnknownError, match=why):
            await ask(source(kind, port, path="/"))


async def test_commands_are_bounded_and_leave_nothing(tmp_path: Path) -> None:
    script = tmp_path / "load"

    def command(text: str) -> tuple[str, ...]:
        script.write_text("#!/bin/sh\n" + text)
        script.chmod(0o755)
        return (str(script), "10.0.0.1")

    good = source(LoadKind.COMMAND, command=command('echo "load average: 0.25, of $1"\n'))
    assert await ask(good) == Reading(average=0.25)
    with pytest.raises(LoadUnknownError, match="status 3"):
        await ask(source(LoadKind.COMMAND, command=command("exit 3\n")))
    with pytest.raises(LoadUnknownError, match="longer than"):
        await ask(source(LoadKind.COMMAND, command=command("yes\n")))
    left = tmp_path / "left"
    hanging = command(f"trap '' TERM\n(sleep 30; touch {left}) & echo $! > {tmp_path}/child; wait\n")
    with pytest.raises(LoadUnknownError, match="no answer within 2 s"):
        await ask(source(LoadKind.COMMAND, interval_s=2, command=hanging))
    await until(lambda: _is_gone((tmp_path / "child").read_text().strip()))
    with pytest.raises(LoadUnknownError, match="cannot run"):
        await ask(source(LoadKind.COMMAND, command=(str(tmp_path / "none"),)))


async def test_ruptime_reads_rwhods_files(tmp_path: Path) -> None:
    def write(age_s: float) -> None:
        whod = struct.pack("=BB2sII32s3II", 1, 1, b"", 0, int(time.time() - age_s), b"web1", 150, 0, 0, 0)
        (tmp_path / "whod.web1").write_bytes(whod)

    write(age_s=60)
    assert await ask(source(LoadKind.RUPTIME, name="web1"), tmp_path) == Reading(average=1.5)
    write(age_s=700)
    with pytest.raises(LoadUnknownError, match="the last time"):
        await ask(source(LoadKind.RUPTIME, name="web1"), tmp_path)
    with pytest.raises(LoadUnknownError, match=r"there is no .*whod\.web2"):
        await ask(source(LoadKind.RUPTIME, name="web2"), tmp_path)
    with pytest.raises(LoadUnknownError, match="no host name"):
        await ask(source(LoadKind.RUPTIME, name="../x"), tmp_path)


def _is_gone(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what a test waits for has no event
            await asyncio.sleep(0.01)


async def test_what_hangs_lies_or_crashes_changes_nothing_but_its_age() -> None:
    heard: list[tuple[TargetKey, LoadStatus]] = []
    answers: dict[int, list[object]] = {
        1: [0.5, 0.6],
        2: [0.5, "hang"],
        3: [0.5, LoadUnknownError("lies")],
        4: [ValueError("bug")],
    }
    asked: dict[int, int] = dict.fromkeys(answers, 0)

    async def scripted(source: LoadSource) -> Reading:
        said = answers[source.port][min(asked[source.port], len(answers[source.port]) - 1)]
        asked[source.port] += 1
        if isinstance(said, Exception):
            raise said
        if said == "hang":
            await asyncio.Event().wait()
        assert isinstance(said, float)
        return Reading(average=said)

    monitor = LoadMonitor(MonotonicClock(), lambda *one: heard.append(one), scripted)
    targets = {key(n): source(LoadKind.AGENT, n, interval_s=0.1) for n in answers}
    targets[key(9)] = targets[key(1)]
    monitor.set_targets(targets)
    work = asyncio.create_task(monitor.run())
    await until(lambda: asked[2] == 2 and asked[3] >= 3 and asked[4] >= 2 and asked[1] >= 3)
    statuses = {n: monitor.status(key(n)) for n in (*answers, 9)}
    assert [str(one.reading) for n, one in statuses.items() if one and n != 4] == [
        "load 0.60", "load 0.50", "load 0.50", "load 0.60"
    ]  # fmt: skip
    assert statuses[3] is not None
    assert statuses[4] is not None
    assert (statuses[3].trouble, statuses[4].trouble, statuses[4].reading) == (
        "lies",
        "internal error: ValueError",
        None,
    )
    assert {k for k, _ in heard} == {key(1), key(2), key(3), key(9)}, "a source is asked once for all who want it"
    monitor.set_targets({key(1): targets[key(1)]})
    assert monitor.status(key(2)) is None
    count = asked[1]
    await until(lambda: asked[1] > count)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work


@pytest.mark.parametrize(
    ("text", "kind", "port", "command"),
    [
        ("rup", LoadKind.RUP, 111, ()),
        ("ruptime", LoadKind.RUPTIME, 0, ()),
        ("uptime", LoadKind.UPTIME, 0, ("ssh", "-q", "127.0.0.1", "uptime")),
        ("agent", LoadKind.AGENT, 9777, ()),
        ("http", LoadKind.HTTP, 80, ()),
        ('"/bin/load -1"', LoadKind.COMMAND, 0, ("/bin/load", "-1", "127.0.0.1")),
        ('"/bin/load %h -1"', LoadKind.COMMAND, 0, ("/bin/load", "127.0.0.1", "-1")),
        ("command", LoadKind.COMMAND, 0, ("command", "127.0.0.1")),
    ],
)
def test_what_lvs_cf_means(text: str, kind: LoadKind, port: int, command: tuple[str, ...]) -> None:
    found = source_of(VirtualServer(name="v", load_monitor=text), RealServer(name="w", address=HERE), "ssh -q")
    assert found is not None
    assert (found.kind, found.port, found.command) == (kind, port, command)
    assert source_of(VirtualServer(name="v", load_monitor="none"), RealServer(name="w", address=HERE), "") is None
