"""The two daemons of connection sync, as the kernel has them: one tells a multicast group, one hears it."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

from piranha.base.clock import Clock
from piranha.base.errors import PiranhaError
from piranha.dataplane.ebpf.departures import Due
from piranha.dataplane.port import SyncDaemon
from piranha.sync.datagram import write
from piranha.sync.intake import Intake
from piranha.sync.multicast import LONGEST, open_receiver, open_sender
from piranha.sync.tally import Tally
from piranha.sync.walk import Outgoing, Walker

logger = logging.getLogger(__name__)

_BURST = 32
"""Datagrams in a row: a kernel that listens has room for some ninety."""
_BETWEEN_BURSTS_S = 0.002
_RETRY_S = 1.0
_ROOM_S = 0.5
_AT_ONCE = 256
"""Datagrams that are read before other tasks have their turn."""


class Speaker:
    """Tells the group of everything that is due, as long as `run` runs. `silent` says that nobody needs it."""

    def __init__(
        self, outgoing: Outgoing, daemon: SyncDaemon, tally: Tally, clock: Clock, silent: Callable[[], bool]
    ) -> None:
        self._outgoing = outgoing
        self._daemon = daemon
        self._tally = tally
        self._clock = clock
        self._silent = silent
        self.walker = Walker(outgoing)

    async def run(self) -> None:
        """Until cancelled. A link that is down is tried again every second; what is due meanwhile stays due."""
        while True:
            try:
                with open_sender(self._daemon) as opened:
                    await self._speak(opened)
            except (PiranhaError, OSError) as error:
                if str(error) != self._tally.last_failure:
                    logger.warning('connection sync cannot send, trying on error="%s"', error)
                self._tally.send_failures += 1
                self._tally.last_failure = str(error)
            await asyncio.sleep(_RETRY_S)

    async def _speak(self, opened: socket.socket) -> None:
        while True:
            if not self._silent():
                async for due in self.walker.round():
                    await self.tell(opened, due)
            await self.walker.pause()

    async def tell(self, opened: socket.socket, due: Due) -> None:
        """Send what is due, in bursts that a listener has room for, and note that it was told."""
        datagrams = write(due.entries, self._daemon.sync_id, self._daemon.max_length)
        for number, (datagram, places) in enumerate(datagrams, 1):
            await self._send(opened, datagram)
            self._outgoing.told(due, places)
            self._tally.told_datagrams += 1
            self._tally.told_entries += len(places)
            self._tally.told_at = self._clock.now()
            self._tally.last_failure = ""
            if number % _BURST == 0:
                await asyncio.sleep(_BETWEEN_BURSTS_S)

    async def _send(self, opened: socket.socket, datagram: bytes) -> None:
        try:
            opened.send(datagram)
        except BlockingIOError:
            async with asyncio.timeout(_ROOM_S):
                await asyncio.get_running_loop().sock_sendall(opened, datagram)


class Hearer:
    """Puts what the group says into the table, as long as `run` runs. `keep` leaves entries that are here as they are."""

    def __init__(self, intake: Intake, daemon: SyncDaemon) -> None:
        self._intake = intake
        self._daemon = daemon
        self._buffer = bytearray(LONGEST)
        self.problem = ""

    async def run(self) -> None:
        """Until cancelled. An interface that is not there yet is tried again every second."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                opened = open_receiver(self._daemon)
            except (PiranhaError, OSError) as error:
                if str(error) != self.problem:
                    logger.warning('connection sync cannot listen, trying on error="%s"', error)
                self.problem = str(error)
                await asyncio.sleep(_RETRY_S)
                continue
            self.problem = ""
            with opened:
                loop.add_reader(opened, self.hear, opened)
                try:
                    await loop.create_future()
                finally:
                    loop.remove_reader(opened)

    def hear(self, opened: socket.socket) -> None:
        """Take what has arrived by now, at most so many datagrams."""
        datagrams: list[bytes] = []
        for _ in range(_AT_ONCE):
            try:
                size = opened.recv_into(self._buffer)
            except (BlockingIOError, ConnectionError):
                break
            datagrams.append(bytes(self._buffer[:size]))
        if datagrams:
            self._intake.accept(datagrams, self._daemon.sync_id)
