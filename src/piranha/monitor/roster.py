"""The book of all targets: turns outcomes into changes of health. Decides everything, does nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, KeysView, Mapping
from dataclasses import dataclass

from piranha.model.address import IPAddress
from piranha.model.check import Probe
from piranha.model.health import Health
from piranha.monitor.outcome import Outcome
from piranha.monitor.panic import PanicRule, Phase, Ruling
from piranha.monitor.schedule import Schedule
from piranha.monitor.target import (
    Change,
    Check,
    CheckStatus,
    Forced,
    HealthChange,
    NannyStatus,
    Target,
    TargetKey,
    TargetStatus,
    WeightChange,
)
from piranha.monitor.verdict import VerdictState, combine, judge, ready

VOIDS_AT_ONCE = 3
"""So many void results of one check in a row are repeated at once; then the check waits for its next slot."""


PROGRAMS_AT_ONCE = 4
"""So many programs are started in one round: each keeps us busy for some milliseconds until it runs."""


@dataclass(slots=True, eq=False)
class _Watched:
    """One target as the roster keeps it."""

    key: TargetKey
    target: Target
    since_at: float
    health: Health = Health.UNKNOWN
    forced: Forced = Forced.NO
    held: bool = False
    weight: int | None = None
    fallen_silent_at: float | None = None
    parts: tuple[_Part, ...] = ()

    @property
    def server(self) -> IPAddress:
        return self.key.destination.address

    def combined(self) -> Health:
        if len(self.parts) == 1:
            return self.parts[0].state.health
        return combine(self.target.needed, [part.state.health for part in self.parts])


@dataclass(slots=True, eq=False)
class _Part:
    """One check of one target. `silent` says that silence took it down."""

    watched: _Watched
    check: Check
    state: VerdictState
    silent: bool = False
    taken_at: float = float("-inf")
    last: Outcome | None = None
    last_at: float | None = None
    trouble: str = ""
    successes: int = 0
    failures: int = 0
    voids: int = 0

    @property
    def window_s(self) -> float:
        return self.check.rules.interval_s + self.check.probe.timeout_s


class Roster:
    """All targets with their verdicts.

    Checks are asked for by `start` and answered by `finish` or `give_up`, each exactly once.
    At most `socket_limit` socket checks and `program_limit` programs are in flight.
    """

    def __init__(self, *, socket_limit: int, program_limit: int) -> None:
        self._sockets = Schedule(limit=socket_limit)
        self._programs = Schedule(limit=program_limit)
        self._watched: dict[TargetKey, _Watched] = {}
        self._subscribers: dict[Probe, list[_Part]] = {}
        self._voids_in_row: dict[Probe, int] = {}
        self._up: Counter[IPAddress] = Counter()
        self.panic = PanicRule()
        self.started = 0
        self.voids = 0

    def set_targets(self, targets: Mapping[TargetKey, Target], now: float) -> None:
        """Watch exactly `targets`. Verdicts of targets that stay are kept, also where their checks or rules changed."""
        for key in self._watched.keys() - targets.keys():
            watched = self._watched.pop(key)
            self._unsubscribe(watched, now)
            if watched.health is Health.UP:
                self._count_up(watched.server, -1)
        for key, target in targets.items():
            known = self._watched.get(key)
            if known is None:
                self._watched[key] = watched = _Watched(key=key, target=target, since_at=now)
                watched.parts = _parts_of(watched, {})
                self._subscribe(watched.parts, now)
            elif known.target != target:
                self._retarget(known, target, now)
        self.panic.forget({watched.server for watched in self._watched.values()})

    def force(self, key: TargetKey, forced: Forced, now: float) -> list[Change]:
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
            for part in watched.parts:
                part.state = ready(part.state, part.check.rules)
            self._subscribe(watched.parts, now)
            return []
        if was is Forced.NO:
            self._unsubscribe(watched, now)
        health = Health.UP if forced is Forced.UP else Health.DOWN
        for part in watched.parts:
            part.state, part.silent = VerdictState(health=health), False
        if health is watched.health:
            return []
        return [self._move(watched, health, f"forced {health} by hand", now)]

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
    ) -> list[Change]:
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
        changes: list[Change] = []
        shared = len(subscribers) > 1
        quickest_s = min(part.check.rules.interval_s for part in subscribers) if shared else 0.0
        for part in tuple(subscribers):
            if outcome.ok or outcome.answered:
                self.panic.answered(part.watched.server, self._up.keys(), now)
            if shared and self._is_between_its_checks(part, quickest_s, started_at):
                continue
            part.taken_at = started_at
            part.last, part.last_at, part.trouble = outcome, now, ""
            if outcome.ok:
                part.successes += 1
            else:
                part.failures += 1
            changes += self._judge(part, outcome, now)
        return changes

    def give_up(self, probe: Probe, reason: str, now: float) -> None:
        """A started check could not be carried out: nothing was learnt, verdicts stay."""
        self._void(probe, reason, now, again=False)

    def status(self, key: TargetKey) -> TargetStatus:
        """Raises KeyError for a target that is not watched."""
        watched = self._watched[key]
        checks = tuple(self._status_of(part) for part in watched.parts)
        telling = _telling(checks)
        due = [check.next_at for check in checks if check.next_at is not None]
        return TargetStatus(
            key=key,
            target=watched.target,
            health=watched.health,
            since_at=watched.since_at,
            checks=checks,
            forced=watched.forced,
            held=watched.held,
            weight=watched.weight,
            last_ok=telling.last_ok,
            last_reason=telling.last_reason,
            last_at=telling.last_at,
            last_duration_s=telling.last_duration_s,
            next_check_at=min(due, default=None),
            trouble=telling.trouble,
            successes=sum(check.successes for check in checks),
            failures=sum(check.failures for check in checks),
            voids=sum(check.voids for check in checks),
        )

    def _status_of(self, part: _Part) -> CheckStatus:
        last, probe = part.last, part.check.probe
        suspended = part.watched.forced is not Forced.NO
        return CheckStatus(
            check=part.check,
            health=part.state.health,
            last_ok=None if last is None else last.ok,
            last_reason="not checked yet" if last is None else last.reason,
            last_at=part.last_at,
            last_duration_s=None if last is None else last.duration_s,
            next_at=None if suspended else self._schedule_of(probe).due_at(probe),
            trouble=part.trouble,
            successes=part.successes,
            failures=part.failures,
            voids=part.voids,
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

    def _subscribe(self, parts: Iterable[_Part], now: float) -> None:
        """The first check is due at once, also where the same check already runs for others."""
        for part in parts:
            probe = part.check.probe
            part.taken_at = float("-inf")
            subscribers = self._subscribers.setdefault(probe, [])
            if part not in subscribers:
                subscribers.append(part)
            self._set_interval(probe, now)
            self._schedule_of(probe).hasten(probe, now)

    def _unsubscribe(self, watched: _Watched, now: float) -> None:
        for part in watched.parts:
            probe = part.check.probe
            subscribers = self._subscribers.get(probe, [])
            if part not in subscribers:
                continue
            subscribers.remove(part)
            if subscribers:
                self._set_interval(probe, now)
            else:
                del self._subscribers[probe]
                self._voids_in_row.pop(probe, None)
                self._schedule_of(probe).remove(probe)

    def _set_interval(self, probe: Probe, now: float) -> None:
        intervals = (part.check.rules.interval_s for part in self._subscribers[probe])
        self._schedule_of(probe).put(probe, min(intervals), now)

    def _retarget(self, watched: _Watched, target: Target, now: float) -> None:
        """Other checks or rules: what is known of a check that stays is kept, a new one begins with the verdict so far."""
        same = [check.probe for check in target.checks] == [part.check.probe for part in watched.parts]
        if not same and watched.forced is Forced.NO:
            self._unsubscribe(watched, now)
        known = {part.check.probe: part for part in watched.parts}
        watched.target = target
        if same:
            for part, check in zip(watched.parts, target.checks, strict=True):
                part.check = check
                if watched.forced is Forced.NO:
                    self._set_interval(check.probe, now)
            return
        watched.parts = _parts_of(watched, known)
        if watched.forced is Forced.NO:
            self._subscribe(watched.parts, now)

    @staticmethod
    def _is_between_its_checks(part: _Part, quickest_s: float, started_at: float) -> bool:
        """A target with a longer interval than others on the same check takes only some of the results."""
        interval_s = part.check.rules.interval_s
        return interval_s > quickest_s and started_at - part.taken_at < interval_s - quickest_s / 2

    def _judge(self, part: _Part, outcome: Outcome, now: float) -> list[Change]:
        watched, before = part.watched, part.state
        part.state, moved = judge(before, outcome.ok, part.check.rules)
        if moved is not None:
            part.silent = moved is Health.DOWN and not outcome.answered
        health = watched.combined()
        if health is watched.health:
            if outcome.ok and health is Health.UP:
                watched.held = watched.held and len(watched.parts) > 1 and any(p.state.failures for p in watched.parts)
            return self._weigh(watched)
        if health is Health.DOWN and watched.health is Health.UP and not outcome.answered:
            ruling = self.panic.silent(watched.server, part.window_s, self._up.keys(), now)
            if ruling is not Ruling.LET_GO:
                part.state = before
                watched.held = True
                return self._bring_back(now) if ruling is Ruling.FREEZE else []
            watched.fallen_silent_at = now
        else:
            watched.fallen_silent_at = None
        watched.held = False
        return [self._move(watched, health, outcome.reason, now), *self._weigh(watched)]

    @staticmethod
    def _weigh(watched: _Watched) -> list[Change]:
        """The least weight that a good check asks for, where it is another one than before."""
        good = [part.last for part in watched.parts if part.last is not None and part.last.ok]
        if not good:
            return []
        weight = min((outcome.weight for outcome in good if outcome.weight is not None), default=None)
        if weight == watched.weight:
            return []
        watched.weight = weight
        return [WeightChange(key=watched.key, weight=weight)]

    def _bring_back(self, now: float) -> list[Change]:
        """A storm begins: its first victims went out before it could be recognised."""
        changes: list[Change] = []
        for watched in self._watched.values():
            fell_at = watched.fallen_silent_at
            if fell_at is None or watched.health is not Health.DOWN or watched.forced is not Forced.NO:
                continue
            longest_s = max(part.window_s for part in watched.parts)
            if now - fell_at > longest_s or not self.panic.is_silent(watched.server):
                continue
            for part in watched.parts:
                if part.silent and part.state.health is Health.DOWN:
                    part.state = VerdictState(health=Health.UP, failures=part.check.rules.fall - 1)
                    part.silent = False
            if watched.combined() is Health.UP:
                watched.fallen_silent_at = None
                watched.held = True
                changes.append(self._move(watched, Health.UP, f"panic: {self.panic.reason}", now))
        return changes

    def _move(self, watched: _Watched, health: Health, reason: str, now: float) -> HealthChange:
        if watched.health is Health.UP:
            self._count_up(watched.server, -1)
        if health is Health.UP:
            self._count_up(watched.server, 1)
        watched.health = health
        watched.since_at = now
        return HealthChange(key=watched.key, health=health, reason=reason)

    def _count_up(self, server: IPAddress, change: int) -> None:
        self._up[server] += change
        if self._up[server] == 0:
            del self._up[server]

    def _void(self, probe: Probe, reason: str, now: float, *, again: bool) -> None:
        self.voids += 1
        self._schedule_of(probe).finish(probe, now)
        for part in self._subscribers.get(probe, ()):
            part.voids += 1
            part.trouble = reason
        if probe in self._subscribers:
            self._voids_in_row[probe] = self._voids_in_row.get(probe, 0) + 1
            if again:
                self._schedule_of(probe).hasten(probe, now)


def _parts_of(watched: _Watched, known: Mapping[Probe, _Part]) -> tuple[_Part, ...]:
    """Parts for the target's checks, each probe once; those of `known` probes go on."""
    parts: dict[Probe, _Part] = {}
    for check in watched.target.checks:
        part = known.get(check.probe)
        if part is None:
            part = _Part(watched=watched, check=check, state=VerdictState(health=watched.health))
        part.check = check
        parts.setdefault(check.probe, part)
    return tuple(parts.values())


def _telling(checks: tuple[CheckStatus, ...]) -> CheckStatus:
    """The check whose last word explains a target best."""
    for check in checks:
        if check.last_ok is False or check.trouble:
            return check
    return max(checks, key=lambda check: check.last_at or 0.0)
