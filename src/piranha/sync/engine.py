"""Connection sync of the eBPF plane: daemons as they are asked for, the pair link, and how far the copy is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol, TypeVar

from piranha.base.clock import Clock
from piranha.dataplane.ebpf.departures import Rule
from piranha.dataplane.ebpf.syncdaemons import SyncDaemons
from piranha.dataplane.port import SyncDaemon, SyncRole
from piranha.sync.copier import Copier
from piranha.sync.daemons import Hearer, Speaker
from piranha.sync.intake import Intake, WayIn
from piranha.sync.link import LinkEnds, dial, serve
from piranha.sync.role import PairRole, RoleSource
from piranha.sync.settings import SyncSettings
from piranha.sync.stream import ByteStream
from piranha.sync.tally import SyncState, SyncView, Tally
from piranha.sync.teller import Teller
from piranha.sync.walk import Outgoing

logger = logging.getLogger(__name__)

T = TypeVar("T")

ANSWER_WITHIN_S = 3.0
"""A partner that does not answer for so long is not there."""
SETTLE_S = 10.0
"""So long after a copy entries may wait for servers that are not checked yet, before the copy counts as complete."""
_KEEP_EVERY_S = 1.0


class SyncedTable(WayIn, Protocol):
    """A table that both tells and takes (`dataplane/ebpf/synctable.py`)."""

    daemons: SyncDaemons

    def watch(self, changed: Callable[[], None]) -> None: ...

    def departures(self, rule: Rule) -> Outgoing: ...


class SyncEngine:
    """`run` until cancelled; `ends` is the pair link, None without one. `state` tells whether the copy is good.

    `configure` and the daemons of the table may change at any time; both take effect at once.
    """

    def __init__(
        self, table: SyncedTable, settings: SyncSettings, roles: RoleSource, clock: Clock, ends: LinkEnds | None = None
    ) -> None:
        self._table = table
        self._settings = settings
        self._roles = roles
        self._clock = clock
        self._ends = ends
        self._tally = Tally()
        self._intake = Intake(table, self._tally, clock)
        self._changed = asyncio.Event()
        self._running: dict[object, tuple[object, asyncio.Task[None]]] = {}
        self._speaker: Speaker | None = None
        self._hearer: Hearer | None = None
        self._tellers: list[Teller] = []
        self._copying = False
        self._copied = False
        self._copied_at = 0.0
        self._unanswered_since: float | None = None
        self._calls: list[Callable[[], None]] = []
        # Before `run` has looked nobody may take the copy for complete.
        self._state = SyncState.WAITING if settings.enabled and settings.link_port else SyncState.OFF
        table.daemons.host(self._changed.set)
        table.watch(self._changed.set)
        roles.on_change(self._changed.set)

    # ---- what others ask ----

    @property
    def state(self) -> SyncState:
        return self._state

    def on_change(self, call: Callable[[], None]) -> None:
        """Have `call` called after each change of `state`."""
        self._calls.append(call)

    def configure(self, settings: SyncSettings, ends: LinkEnds | None) -> None:
        if (settings, ends) != (self._settings, self._ends):
            self._settings, self._ends = settings, ends
            self._changed.set()

    def view(self) -> SyncView:
        tally, now = self._tally, self._clock.now()
        listeners = [teller.view() for teller in self._tellers]
        lags = [view["lag_s"] for view in listeners]
        if self._speaker is not None and not lags:
            lags = [round(self._speaker.walker.lag_s, 3)]
        hearing = self._hearer.problem if self._hearer else ""
        problems = [text for text in (tally.problem, tally.last_failure, hearing) if text]
        return SyncView(
            state=self._state.value,
            role=self._roles.role.value,
            daemons=sorted(str(daemon.role) for daemon in self._table.daemons()),
            transport="stream" if self._tellers or self._copying else "multicast",
            told_entries=tally.told_entries,
            told_datagrams=tally.told_datagrams,
            heard_entries=tally.heard_entries,
            heard_datagrams=tally.heard_datagrams,
            outcomes={outcome.name.lower(): count for outcome, count in sorted(tally.heard.items())},
            waiting=len(self._intake.waiting),
            foreign=tally.foreign,
            faults=tally.faults,
            send_failures=tally.send_failures,
            heard_ago_s=None if tally.heard_at is None else round(now - tally.heard_at, 1),
            told_ago_s=None if tally.told_at is None else round(now - tally.told_at, 1),
            lag_s=max(lags, default=-1.0),
            listeners=listeners,
            problems=problems,
        )

    # ---- running ----

    async def run(self) -> None:
        self._unanswered_since = self._clock.now()
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    await self._converge(group)
                    self._judge()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_KEEP_EVERY_S):
                            await self._changed.wait()
                    self._changed.clear()
                    self._intake.keep()
        finally:
            self._running.clear()

    async def _converge(self, group: asyncio.TaskGroup) -> None:
        """Let exactly those tasks run that daemons, role and link ask for."""
        wanted: dict[object, object] = {}
        for daemon in self._table.daemons():
            wanted[daemon.role] = (daemon, self._settings.rule)
        if self._linked:
            wanted["serve"] = self._ends
            if self._roles.role is not PairRole.ACTIVE:
                wanted["dial"] = self._ends
        for name, (how, task) in list(self._running.items()):
            if wanted.get(name) != how or task.done():
                del self._running[name]
                task.cancel()
                await asyncio.wait((task,))
        for name, how in wanted.items():
            if name not in self._running:
                work = self._work(name)
                self._running[name] = (how, group.create_task(work, name=f"sync {name}"))

    @property
    def _linked(self) -> bool:
        return self._settings.enabled and self._ends is not None

    def _work(self, name: object) -> Coroutine[Any, Any, None]:
        if name == SyncRole.MASTER:
            return self._speak()
        if name == SyncRole.BACKUP:
            return self._hear()
        assert self._ends is not None
        if name == "serve":
            return serve(self._ends, self._tell)
        return self._copy(self._ends)

    def _daemon(self, role: SyncRole) -> SyncDaemon:
        daemon = self._table.daemons.of(role)
        assert daemon is not None
        return daemon

    async def _speak(self) -> None:
        outgoing = self._table.departures(self._settings.rule)
        silent = lambda: any(teller.copied for teller in self._tellers)  # noqa: E731
        self._speaker = Speaker(outgoing, self._daemon(SyncRole.MASTER), self._tally, self._clock, silent)
        with _among(self._intake.listeners, outgoing):
            try:
                await self._speaker.run()
            finally:
                self._speaker = None

    async def _hear(self) -> None:
        self._hearer = Hearer(self._intake, self._daemon(SyncRole.BACKUP))
        try:
            await self._hearer.run()
        finally:
            self._hearer = None

    async def _tell(self, opened: ByteStream, peer: str) -> None:
        outgoing = self._table.departures(self._settings.rule)
        teller = Teller(opened, outgoing, self._tally, self._clock, peer=peer, role=lambda: self._roles.role.value)
        with _among(self._intake.listeners, outgoing), _among(self._tellers, teller):
            await teller.run()

    async def _copy(self, ends: LinkEnds) -> None:
        self._unanswered_since = self._clock.now()
        try:
            await dial(ends, self._be_copied_to, self._not_copied)
        finally:
            self._copying = self._copied = False

    async def _be_copied_to(self, opened: ByteStream, _: str) -> None:
        copier = Copier(
            opened, self._intake, role=lambda: self._roles.role, greeted=self._greeted, complete=self._complete
        )
        await copier.run()

    def _greeted(self) -> None:
        self._copying, self._unanswered_since = True, None
        self._judge()

    def _complete(self, entries: int) -> None:
        logger.info("connection table copied entries=%d", entries)
        self._copied, self._copied_at = True, self._clock.now()
        self._judge()

    def _not_copied(self) -> None:
        self._copying = self._copied = False
        if self._unanswered_since is None:
            self._unanswered_since = self._clock.now()
        self._judge()

    def _judge(self) -> None:
        state = self._state_now()
        if state is not self._state:
            logger.info('connection sync state="%s"', state)
            self._state = state
            for call in self._calls:
                call()

    def _state_now(self) -> SyncState:
        if not self._table.daemons() and not self._linked:
            return SyncState.OFF
        if self._roles.role is PairRole.ACTIVE:
            return SyncState.SOURCE
        if not self._linked:
            return SyncState.IN_STEP  # a kernel's daemon hands no table over: nothing to wait for
        if self._copied:
            unsettled = len(self._intake.waiting) and self._clock.now() - self._copied_at < SETTLE_S
            return SyncState.COPYING if unsettled else SyncState.IN_STEP
        if self._copying:
            return SyncState.COPYING
        since = self._unanswered_since
        unanswered = since is not None and self._clock.now() - since >= ANSWER_WITHIN_S
        return SyncState.ALONE if unanswered else SyncState.WAITING


@contextmanager
def _among(those: list[T], one: T) -> Iterator[None]:
    """`one` belongs to them for as long."""
    those.append(one)
    try:
        yield
    finally:
        those.remove(one)
