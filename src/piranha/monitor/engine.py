"""The nanny's shell: one asyncio loop that runs all checks and tells who changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Set

from piranha.base.clock import Clock
from piranha.model.check import Probe
from piranha.model.check_block import CheckKind
from piranha.model.health import Health
from piranha.model.service import DestinationKey
from piranha.monitor.checks.kinds import conversation_of
from piranha.monitor.outcome import CheckImpossibleError, Outcome
from piranha.monitor.panic import Phase
from piranha.monitor.probes.file import FileCheck
from piranha.monitor.probes.program import DEFAULT_USER, ProgramCheck
from piranha.monitor.probes.wire import Wire
from piranha.monitor.roster import Roster
from piranha.monitor.stall import TICK_S, StallWatch
from piranha.monitor.target import Change, Forced, HealthChange, NannyStatus, Target, TargetKey, TargetStatus

__all__ = ["Forced", "Nanny", "NannyStatus", "Target", "TargetKey", "TargetStatus"]

MAX_SOCKETS_IN_FLIGHT = 450
MAX_PROGRAMS_IN_FLIGHT = 50
_STARTED_AT_ONCE = 50
"""So many checks begin in one round of the loop: about 5 ms of work, so that starting does not look like a stall."""

_PACE_S = 0.004
"""Checks that are due within so short a time start together: waking for each alone would cost more than the checks."""

_STALL_LOG_EVERY_S = 10.0
_MOST_TARGETS_NAMED = 100

OnChange = Callable[[TargetKey, Health, str], None]
OnWeight = Callable[[TargetKey, int | None], None]

logger = logging.getLogger(__name__)


class Nanny:
    """Checks targets and reports changes of their health.

    `on_change(key, health, reason)` is called inside the loop, once a change; it must not block. `on_weight(key,
    weight)` is called when the checks of a target ask for another weight (None: the configured one). An exception
    from either ends `run`. `set_targets` and the reads may be called before `run`; while it runs, everything must be called in its
    loop. `clock` must go as the loop's does (`MonotonicClock`). Check programs run as `program_user` where we are root.
    """

    def __init__(
        self,
        clock: Clock,
        on_change: OnChange,
        *,
        on_weight: OnWeight | None = None,
        program_user: str = DEFAULT_USER,
    ) -> None:
        self._clock = clock
        self._on_change = on_change
        self._on_weight = on_weight
        self._roster = Roster(socket_limit=MAX_SOCKETS_IN_FLIGHT, program_limit=MAX_PROGRAMS_IN_FLIGHT)
        self._stalls = StallWatch()
        self._wire = Wire(clock, self._ended, conversation_of)
        self._programs = ProgramCheck(program_user)
        self._files = FileCheck()
        self._running = False
        self._group: asyncio.TaskGroup | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pump_handle: asyncio.TimerHandle | None = None
        self._tick_handle: asyncio.TimerHandle | None = None
        self._pumping = False
        self._pumped_at = self._armed_at = float("-inf")
        self._failure: asyncio.Future[None] | None = None
        self._phase = Phase.CALM
        self._troubled: set[Probe] = set()
        self._next_stall_log_at = float("-inf")

    def set_targets(self, targets: Mapping[TargetKey, Target]) -> None:
        """Check exactly `targets` from now on. New ones are checked at once; of the others every verdict is kept."""
        known = self._roster.keys()
        _log_targets("starting", targets.keys() - known)
        _log_targets("stopping", known - targets.keys())
        self._roster.set_targets(targets, self._clock.now())
        self._troubled &= {check.probe for target in targets.values() for check in target.checks}
        self._wake()

    def statuses(self) -> tuple[TargetStatus, ...]:
        """What is known about every target now."""
        return self._roster.statuses()

    def status(self, key: TargetKey) -> TargetStatus:
        """Raises KeyError for a target that is not watched."""
        return self._roster.status(key)

    def overview(self) -> NannyStatus:
        """How the nanny itself is doing."""
        return self._roster.overview(
            self._clock.now(), stalls=self._stalls.count, longest_stall_s=self._stalls.longest_s
        )

    def force_up(self, key: TargetKey) -> None:
        """Keep the target in, whatever it answers (the original's SIGUSR2, "rose-colored glasses"). Raises KeyError."""
        logger.info("putting on rose-colored glasses target=%s", key)
        self._force(key, Forced.UP)

    def force_down(self, key: TargetKey) -> None:
        """Keep the target out, whatever it answers (the original's SIGUSR1, "opaque glasses"). Raises KeyError."""
        logger.info("putting on opaque glasses target=%s", key)
        self._force(key, Forced.DOWN)

    def release(self, key: TargetKey) -> None:
        """Check the target again, at once; one success brings it in (the original's SIGHUP). Raises KeyError."""
        logger.info("removing glasses target=%s", key)
        self._force(key, Forced.NO)

    async def run(self) -> None:
        """Check until cancelled. Verdicts survive, and `run` may be called again."""
        if self._running:
            raise RuntimeError("the nanny is running already")
        self._running = True
        self._loop = asyncio.get_running_loop()
        self._failure = self._loop.create_future()
        self._wire.open()
        try:
            async with asyncio.TaskGroup() as group:
                try:
                    self._group = group
                    self._pump()
                    await self._failure
                finally:
                    self._rest()
        finally:
            self._running = False
            await self._programs.close()

    def _rest(self) -> None:
        self._group = None
        for handle in (self._pump_handle, self._tick_handle):
            if handle is not None:
                handle.cancel()
        self._pump_handle = self._tick_handle = None
        now = self._clock.now()
        for probe in self._wire.close():
            # A check that was started is always finished.
            self._roster.give_up(probe, "interrupted", now)
        self._stalls.rest()

    def _force(self, key: TargetKey, forced: Forced) -> None:
        self._announce(self._roster.force(key, forced, self._clock.now()))
        self._wake()

    def _wake(self) -> None:
        if self._group is not None:
            self._pump()

    def _pump(self) -> None:
        """Start what is due, and come back when the next one is."""
        if self._group is None or self._pumping:
            return
        assert self._loop is not None
        if self._pump_handle is not None:
            self._pump_handle.cancel()
            self._pump_handle = None
        self._pumped_at = now = self._clock.now()
        probes = self._roster.start(now, _STARTED_AT_ONCE)
        if probes and self._tick_handle is None:
            self._tick()
        self._pumping = True
        try:
            for probe in probes:
                self._start(probe, now)
        finally:
            self._pumping = False
        wake_at = self._wake_at(full=len(probes) >= _STARTED_AT_ONCE)
        if wake_at is not None and self._group is not None:
            self._armed_at = wake_at
            self._pump_handle = self._loop.call_later(max(wake_at - self._clock.now(), 0), self._pump)

    def _wake_at(self, *, full: bool = False) -> float | None:
        """When to start the next ones; after a full round at once, else not before `_PACE_S` has passed."""
        next_at = self._roster.next_at()
        return next_at if next_at is None or full else max(next_at, self._pumped_at + _PACE_S)

    def _start(self, probe: Probe, now: float) -> None:
        assert self._group is not None
        match probe.kind:
            case CheckKind.PROGRAM | CheckKind.FILE:
                self._group.create_task(self._check(probe, now), name=f"check {probe}")
            case CheckKind.NONE:
                self._ended(probe, now, Outcome(ok=True, reason="not checked", duration_s=0, answered=True))
            case _:
                self._wire.start(probe, now)

    def _tick(self) -> None:
        assert self._loop is not None
        now = self._clock.now()
        if self._stalls.tick(now) and now >= self._next_stall_log_at:
            self._next_stall_log_at = now + _STALL_LOG_EVERY_S
            logger.warning(
                "we were not running, failures of this time are void stalls=%d longest_s=%.3f",
                self._stalls.count,
                self._stalls.longest_s,
            )
        if self._roster.in_flight:
            self._tick_handle = self._loop.call_later(TICK_S, self._tick)
        else:
            self._tick_handle = None
            self._stalls.rest()

    async def _check(self, probe: Probe, began_at: float) -> None:
        """A check that is no conversation over sockets."""
        result: Outcome | Exception = CheckImpossibleError("interrupted")
        try:
            if probe.kind is CheckKind.PROGRAM:
                result = await self._programs.check(probe, self._clock)
            else:
                result = await self._files.check(probe, self._clock)
        except Exception as error:
            result = error
        finally:
            # Also when cancelled: a check that was started is always finished.
            self._ended(probe, began_at, result)

    def _ended(self, probe: Probe, began_at: float, result: Outcome | Exception) -> None:
        now = self._clock.now()
        if isinstance(result, Outcome):
            self._troubled.discard(probe)
            stalled = not result.ok and self._stalls.overlaps(began_at, now)
            self._announce(self._roster.finish(probe, result, began_at, now, stalled=stalled))
        else:
            trouble = str(result)
            if not isinstance(result, CheckImpossibleError):
                # Here strangers' answers are read: a fault found by one of them must not end the checks of all others.
                logger.error("check crashed check=%s", probe, exc_info=result)
                trouble = f"internal error: {type(result).__name__}"
            self._roster.give_up(probe, trouble, now)
            if self._group is not None:
                self._complain(probe, trouble)
        if not self._pumping:
            self._pump_if_due()

    def _pump_if_due(self) -> None:
        """Arm the timer anew where the finished check made an earlier start possible."""
        if self._loop is None or self._group is None:
            return
        if self._pump_handle is not None and self._armed_at <= self._pumped_at + _PACE_S:
            # It cannot be sooner.
            return
        wake_at = self._wake_at()
        if wake_at is None:
            return
        when = self._loop.time() + wake_at - self._clock.now()
        if self._pump_handle is None or self._pump_handle.when() > when + 1e-6:
            if self._pump_handle is not None:
                self._pump_handle.cancel()
            self._pump_handle = self._loop.call_at(when, self._pump)
            self._armed_at = wake_at

    def _complain(self, probe: Probe, trouble: str) -> None:
        """Log a check that cannot be carried out, once until it works again."""
        if probe not in self._troubled:
            self._troubled.add(probe)
            logger.warning("cannot check, verdict kept check=%s reason=%s", probe, trouble)

    def _announce(self, changes: list[Change]) -> None:
        self._announce_panic()
        if not changes:
            return
        _log_changes([change for change in changes if isinstance(change, HealthChange)])
        try:
            for change in changes:
                if isinstance(change, HealthChange):
                    self._on_change(change.key, change.health, change.reason)
                elif self._on_weight is not None:
                    self._on_weight(change.key, change.weight)
        except Exception as error:
            # Most calls come from the loop's callbacks, where nobody would catch it.
            if self._failure is None or self._failure.done():
                raise
            self._failure.set_exception(error)

    def _announce_panic(self) -> None:
        panic = self._roster.panic
        if panic.phase is self._phase:
            return
        self._phase = panic.phase
        match panic.phase:
            case Phase.FROZEN:
                logger.warning("panic: verdicts are frozen, is it our own link? reason=%s", panic.reason)
            case Phase.SPENT:
                logger.warning("panic: the servers stay silent, verdicts count again")
            case Phase.CALM:
                logger.info("panic: over")


def _log_targets(what: str, keys: Set[TargetKey]) -> None:
    """One line a target, or one for all where there are very many."""
    if len(keys) > _MOST_TARGETS_NAMED:
        logger.info("%s LVS client monitors targets=%d", what, len(keys))
        return
    for key in sorted(keys, key=str):
        logger.info("%s LVS client monitor for %s", what, key)


def _log_changes(changes: list[HealthChange]) -> None:
    """One line a server and change, however many virtual services share it."""
    groups: dict[tuple[DestinationKey, Health, str], list[TargetKey]] = {}
    for change in changes:
        groups.setdefault((change.key.destination, change.health, change.reason), []).append(change.key)
    for (server, health, reason), keys in groups.items():
        text = "[inactive] shutting down %s due to connection failure service=%s services=%d reason=%s"
        if health is Health.UP:
            text = "[ active ] making %s available service=%s services=%d reason=%s"
        logger.info(text, server, keys[0].service, len(keys), reason)
