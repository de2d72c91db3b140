"""The book of all targets: turns outcomes into changes of health. Decides everything, does nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, KeysView, Mapping
from dataclasses import dataclass, field

from piranha.model.address import IPAddress
from piranha.model.check import Probe
from piranha.model.health import Health
from piranha.monitor.outcome import Outcome
from piranha.monitor.panic import PanicRule, Phase, Ruling
from piranha.monitor.schedule import Schedule
from piranha.monitor.target import Forced, HealthChange, NannyStatus, Target, TargetKey, TargetStatus
from piranha.monitor.verdict import VerdictState, judge, ready

VOIDS_AT_ONCE = 3
"""So many void results of one check in a row are repeated at once; then the check waits for its next slot."""


PROGRAMS_AT_ONCE = 4
"""So many programs are started in one round: each keeps us busy for some milliseconds until it runs."""


@dataclass(slots=True)
class _Watched:
    """One target as the roster keeps it."""

    key: TargetKey
    target: Target
    since_at: float
    state: VerdictState = field(default_factory=VerdictState)
    forced: Forced = Forced.NO
    held: bool = False
    taken_at: float = float("-inf")
    fallen_silent_at: float | None = None
    last: Outcome | None = None
    last_at: float | None = None
    trouble: str = ""
    successes: int = 0
    failures: int = 0
    voids: int = 0

    @property
    def server(self) -> IPAddress:
        return self.target.probe.address

    @property
    def window_s(self) -> float:
        return self.target.rules.interval_s + self.target.probe.timeout_s


class Roster:
    """All targets with their verdicts.

    Checks are asked for by `start` and answered by `finish` or `give_up`, each exactly once.
    At most `socket_limit` socket checks and `program_limit` programs are in flight.
    """

    def __init__(self, *, socket_limit: int, program_limit: int) -> None:
        self._sockets = Schedule(limit=socket_limit)
        self._programs = Schedule(limit=program_limit)
        self._watched: dict[TargetKey, _Watched] = {}
        self._subscribers: dict[Probe, dict[TargetKey, _Watched]] = {}
        self._voids_in_row: dict[Probe, int] = {}
        self._up: Counter[IPAddress] = Counter()
        self.panic = PanicRule()
        self.started = 0
        self.voids = 0

    def set_targets(self, targets: Mapping[TargetKey, Target], now: float) -> None:
        """Watch exactly `targets`. Verdicts of targets that stay are kept, also where their check or rules changed."""
        for key in self._watched.keys() - targets.keys():
            watched = self._watched.pop(key)
            self._unsubscribe(watched, now)
            if watched.state.health is Health.UP:
                self._count_up(watched.server, -1)
        for key, target in targets.items():
            known = self._watched.get(key)
            if known is None:
                self._watched[key] = watched = _Watched(key=key, target=target, since_at=now)
                self._subscribe(watched, now)
            elif known.target != target:
                self._retarget(known, target, now)
        self.panic.forget({watched.server for watched in self._watched.values()})

    def force(self, key: TargetKey, forced: Forced, now: float) -> list[HealthChange]:
        """Put a verdict above the checks, or (`Forced.NO`) give it back to them.

        Given back, the target is checked at once, also when it was not forced, and one success brings it in.
        Raises KeyError for a target that is not watched.
        """
        watched = self._watched[key]
        was = watched.forced
        if forced is was and forced is not Forced.NO:
            return []
        watched.forced = forced
        watched.held = False
        watched.fallen_silent_at = None
        if forced is Forced.NO:
            watched.state = ready(watched.state, watched.target.rules)
            self._subscribe(watched, now)
            return []
        if was is Forced.NO:
            self._unsubscribe(watched, now)
        health = Health.UP if forced is Forced.UP else Health.DOWN
        if health is watched.state.health:
            return []
        return [self._move(watched, VerdictState(health=health), f"forced {health} by hand", now)]

    def start(self, now: float, at_most: int) -> list[Probe]:
        """The probes to run now."""
        probes = list(self._sockets.start(now, at_most))
        probes += self._programs.start(now, min(at_most - len(probes), PROGRAMS_AT_ONCE))
        self.started += len(probes)
        return probes

    def next_at(self) -> float | None:
        """When `start` has something to give; None until a check ends or the targets change."""
        times = [at for at in (self._sockets.next_at(), self._programs.next_at()) if at is not None]
        return min(times, default=None)

    @property
    def in_flight(self) -> int:
        return self._sockets.in_flight + self._programs.in_flight

    def finish(
        self, probe: Probe, outcome: Outcome, started_at: float, now: float, *, stalled: bool = False
    ) -> list[HealthChange]:
        """A check has ended. `stalled` says that we ourselves were not running for a part of it.

        A success counts however late we were. A failure that overlaps a stall is void and repeated at once: silence
        always, a server's own answer until it has come `VOIDS_AT_ONCE` times in a row.
        """
        if stalled and not outcome.ok:
            in_row = self._voids_in_row.get(probe, 0)
            if not (outcome.answered and in_row >= VOIDS_AT_ONCE):
                self._void(probe, f"our own stall: {outcome.reason}", now, again=in_row < VOIDS_AT_ONCE)
                return []
        self._voids_in_row.pop(probe, None)
        self._schedule_of(probe).finish(probe, now)
        subscribers = self._subscribers.get(probe)
        if not subscribers:
            return []
        if outcome.ok or outcome.answered:
            self.panic.answered(probe.address, self._up.keys(), now)
        changes: list[HealthChange] = []
        quickest_s = min(watched.target.rules.interval_s for watched in subscribers.values())
        for watched in list(subscribers.values()):
            if self._is_between_its_checks(watched, quickest_s, started_at):
                continue
            watched.taken_at = started_at
            watched.last, watched.last_at, watched.trouble = outcome, now, ""
            if outcome.ok:
                watched.successes += 1
            else:
                watched.failures += 1
            changes += self._judge(watched, outcome, now)
        return changes

    def give_up(self, probe: Probe, reason: str, now: float) -> None:
        """A started check could not be carried out: nothing was learnt, verdicts stay."""
        self._void(probe, reason, now, again=False)

    def status(self, key: TargetKey) -> TargetStatus:
        """Raises KeyError for a target that is not watched."""
        watched = self._watched[key]
        probe = watched.target.probe
        last = watched.last
        return TargetStatus(
            key=key,
            target=watched.target,
            health=watched.state.health,
            since_at=watched.since_at,
            forced=watched.forced,
            held=watched.held,
            last_ok=None if last is None else last.ok,
            last_reason="not checked yet" if last is None else last.reason,
            last_at=watched.last_at,
            last_duration_s=None if last is None else last.duration_s,
            next_check_at=None if watched.forced is not Forced.NO else self._schedule_of(probe).due_at(probe),
            trouble=watched.trouble,
            successes=watched.successes,
            failures=watched.failures,
            voids=watched.voids,
        )

    def keys(self) -> KeysView[TargetKey]:
        return self._watched.keys()

    def statuses(self) -> tuple[TargetStatus, ...]:
        """All targets, in the order they were first named."""
        return tuple(self.status(key) for key in self._watched)

    def overview(self, now: float, *, stalls: int, longest_stall_s: float) -> NannyStatus:
        self.panic.look(self._up.keys(), now)
        frozen = self.panic.phase is Phase.FROZEN
        return NannyStatus(
            targets=len(self._watched),
            checks=len(self._subscribers),
            in_flight=self.in_flight,
            started=self.started,
            skipped=self._sockets.skipped + self._programs.skipped,
            voids=self.voids,
            stalls=stalls,
            longest_stall_s=longest_stall_s,
            panic=frozen,
            panic_since_at=self.panic.since_at if frozen else None,
            panic_until_at=self.panic.until_at if frozen else None,
            panic_reason=self.panic.reason if frozen else "",
        )

    def _schedule_of(self, probe: Probe) -> Schedule:
        return self._programs if probe.program else self._sockets

    def _subscribe(self, watched: _Watched, now: float) -> None:
        """The first check is due at once, also where the same check already runs for others."""
        probe = watched.target.probe
        watched.taken_at = float("-inf")
        subscribers = self._subscribers.setdefault(probe, {})
        subscribers[watched.key] = watched
        self._set_interval(probe, now)
        self._schedule_of(probe).hasten(probe, now)

    def _unsubscribe(self, watched: _Watched, now: float) -> None:
        probe = watched.target.probe
        subscribers = self._subscribers.get(probe, {})
        if subscribers.pop(watched.key, None) is None:
            return
        if subscribers:
            self._set_interval(probe, now)
        else:
            del self._subscribers[probe]
            self._voids_in_row.pop(probe, None)
            self._schedule_of(probe).remove(probe)

    def _set_interval(self, probe: Probe, now: float) -> None:
        intervals = (watched.target.rules.interval_s for watched in self._subscribers[probe].values())
        self._schedule_of(probe).put(probe, min(intervals), now)

    def _retarget(self, watched: _Watched, target: Target, now: float) -> None:
        if watched.target.probe == target.probe:
            watched.target = target
            if watched.forced is Forced.NO:
                self._set_interval(target.probe, now)
            return
        if watched.forced is Forced.NO:
            self._unsubscribe(watched, now)
        if watched.state.health is Health.UP:
            self._count_up(watched.server, -1)
            self._count_up(target.probe.address, 1)
        watched.target = target
        watched.trouble = ""
        if watched.forced is Forced.NO:
            self._subscribe(watched, now)

    @staticmethod
    def _is_between_its_checks(watched: _Watched, quickest_s: float, started_at: float) -> bool:
        """A target with a longer interval than others on the same check takes only some of the results."""
        interval_s = watched.target.rules.interval_s
        return interval_s > quickest_s and started_at - watched.taken_at < interval_s - quickest_s / 2

    def _judge(self, watched: _Watched, outcome: Outcome, now: float) -> list[HealthChange]:
        after, health = judge(watched.state, outcome.ok, watched.target.rules)
        if health is None:
            watched.state = after
            if outcome.ok:
                watched.held = False
            return []
        if health is Health.DOWN and watched.state.health is Health.UP and not outcome.answered:
            ruling = self.panic.silent(watched.server, watched.window_s, self._up.keys(), now)
            if ruling is not Ruling.LET_GO:
                watched.held = True
                return self._bring_back(now) if ruling is Ruling.FREEZE else []
            watched.fallen_silent_at = now
        else:
            watched.fallen_silent_at = None
        watched.held = False
        return [self._move(watched, after, outcome.reason, now)]

    def _bring_back(self, now: float) -> list[HealthChange]:
        """A storm begins: its first victims went out before it could be recognised."""
        changes = []
        for watched in self._watched.values():
            fell_at = watched.fallen_silent_at
            if fell_at is None or now - fell_at > watched.window_s or not self.panic.is_silent(watched.server):
                continue
            if watched.state.health is Health.DOWN and watched.forced is Forced.NO:
                watched.fallen_silent_at = None
                watched.held = True
                back = VerdictState(health=Health.UP, failures=watched.target.rules.fall - 1)
                changes.append(self._move(watched, back, f"panic: {self.panic.reason}", now))
        return changes

    def _move(self, watched: _Watched, state: VerdictState, reason: str, now: float) -> HealthChange:
        if watched.state.health is Health.UP:
            self._count_up(watched.server, -1)
        if state.health is Health.UP:
            self._count_up(watched.server, 1)
        watched.state = state
        watched.since_at = now
        return HealthChange(key=watched.key, health=state.health, reason=reason)

    def _count_up(self, server: IPAddress, change: int) -> None:
        self._up[server] += change
        if self._up[server] == 0:
            del self._up[server]

    def _void(self, probe: Probe, reason: str, now: float, *, again: bool) -> None:
        self.voids += 1
        self._schedule_of(probe).finish(probe, now)
        for watched in self._subscribers_of(probe):
            watched.voids += 1
            watched.trouble = reason
        if probe in self._subscribers:
            self._voids_in_row[probe] = self._voids_in_row.get(probe, 0) + 1
            if again:
                self._schedule_of(probe).hasten(probe, now)

    def _subscribers_of(self, probe: Probe) -> Iterable[_Watched]:
        return self._subscribers.get(probe, {}).values()
