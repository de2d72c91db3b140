"""Telling one partner by stream: first the whole table, then each change, without end.

There is no difference between the two: a listener who just came knows nothing, so everything is due.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from piranha.base.clock import Clock
from piranha.dataplane.ebpf.departures import Due
from piranha.sync import stream
from piranha.sync.datagram import write
from piranha.sync.stream import ByteStream, Kind, StreamError
from piranha.sync.tally import ListenerView, Tally
from piranha.sync.walk import Outgoing, Walker

_LONGEST_DATAGRAM = 16 * 1024
_MARK_EVERY_S = 1.0
_ACK_WITHIN_S = 10.0
MOST_UNCONFIRMED = 64
"""Marks on their way; a listener that confirms none of so many is gone."""


class Teller:
    """One session. `run` returns when the listener leaves, and raises ConnectionError, TimeoutError or StreamError."""

    def __init__(
        self, opened: ByteStream, outgoing: Outgoing, tally: Tally, clock: Clock, *, peer: str, role: Callable[[], str]
    ) -> None:
        self.copied = False
        self.entries = 0
        self._stream = opened
        self._outgoing = outgoing
        self._tally = tally
        self._clock = clock
        self._peer = peer
        self._role = role
        self._walker = Walker(outgoing)
        self._marks: deque[tuple[int, float]] = deque()
        self._confirmed_lag_s = 0.0

    def view(self) -> ListenerView:
        unconfirmed = self._clock.now() - self._marks[0][1] if self._marks else 0.0
        lag_s = self._walker.lag_s + max(unconfirmed, self._confirmed_lag_s)
        return ListenerView(peer=self._peer, entries=self.entries, lag_s=round(lag_s, 3), copied=self.copied)

    async def run(self) -> None:
        kind, body = await stream.receive(self._stream, _ACK_WITHIN_S)
        if kind is not Kind.HELLO:
            raise StreamError("the partner does not greet")
        stream.unpack_hello(body)
        async with asyncio.TaskGroup() as group:
            hearing = group.create_task(self._hear(), name="acknowledgements")
            telling = group.create_task(self._tell(), name="entries")
            await asyncio.wait((hearing, telling), return_when=asyncio.FIRST_COMPLETED)
            hearing.cancel()
            telling.cancel()

    async def _hear(self) -> None:
        while True:
            kind, body = await stream.receive(self._stream, _ACK_WITHIN_S)
            if kind is not Kind.ACK:
                raise StreamError(f"a listener may not send {kind.name}")
            number = stream.unpack_number(body)
            while self._marks and self._marks[0][0] <= number:
                self._confirmed_lag_s = self._clock.now() - self._marks.popleft()[1]

    async def _tell(self) -> None:
        said = ""
        number = 0
        marked_at = 0.0
        while True:
            role = self._role()
            if role != said:
                await stream.send(self._stream, Kind.HELLO, stream.pack_hello(role))
                said = role
            before = self.entries
            async for due in self._walker.round():
                await self._tell_piece(due)
            if not self.copied:
                await stream.send(self._stream, Kind.COMPLETE, stream.pack_number(self.entries))
                self.copied = True
            now = self._clock.now()
            if self.entries != before or now - marked_at >= _MARK_EVERY_S:
                if len(self._marks) >= MOST_UNCONFIRMED:
                    raise StreamError("the listener confirms nothing")
                number, marked_at = number + 1, now
                self._marks.append((number, now))
                await stream.send(self._stream, Kind.MARK, stream.pack_number(number))
            await self._walker.pause()

    async def _tell_piece(self, due: Due) -> None:
        body = b""
        for datagram, places in write(due.entries, 0, _LONGEST_DATAGRAM):
            if len(body) + len(datagram) > stream.LONGEST_BODY:
                await stream.send(self._stream, Kind.ENTRIES, body)
                body = b""
            body += datagram
            self.entries += len(places)
            self._tally.told_entries += len(places)
        await stream.send(self._stream, Kind.ENTRIES, body)
        self._tally.told_at = self._clock.now()
        self._outgoing.told(due)
