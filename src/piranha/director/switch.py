"""Keeping the plane equal to what the reconciler wants: applies repairs, isolates what fails, logs each difference."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar, runtime_checkable

from piranha.base.errors import PiranhaError
from piranha.dataplane.plan import plan
from piranha.dataplane.port import (
    AddDestination,
    AddService,
    DataPlane,
    DeleteDestination,
    DeleteService,
    EditDestination,
    EditService,
    Operation,
    RefusalKind,
    RefusedError,
    SetMarkRules,
    SetSettings,
    SetTimeouts,
)
from piranha.director.byhand import ByHand
from piranha.director.difference import describe
from piranha.director.layout import Layout
from piranha.director.reconcile import Reconciler, Repair, Standing
from piranha.model.configuration import Configuration, TableEdits
from piranha.model.health import Health
from piranha.model.rules import PlaneRules
from piranha.model.service import ServiceEntry, ServiceKey, ServiceStatus
from piranha.monitor.target import TargetKey

T = TypeVar("T")
TIMEOUTS, MARK_RULES, SETTINGS = "timeouts", "mark rules", "settings"

logger = logging.getLogger(__name__)


@runtime_checkable
class Sharing(Protocol):
    """A plane whose table other programs write to as well."""

    def take_over(self, keys: Sequence[ServiceKey]) -> None:
        """Count these services, whoever made them, as ours from now on."""
        ...


class Switch:
    """A data plane with the reconciler that says what it should hold.

    `errors` says for each service why it is not as it should be, `shortfalls` the same for what is beside the services
    (timeouts, mark rules, settings); `fault` is set while the plane cannot be read at all. `tell` hears what a person
    should know of all this, and whether it is bad news.
    """

    def __init__(
        self,
        plane: DataPlane,
        reconciler: Reconciler,
        by_hand: ByHand | None = None,
        tell: Callable[[str, bool], None] = lambda text, bad: None,
    ) -> None:
        self.plane = plane
        self._tell = tell
        self._by_hand = by_hand
        self.reconciler = reconciler
        self.errors: Mapping[ServiceKey, str] = {}
        self.shortfalls: Mapping[str, str] = {}
        self.fault = ""
        self.repairs = 0
        """Differences that nobody asked for and that were mended."""
        self._settled: tuple[ServiceEntry, ...] | None = None
        self._refused: tuple[str, ...] = ()

    def converge(self, health: Mapping[TargetKey, Health], now: float) -> tuple[Repair, Sequence[ServiceStatus]]:
        """One comparison and its repair. Returns what was done, and the table before it.

        Never raises for what a plane refuses: the rest is applied, and the refused is tried again next time.
        """
        try:
            actual = self.snapshot()
            standing = self._standing()
            repair = self.reconciler.reconcile(actual, standing, health, now)
            if repair.operations and self._settled is repair.desired and self._kept(actual, repair.desired):
                repair = self.reconciler.reconcile(actual, standing, health, now)
        except PiranhaError as error:
            self._note_fault(str(error))
            return Repair(desired=(), operations=(), difference=(), conflicts=()), ()
        self._note_fault("")
        is_drift = self._settled is repair.desired
        refused: dict[ServiceKey | str, str] = {}
        if repair.operations:
            for line in repair.difference:
                if line in self._refused:
                    continue
                if is_drift:
                    logger.warning('drift repaired difference="%s"', line)
                    self._tell(f"drift repaired: {line}", True)
                    self.repairs += 1
                else:
                    logger.info('table changed difference="%s"', line)
            refused = self._apply(repair, health, now)
        self._refused = repair.difference if refused else ()
        # What was refused is still a difference next time, but no drift: nobody else made it.
        self._settled = None if refused else repair.desired
        taken = dict.fromkeys(repair.conflicts, "the key belongs to a service that Piranha did not make")
        self._note_errors(taken | {key: text for key, text in refused.items() if isinstance(key, ServiceKey)})
        self._note_shortfalls(
            self._unsupported(standing) | {what: text for what, text in refused.items() if isinstance(what, str)}
        )
        return repair, actual

    def rehearse(
        self, layout: Layout, configuration: Configuration, health: Mapping[TargetKey, Health], now: float
    ) -> tuple[Repair, Sequence[ServiceStatus], PlaneRules | None]:
        """What a layout would change, the table it would change, and the rules. Nothing is done."""
        named = {service.service.key for service in layout.services}
        marked = {status.service.key: status for status in self.snapshot()}
        # A service made by hand that the file names is ours from then on, unless the plane itself says otherwise.
        actual = [
            status if status.service.key in named else marked.get(status.service.key, status)
            for status in self.plane.snapshot()
        ]
        standing = self._standing()
        repair = self.reconciler.rehearse(layout, configuration, actual, standing, health, now)
        return repair, actual, standing.rules

    def snapshot(self) -> Sequence[ServiceStatus]:
        """The plane's table, with what was made by hand as foreign; where the file says so there is no such thing."""
        table = self.plane.snapshot()
        if self._by_hand is None:
            return table
        if self._by_hand.policy is TableEdits.REPAIR:
            return self._taken_over(table, self._by_hand)
        return self._by_hand.mark(table)

    def _taken_over(self, table: Sequence[ServiceStatus], by_hand: ByHand) -> Sequence[ServiceStatus]:
        """Every service counts as ours, to be kept or removed by lvs.cf."""
        by_hand.release([status.service.key for status in table])
        strangers = [status.service.key for status in table if status.foreign]
        if not strangers or not isinstance(self.plane, Sharing):
            return table
        self.plane.take_over(strangers)
        return tuple(replace(status, foreign=False) if status.foreign else status for status in table)

    def _kept(self, actual: Sequence[ServiceStatus], settled: Sequence[ServiceEntry]) -> bool:
        """Let what others changed since the last comparison stay, where the file says so. Whether anything does."""
        if self._by_hand is None:
            return False
        named = {entry.service.key for entry in settled}
        now = [status.entry for status in actual if status.service.key in named and not status.foreign]
        edits = plan(settled, now)
        if not self._by_hand.keep(edits, named):
            return False
        for line in describe(edits, ()):
            logger.info('edit by hand kept difference="%s"', line)
        self.reconciler.keep_edits(self._by_hand.edits)
        return True

    def _standing(self) -> Standing:
        """What the plane has in force beside its table, as far as it can say."""
        return Standing(
            timeouts=self.plane.timeouts(),
            mark_rules=_if_supported(self.plane.mark_rules),
            rules=_if_supported(self.plane.rules),
        )

    def _unsupported(self, standing: Standing) -> dict[str, str]:
        """What the file asks for of a plane that has no such thing."""
        found = {}
        if standing.mark_rules is None and self.reconciler.layout.mark_rules:
            found[MARK_RULES] = "this data plane gives no marks: somebody else's rules have to (nftables)"
        if standing.rules is None:
            changed = [name for name, _, _ in PlaneRules().changes_to(self.reconciler.rules)]
            if changed:
                found[SETTINGS] = f"this data plane does not take {', '.join(changed)}"
        return found

    def _apply(self, repair: Repair, health: Mapping[TargetKey, Health], now: float) -> dict[ServiceKey | str, str]:
        """All at once; when that fails, what is left service by service, so that one refusal costs one service."""
        try:
            self.plane.apply(repair.operations)
            return {}
        except PiranhaError as error:
            logger.debug('the plane refused a batch, applying service by service error="%s"', error)
        errors: dict[ServiceKey | str, str] = {}
        rest = self.reconciler.reconcile(self.snapshot(), self._standing(), health, now)
        groups: dict[ServiceKey | str, list[Operation]] = {}
        for operation in rest.operations:
            groups.setdefault(_subject_of(operation), []).append(operation)
        for key, operations in groups.items():
            try:
                self.plane.apply(operations)
            except PiranhaError as error:
                errors[key] = str(error)
        return errors

    def _note_errors(self, errors: Mapping[ServiceKey, str]) -> None:
        for key, text in errors.items():
            if self.errors.get(key) != text:
                logger.warning('service is not as it should be service="%s" error="%s"', key, text)
                self._tell(f"{key} is not as it should be: {text}", True)
        for key in self.errors:
            if key not in errors:
                logger.info('service is as it should be again service="%s"', key)
                self._tell(f"{key} is as it should be again", False)
        self.errors = errors

    def _note_shortfalls(self, shortfalls: Mapping[str, str]) -> None:
        for what, text in shortfalls.items():
            if self.shortfalls.get(what) != text:
                logger.warning('%s not as they should be error="%s"', what, text)
        for what in self.shortfalls:
            if what not in shortfalls:
                logger.info("%s as they should be again", what)
        self.shortfalls = shortfalls

    def _note_fault(self, text: str) -> None:
        if text and text != self.fault:
            logger.error('the data plane cannot be read error="%s"', text)
            self._tell(f"the data plane cannot be read: {text}", True)
        elif self.fault and not text:
            logger.info("the data plane can be read again")
            self._tell("the data plane can be read again", False)
        self.fault = text


def _if_supported(read: Callable[[], T]) -> T | None:
    """What the plane says; None where it has no such thing."""
    try:
        return read()
    except RefusedError as refused:
        if refused.kind is RefusalKind.UNSUPPORTED:
            return None
        raise


def _subject_of(operation: Operation) -> ServiceKey | str:
    """The service that an operation is about, or the word for what is beside the services."""
    match operation:
        case AddService(service=service) | EditService(service=service):
            return service.key
        case DeleteService(key=key):
            return key
        case AddDestination(service=key) | EditDestination(service=key) | DeleteDestination(service=key):
            return key
        case SetTimeouts():
            return TIMEOUTS
        case SetMarkRules():
            return MARK_RULES
        case SetSettings():
            return SETTINGS
    raise AssertionError(f"the reconciler plans no {type(operation).__name__}")
