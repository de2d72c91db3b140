"""The load monitor: asks every source in its interval, so many at once, and keeps the latest with its age."""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from piranha.base.clock import Clock
from piranha.monitor.load.ask import ask
from piranha.monitor.load.reading import LoadUnknownError, Reading
from piranha.monitor.load.source import LoadKind, LoadSource
from piranha.monitor.target import TargetKey

MOST_ASKED = 64
MOST_COMMANDS = 8

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadStatus:
    """What is known of a source. `at` is monotonic; None before the first answer. `trouble` says why the latest question
    brought none."""

    source: LoadSource
    reading: Reading | None = None
    at: float | None = None
    trouble: str = ""


class LoadMonitor:
    """`on_reading(key, status)` is called in the loop with every answer, for each target of the source.

    A source that hangs, lies or is gone changes nothing but the age of its value. `ask` is for tests.
    """

    def __init__(
        self,
        clock: Clock,
        on_reading: Callable[[TargetKey, LoadStatus], None],
        ask: Callable[[LoadSource], Awaitable[Reading]] = ask,
    ) -> None:
        self._clock = clock
        self._on_reading = on_reading
        self._ask = ask
        self._targets: Mapping[TargetKey, LoadSource] = {}
        self._keys: dict[LoadSource, list[TargetKey]] = {}
        self._statuses: dict[LoadSource, LoadStatus] = {}
        self._tasks: dict[LoadSource, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._network = asyncio.Semaphore(MOST_ASKED)
        self._commands = asyncio.Semaphore(MOST_COMMANDS)

    def set_targets(self, targets: Mapping[TargetKey, LoadSource]) -> None:
        """Ask exactly these from now on; what is known of those that stay is kept."""
        self._targets = dict(targets)
        self._keys = {}
        for key, source in targets.items():
            self._keys.setdefault(source, []).append(key)
        wanted = self._keys.keys()
        self._statuses = {source: self._statuses.get(source) or LoadStatus(source=source) for source in wanted}
        for source in self._tasks.keys() - wanted:
            self._tasks.pop(source).cancel()
        self._start()

    def status(self, key: TargetKey) -> LoadStatus | None:
        """None for a target whose load nobody asks for."""
        source = self._targets.get(key)
        return None if source is None else self._statuses[source]

    async def run(self) -> None:
        """Ask until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._start()
            try:
                await asyncio.Event().wait()
            finally:
                self._group = None
                self._tasks.clear()

    def _start(self) -> None:
        if self._group is None:
            return
        for source in self._statuses.keys() - self._tasks.keys():
            self._tasks[source] = self._group.create_task(self._watch(source), name=f"load of {source.address}")

    async def _watch(self, source: LoadSource) -> None:
        # Spread over the interval, by what the source is and not by chance.
        phase = zlib.crc32(f"{source.address} {source.kind} {source.port}".encode()) / 2**32
        gate = self._commands if source.kind in (LoadKind.UPTIME, LoadKind.COMMAND) else self._network
        await asyncio.sleep(phase * min(source.interval_s, 1.0))
        while True:
            began_at = self._clock.now()
            async with gate:
                await self._look(source)
            spent_s = self._clock.now() - began_at
            await asyncio.sleep(max(source.interval_s - spent_s % source.interval_s, 0.05))

    async def _look(self, source: LoadSource) -> None:
        try:
            reading = await self._ask(source)
        except LoadUnknownError as error:
            self._note(source, str(error))
            return
        except Exception as error:
            # Strangers' answers are read here: a fault that one of them finds may not end the others.
            logger.error("load monitor crashed source=%s", source, exc_info=error)
            self._note(source, f"internal error: {type(error).__name__}")
            return
        before = self._statuses.get(source)
        if before is None:
            return
        if before.trouble:
            logger.info('load is told again server="%s" monitor=%s', source.address, source.kind)
        status = LoadStatus(source=source, reading=reading, at=self._clock.now())
        self._statuses[source] = status
        for key in self._keys[source]:
            self._on_reading(key, status)

    def _note(self, source: LoadSource, trouble: str) -> None:
        before = self._statuses.get(source)
        if before is None:
            return
        if not before.trouble:
            logger.warning('no load server="%s" monitor=%s reason="%s"', source.address, source.kind, trouble)
        self._statuses[source] = replace(before, trouble=trouble)
