"""The pair link without sockets: a whole table over, changes after it, and partners that misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.sync.fake_table import FakeTable, connection
from tests.unit.sync.test_datagram import DIRECT

from piranha.base.clock import ManualClock
from piranha.sync import stream
from piranha.sync.copier import Copier
from piranha.sync.datagram import write
from piranha.sync.intake import Intake
from piranha.sync.role import PairRole
from piranha.sync.stream import ByteStream, Kind, SocketStream, StreamError
from piranha.sync.tally import Tally
from piranha.sync.teller import Teller

LONG_S = 30.0


class PipeEnd:
    """A ByteStream on two StreamReaders."""

    def __init__(self, ours: asyncio.StreamReader, theirs: asyncio.StreamReader) -> None:
        self._in, self._out = ours, theirs
        self._reading = SocketStream(ours, None)  # type: ignore[arg-type]

    async def read_exactly(self, size: int) -> bytes:
        return await self._reading.read_exactly(size)

    async def write(self, data: bytes) -> None:
        self._out.feed_data(data)
        await asyncio.sleep(0)

    def close(self) -> None:
        self._out.feed_eof()


def pipe() -> tuple[PipeEnd, PipeEnd]:
    first, second = asyncio.StreamReader(), asyncio.StreamReader()
    return PipeEnd(first, second), PipeEnd(second, first)


class Pair:
    """One director that tells and one that copies."""

    def __init__(self, *, mine: PairRole = PairRole.BACKUP, theirs: PairRole = PairRole.ACTIVE) -> None:
        self.source, self.copy = FakeTable(), FakeTable()
        self.clock = ManualClock()
        self.intake = Intake(self.copy, Tally(), self.clock)
        self.completed: list[int] = []
        here, there = pipe()
        self.teller = Teller(
            there, self.source.departures(_no_rule), Tally(), self.clock, peer="p", role=lambda: theirs.value
        )
        self.copier = Copier(here, self.intake, role=lambda: mine, greeted=lambda: None, complete=self.completed.append)
        self.ends = (here, there)

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(LONG_S):
            tasks = [asyncio.create_task(end.run()) for end in (self.teller, self.copier)]
            try:
                while not done():
                    for task in tasks:
                        if task.done():
                            task.result()
                    await asyncio.sleep(0.005)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)


def _no_rule(columns: object) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    raise AssertionError("the fake listener has no rule")


def run(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(work())  # type: ignore[arg-type]


def test_the_whole_table_and_then_each_change() -> None:
    async def work() -> None:
        pair = Pair()
        pair.source.put(np.concatenate([connection(port) for port in range(1000, 1100)]))
        await pair.until(lambda: bool(pair.completed))
        assert pair.completed == [100]
        assert pair.copy.states() == pair.source.states()
        assert pair.teller.view()["copied"]

    run(work)


def test_changes_while_it_runs_arrive() -> None:
    async def work() -> None:
        pair = Pair()
        pair.source.put(connection(1000))

        def done() -> bool:
            if pair.completed and len(pair.source.rows) == 1:
                pair.source.put(np.concatenate([connection(1000, state=4), connection(2000)]))
            return pair.copy.states() == {1000: 4, 2000: 1}

        await pair.until(done)

    run(work)


def test_the_listener_confirms_what_it_has() -> None:
    async def work() -> None:
        pair = Pair()
        pair.source.put(connection(1000))
        await pair.until(lambda: bool(pair.completed) and not pair.teller._marks and pair.teller.entries == 1)

    run(work)


@pytest.mark.parametrize(
    ("mine", "theirs", "state"),
    [
        (PairRole.BACKUP, PairRole.ACTIVE, 1),
        (PairRole.STANDALONE, PairRole.STANDALONE, 4),
        (PairRole.BACKUP, PairRole.BACKUP, 4),
    ],
)
def test_a_copy_replaces_what_is_here_only_when_it_is_the_original(
    mine: PairRole, theirs: PairRole, state: int
) -> None:
    async def work() -> None:
        pair = Pair(mine=mine, theirs=theirs)
        pair.copy.put(connection(1000, state=4))
        pair.source.put(connection(1000, state=1))
        await pair.until(lambda: bool(pair.completed))
        assert pair.copy.states() == {1000: state}

    run(work)


def test_what_was_copied_is_not_told_back() -> None:
    async def work() -> None:
        pair = Pair()
        back = pair.copy.departures(_no_rule)
        pair.intake.listeners.append(back)
        pair.source.put(connection(1000))
        await pair.until(lambda: bool(pair.completed))
        assert [piece for piece in back.pieces() if piece is not None] == []

    run(work)


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        (Kind.ENTRIES, DIRECT, "may not send ENTRIES"),
        (Kind.ACK, b"123", "a number has 3 bytes"),
    ],
)
def test_a_listener_that_misbehaves(kind: Kind, body: bytes, said: str) -> None:
    async def work() -> None:
        pair = Pair()
        here, _ = pair.ends
        await stream.send(here, Kind.HELLO, stream.pack_hello("backup"))
        await stream.send(here, kind, body)
        with pytest.raises(ExceptionGroup) as raised:
            await asyncio.wait_for(pair.teller.run(), LONG_S)
        (error,) = raised.value.exceptions
        assert said in str(error)

    run(work)


@pytest.mark.parametrize(
    "hello", [b"", b"{}", b"[1]", b'{"version": "1", "role": "x"}', b'{"version": 2, "role": "x"}', b"\xff"]
)
def test_greetings_that_cannot_be_read(hello: bytes) -> None:
    with pytest.raises(StreamError):
        stream.unpack_hello(hello)


def test_a_teller_that_leaves_is_noticed() -> None:
    async def work() -> None:
        pair = Pair()
        _, there = pair.ends
        there.close()
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(pair.copier.run(), LONG_S)

    run(work)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=200))
def test_rubbish_ends_a_session_and_nothing_else(data: bytes) -> None:
    async def work() -> None:
        pair = Pair()
        here, there = pair.ends
        await there.write(data)
        there.close()
        with suppress(StreamError, ConnectionError):
            await asyncio.wait_for(pair.copier.run(), LONG_S)
        here.close()

    run(work)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=100))
def test_a_frame_of_entries_is_cut_into_datagrams_or_refused(tail: bytes) -> None:
    whole = [datagram for datagram, _ in write(_entries(3), 0, 1024)]
    try:
        parts = list(stream.datagrams_of(b"".join(whole) + tail))
    except StreamError:
        assert tail
    else:
        assert b"".join(parts) == b"".join(whole) + tail


def _entries(count: int) -> object:
    from piranha.dataplane.exchange import Entries

    return Entries(np.concatenate([connection(port) for port in range(count)]))


def _is_stream(end: PipeEnd) -> ByteStream:
    """The type checker's proof."""
    return end
