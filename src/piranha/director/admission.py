"""Admission: which members of a service stand in the table, with which weight, and why. A core: time comes in.

The nanny says who is fit; a person may say otherwise; damping, slow start, load, quorum and the depool threshold make
weights of it. It keeps what has a past (since when a server is good, how often it failed, whether the quorum was
there), and all of that may be forgotten: a fresh one treats what stands in the table as grown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import ceil

from piranha.director.damping import Damping
from piranha.director.layout import Layout, Member, PlannedService
from piranha.director.quorum import quorate
from piranha.director.ramp import ramped
from piranha.model.configuration import VirtualServer
from piranha.model.health import Health
from piranha.model.override import NO_OVERRIDES, NOTHING_SAID, Act, Overrides, Word
from piranha.model.service import ServiceKey
from piranha.monitor.target import TargetKey

_BEGINNING_TIMEOUTS = 3
"""So many timeouts after a service began its servers come in at full weight: they all begin together."""


class Cause(StrEnum):
    """Why a member stands as it does."""

    FIT = "fit"
    DOWN = "down"
    UNCHECKED = "not checked yet"
    HELD = "held until its first check"
    DAMPED = "held back, it fails too often"
    GROWING = "slow start"
    LOAD = "weight by load"
    KEPT = "down, but too few others are left"
    DISABLED = "disabled"
    DRAINING = "draining"
    DRAINED = "drained"
    WEIGHT = "weight given by an operator"
    FORCED_UP = "forced up"
    FORCED_DOWN = "forced down"
    NO_QUORUM = "the quorum is lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What a member gets. `weight` None: it is not in the table. `until` is when time alone may change it."""

    weight: int | None
    cause: Cause
    until: float | None = None

    @property
    def takes_connections(self) -> bool:
        return self.weight is not None and self.weight > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Advised:
    """What load or a check asks for. `percent` and `weight` are of the configured weight, or in its place.

    `health` DOWN takes the server out as a failed check does; `quiesced` gives it no new connections.
    """

    weight: int | None = None
    percent: float | None = None
    health: Health = Health.UNKNOWN
    quiesced: bool = False

    def of(self, configured: int) -> int:
        """The weight it makes of the configured one."""
        if self.weight is not None:
            return min(max(self.weight, 0), 2**31 - 1)
        if self.percent is None or configured == 0:
            return configured
        share = round(configured * self.percent / 100)
        # Something of a weight stays something, so that only 0 % itself takes a server off.
        return 0 if self.percent == 0 else min(max(share, 1), 2**31 - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuorumChange:
    """A service has reached its quorum or lost it."""

    service: PlannedService
    reached: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What admission decides by. Objects are replaced, never changed by their owners."""

    health: Mapping[TargetKey, Health]
    held: Mapping[TargetKey, bool]
    overrides: Overrides = NO_OVERRIDES
    advised: Mapping[TargetKey, Advised]


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """The shares of all members. `sorry` are services whose sorry server stands in; `due_at` is when to ask again."""

    shares: Mapping[TargetKey, Share]
    sorry: frozenset[ServiceKey]
    changes: tuple[QuorumChange, ...] = ()
    due_at: float | None = None


class _Past:
    """What is remembered of one member."""

    __slots__ = ("admitted", "damping", "down_since", "grown_from", "up_since")

    def __init__(self) -> None:
        self.damping = Damping()
        self.up_since: float | None = None
        self.down_since: float | None = None
        self.grown_from: float | None = None
        self.admitted = False
        """Whether it has had new connections since it was last taken out by a person."""


class Admission:
    """Decides for all services of a layout. `decide` is called with every change, and again at `due_at`."""

    def __init__(self) -> None:
        self._pasts: dict[TargetKey, _Past] = {}
        self._quorums: dict[ServiceKey, bool] = {}
        self._began: dict[ServiceKey, float] = {}

    def decide(self, layout: Layout, facts: Facts, now: float) -> Admitted:
        """The shares of now. A member that is gone from the layout is forgotten."""
        shares: dict[TargetKey, Share] = {}
        sorry: set[ServiceKey] = set()
        changes: list[QuorumChange] = []
        pasts: dict[TargetKey, _Past] = {}
        for service in layout.services:
            found = self._service(service, facts, now, pasts)
            key = service.service.key
            alive = sum(
                _alive_weight(member, facts.overrides.of(str(key), member.key.destination.address))
                for member in service.members
                if found[member.key].takes_connections and found[member.key].cause is not Cause.KEPT
            )
            before = self._quorums.get(key)
            virtual = service.virtual
            has_quorum = quorate(before, alive, quorum=virtual.quorum, hysteresis=virtual.quorum_hysteresis)
            if has_quorum is not before and (before is not None or has_quorum):
                changes.append(QuorumChange(service=service, reached=has_quorum))
            if has_quorum or before is not None:
                self._quorums[key] = has_quorum
            if not has_quorum and service.sorry is not None:
                sorry.add(key)
                found = {one: _without_quorum(share) for one, share in found.items()}
            shares.update(found)
        self._pasts = pasts
        keys = {service.service.key for service in layout.services}
        self._quorums = {key: reached for key, reached in self._quorums.items() if key in keys}
        self._began = {key: at for key, at in self._began.items() if key in keys}
        due = [share.until for share in shares.values() if share.until is not None]
        return Admitted(shares=shares, sorry=frozenset(sorry), changes=tuple(changes), due_at=min(due, default=None))

    def _service(
        self, service: PlannedService, facts: Facts, now: float, pasts: dict[TargetKey, _Past]
    ) -> dict[TargetKey, Share]:
        virtual, key = service.virtual, str(service.service.key)
        began = self._began.setdefault(service.service.key, now)
        beginning = now < began + _BEGINNING_TIMEOUTS * virtual.timeout_s
        shares: dict[TargetKey, Share] = {}
        for member in service.members:
            past = pasts[member.key] = self._pasts.get(member.key) or _Past()
            word = facts.overrides.of(key, member.key.destination.address) if facts.overrides else NOTHING_SAID
            shares[member.key] = _member(member, virtual, past, word, facts, now)
        _relieve_damped(service.members, shares)
        _keep_enough(service, shares, pasts)
        for member in service.members:
            shares[member.key] = _grow(member, virtual, pasts[member.key], shares[member.key], now, beginning)
        return shares


def _member(member: Member, virtual: VirtualServer, past: _Past, word: Word, facts: Facts, now: float) -> Share:
    health = facts.health.get(member.key, Health.UNKNOWN)
    advised = facts.advised.get(member.key)
    _observe(past, health, now)
    out = 0 if virtual.quiesce_server else None
    if word.admission is not None and word.admission.act is not Act.ENABLE:
        past.admitted = False
        if word.admission.act is Act.DISABLE:
            return Share(weight=None, cause=Cause.DISABLED)
        if word.admission.drained:
            return Share(weight=None, cause=Cause.DRAINED)
        # A drain is for connections that go on: a dead server has none to wait for, yet who it is is not our guess.
        return Share(weight=0, cause=Cause.DRAINING)
    if word.force is not None and word.force.act is Act.DOWN:
        return Share(weight=out, cause=Cause.FORCED_DOWN)
    forced_up = word.force is not None
    if not forced_up:
        if health is Health.UNKNOWN:
            if member.key not in facts.held:
                return Share(weight=None, cause=Cause.UNCHECKED)
            weight = member.fit.weight if facts.held[member.key] else 0
            past.admitted = past.admitted or weight > 0
            return _weighed(member, word, None, Share(weight=weight, cause=Cause.HELD))
        if health is Health.DOWN or (advised is not None and advised.health is Health.DOWN):
            return Share(weight=out, cause=Cause.DOWN)
        assert past.up_since is not None
        until = past.damping.held_until(
            past.up_since, limit=virtual.flap_limit, window_s=virtual.flap_window_s, hold_s=virtual.flap_hold_s
        )
        if until > now:
            return Share(weight=out, cause=Cause.DAMPED, until=until)
    return _weighed(
        member, word, advised, Share(weight=member.fit.weight, cause=Cause.FORCED_UP if forced_up else Cause.FIT)
    )


def _observe(past: _Past, health: Health, now: float) -> None:
    """Note when it came up and when it went down."""
    if health is Health.UP:
        if past.up_since is None:
            past.up_since = now
        past.down_since = None
    elif health is Health.DOWN:
        if past.up_since is not None:
            past.damping.failed(now)
        past.up_since = None
        if past.down_since is None:
            past.down_since = now


def _weighed(member: Member, word: Word, advised: Advised | None, share: Share) -> Share:
    """The operator's weight, else what load asks for."""
    if word.weight is not None:
        # What stands in the table quiesced, not yet checked, stays so.
        quiesced = share.cause is Cause.HELD and share.weight == 0
        return share if quiesced else Share(weight=word.weight.weight, cause=Cause.WEIGHT)
    if advised is None:
        return share
    weight = 0 if advised.quiesced else advised.of(member.fit.weight)
    return share if weight == share.weight else Share(weight=weight, cause=Cause.LOAD)


def _relieve_damped(members: Sequence[Member], shares: dict[TargetKey, Share]) -> None:
    """Damping never empties a pool: where nobody else takes connections, servers that are good do."""
    if any(share.takes_connections for share in shares.values()):
        return
    for member in members:
        if shares[member.key].cause is Cause.DAMPED:
            shares[member.key] = Share(weight=member.fit.weight, cause=Cause.FIT)


def _keep_enough(service: PlannedService, shares: dict[TargetKey, Share], pasts: Mapping[TargetKey, _Past]) -> None:
    """Let so many in that the depool threshold holds: first who is good but damped, then the last to fail.

    Only servers that were in are kept.
    """
    threshold = service.virtual.depool_threshold
    if not threshold:
        return
    asked = [m for m in service.members if m.fit.weight > 0 and shares[m.key].cause not in _BY_A_PERSON]
    present = sum(shares[member.key].takes_connections for member in asked)
    missing = ceil(len(asked) * threshold / 100) - present
    if missing <= 0:
        return
    damped = [m for m in asked if shares[m.key].cause is Cause.DAMPED]
    damped.sort(key=lambda member: pasts[member.key].up_since or 0.0)
    fallen = [m for m in asked if shares[m.key].cause is Cause.DOWN and pasts[m.key].admitted]
    fallen.sort(key=lambda member: pasts[member.key].down_since or 0.0, reverse=True)
    for member in (*damped, *fallen)[:missing]:
        cause = Cause.KEPT if shares[member.key].cause is Cause.DOWN else Cause.FIT
        shares[member.key] = Share(weight=member.fit.weight, cause=cause)


def _grow(member: Member, virtual: VirtualServer, past: _Past, share: Share, now: float, beginning: bool) -> Share:
    """Slow start of what just came in."""
    if not share.takes_connections:
        past.grown_from = None
        if share.cause not in (Cause.DOWN, Cause.DAMPED, Cause.UNCHECKED, Cause.LOAD):
            past.admitted = False
        return share
    was_in = past.grown_from is not None
    if not was_in:
        grown = beginning or share.cause in (Cause.HELD, Cause.KEPT)
        past.grown_from = float("-inf") if grown else now
    past.admitted = True
    assert share.weight is not None
    assert past.grown_from is not None
    if not virtual.slow_start_s or share.cause not in (Cause.FIT, Cause.LOAD):
        return share
    elapsed_s = now - past.grown_from
    weight, next_s = ramped(share.weight, elapsed_s, virtual.slow_start_s, virtual.slow_start_form)
    return share if next_s is None else Share(weight=weight, cause=Cause.GROWING, until=now + next_s)


def _alive_weight(member: Member, word: Word) -> int:
    """What a member counts for the quorum: its weight without ramp and load, which are no signs of death."""
    return word.weight.weight if word.weight is not None else member.fit.weight


def _without_quorum(share: Share) -> Share:
    return Share(weight=0, cause=Cause.NO_QUORUM) if share.takes_connections else share


_BY_A_PERSON = frozenset((Cause.DISABLED, Cause.DRAINING, Cause.DRAINED, Cause.FORCED_DOWN))
