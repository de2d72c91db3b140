"""The reconciler: compares what is with what should be, and says what to do about it. A core: no I/O, time comes in.

It keeps only what may be forgotten: the *holds*. A destination that is already in the table but has no verdict yet
(lvsd was killed and came back, or a person edited the file) stays as it is until its first verdict, or until two
timeouts of its check have passed. So neither a restart nor a reload ever empties a working pool.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from piranha.dataplane.handedits import HandEdits
from piranha.dataplane.plan import foreign_conflicts, plan
from piranha.dataplane.port import DeleteService, Operation, SetMarkRules, SetSettings, SetTimeouts
from piranha.director.admission import Admission, Admitted, Advised, Facts, QuorumChange
from piranha.director.adoption import adopted
from piranha.director.desired import desired_entries
from piranha.director.difference import describe
from piranha.director.layout import Layout
from piranha.model.configuration import Configuration, TableEdits
from piranha.model.health import Health
from piranha.model.mark import MarkRule
from piranha.model.override import Overrides
from piranha.model.rules import PlaneRules
from piranha.model.service import ServiceEntry, ServiceKey, ServiceStatus, Timeouts
from piranha.monitor.target import TargetKey

HOLD_TIMEOUTS = 2
"""How many timeouts of its check a destination without a verdict is held."""
DEFAULT_TIMEOUTS = Timeouts(tcp_s=900, tcp_fin_s=120, udp_s=300)
"""What IPVS starts with; a reload that drops a timeout from the file returns to it."""
_TIMEOUT_TOLERANCE_S = 0.05
"""A plane may round to its own tick."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """What to apply now. `difference` is for people; `conflicts` are desired keys that a foreign service occupies.

    `desired` is the same object as long as nothing asked for a change: operations are then the repair of a drift.
    """

    desired: tuple[ServiceEntry, ...]
    operations: tuple[Operation, ...]
    difference: tuple[str, ...]
    conflicts: tuple[ServiceKey, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a plane has in force beside its table. None: it cannot say, and is asked for nothing."""

    timeouts: Timeouts
    mark_rules: tuple[MarkRule, ...] | None = None
    rules: PlaneRules | None = None


@dataclass(frozen=True, slots=True)
class _Hold:
    weighted: bool
    until: float


class Reconciler:
    """Desired against actual, with the holds of destinations that await their first verdict.

    `overrides` are the operators' words and `advised` what load asks for; both are replaced, never changed. `admitted`
    says what each member got and why; `quorum_changes` are those since `take_quorum_changes`.
    """

    def __init__(self) -> None:
        self.layout = Layout()
        """With the edits by hand that stay."""
        self._planned = Layout()
        self._edits = HandEdits()
        self.timeouts = Timeouts()
        self.rules = PlaneRules()
        self._holds: dict[TargetKey, _Hold] = {}
        self.overrides = Overrides()
        self.advised: Mapping[TargetKey, Advised] = {}
        self.admitted = Admitted(shares={}, sorry=frozenset())
        self._quorum_changes: list[QuorumChange] = []
        self._admission = Admission()
        self._basis: Facts | None = None
        self._entries: tuple[ServiceEntry, ...] = ()

    @property
    def held(self) -> frozenset[TargetKey]:
        """Members that stay in the table without a verdict."""
        return frozenset(self._holds)

    def adopt(
        self,
        layout: Layout,
        configuration: Configuration,
        actual: Sequence[ServiceStatus],
        health: Mapping[TargetKey, Health],
        now: float,
    ) -> None:
        """Take a new layout. What stands in `actual` without a verdict is held; an older hold keeps its deadline."""
        standing = {
            TargetKey(service=status.service.key, destination=d.destination.key): d.destination.weight > 0
            for status in actual
            if not status.foreign
            for d in status.destinations
        }
        holds: dict[TargetKey, _Hold] = {}
        for service in layout.services:
            for member in service.members:
                if health.get(member.key, Health.UNKNOWN) is Health.UNKNOWN and member.key in standing:
                    fresh = _Hold(standing[member.key], now + HOLD_TIMEOUTS * service.virtual.timeout_s)
                    holds[member.key] = self._holds.get(member.key, fresh)
        self._planned = layout
        self.layout = adopted(layout, self._edits)
        self.timeouts = _wanted_timeouts(configuration, self.timeouts)
        self.rules = configuration.rules
        self._holds = holds
        self._basis = None

    def keep_edits(self, edits: HandEdits) -> None:
        """These edits by hand are to stay; called again after each change of them."""
        self._edits = edits
        self.layout = adopted(self._planned, edits)
        self._basis = None

    def desired(self, health: Mapping[TargetKey, Health], now: float) -> tuple[ServiceEntry, ...]:
        """The table that should be now. Holds that met their verdict or their deadline are gone after this.

        `health` is never changed by its owner: the same object means the same health, and nothing is computed anew.
        """
        self._holds = {
            key: hold
            for key, hold in self._holds.items()
            if hold.until > now and health.get(key, Health.UNKNOWN) is Health.UNKNOWN
        }
        if self._is_settled(health, now):
            return self._entries
        held = {key: hold.weighted for key, hold in self._holds.items()}
        facts = Facts(health=health, held=held, overrides=self.overrides, advised=self.advised)
        self.admitted = self._admission.decide(self.layout, facts, now)
        self._quorum_changes.extend(self.admitted.changes)
        entries = desired_entries(self.layout, self.admitted)
        if self._basis is None or entries != self._entries:
            self._entries = entries
        self._basis = facts
        return self._entries

    def take_quorum_changes(self) -> tuple[QuorumChange, ...]:
        """Services that reached or lost their quorum since the last call."""
        changes = tuple(self._quorum_changes)
        self._quorum_changes.clear()
        return changes

    def _is_settled(self, health: Mapping[TargetKey, Health], now: float) -> bool:
        """Whether nothing has changed since the last decision, and nothing by time alone."""
        basis, due_at = self._basis, self.admitted.due_at
        return (
            basis is not None
            and basis.health is health
            and basis.overrides is self.overrides
            and basis.advised is self.advised
            and basis.held.keys() == self.held
            and (due_at is None or now < due_at)
        )

    def reconcile(
        self,
        actual: Sequence[ServiceStatus],
        standing: Standing,
        health: Mapping[TargetKey, Health],
        now: float,
    ) -> Repair:
        """What makes the plane, which has the table `actual` and `standing` in force, as it should be."""
        desired = self.desired(health, now)
        operations = plan(actual, desired)
        if standing.mark_rules not in (None, self.layout.mark_rules):
            # A mark is given when its service can take the packets, and no longer when the service goes.
            at = next((n for n, operation in enumerate(operations) if isinstance(operation, DeleteService)), None)
            operations.insert(len(operations) if at is None else at, SetMarkRules(rules=self.layout.mark_rules))
        if standing.rules not in (None, self.rules):
            operations.insert(0, SetSettings(settings=self.rules))
        if not _covers(standing.timeouts, self.timeouts):
            operations.insert(0, SetTimeouts(timeouts=self.timeouts))
        return Repair(
            desired=desired,
            operations=tuple(operations),
            difference=describe(operations, actual, rules=standing.rules) if operations else (),
            conflicts=foreign_conflicts(actual, desired),
        )

    def rehearse(
        self,
        layout: Layout,
        configuration: Configuration,
        actual: Sequence[ServiceStatus],
        standing: Standing,
        health: Mapping[TargetKey, Health],
        now: float,
    ) -> Repair:
        """What `adopt` and `reconcile` would do with a layout; nothing of it is kept."""
        other = Reconciler()
        if configuration.table_edits is TableEdits.ADOPT:
            other.keep_edits(self._edits)
        other.overrides, other.advised = self.overrides, self.advised
        other.timeouts, other._holds = self.timeouts, dict(self._holds)
        other.adopt(layout, configuration, actual, health, now)
        return other.reconcile(actual, standing, health, now)


def _wanted_timeouts(configuration: Configuration, before: Timeouts) -> Timeouts:
    return Timeouts(
        tcp_s=configuration.tcp_timeout_s or (before.tcp_s and DEFAULT_TIMEOUTS.tcp_s),
        tcp_fin_s=configuration.tcpfin_timeout_s or (before.tcp_fin_s and DEFAULT_TIMEOUTS.tcp_fin_s),
        udp_s=configuration.udp_timeout_s or (before.udp_s and DEFAULT_TIMEOUTS.udp_s),
    )


def _covers(actual: Timeouts, wanted: Timeouts) -> bool:
    return all(
        want == 0 or abs(have - want) <= _TIMEOUT_TOLERANCE_S
        for have, want in (
            (actual.tcp_s, wanted.tcp_s),
            (actual.tcp_fin_s, wanted.tcp_fin_s),
            (actual.udp_s, wanted.udp_s),
        )
    )
