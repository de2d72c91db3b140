"""Keeping the plane equal to what the reconciler wants: applies repairs, isolates what fails, logs each difference."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from piranha.base.errors import PiranhaError
from piranha.dataplane.port import (
    AddDestination,
    AddService,
    DataPlane,
    DeleteDestination,
    DeleteService,
    EditDestination,
    EditService,
    Operation,
)
from piranha.director.reconcile import Reconciler, Repair
from piranha.model.health import Health
from piranha.model.service import ServiceEntry, ServiceKey, ServiceStatus
from piranha.monitor.target import TargetKey

logger = logging.getLogger(__name__)


class Switch:
    """A data plane with the reconciler that says what it should hold.

    `errors` says for each service why it is not as it should be; `fault` is set while the plane cannot be read at all.
    """

    def __init__(self, plane: DataPlane, reconciler: Reconciler) -> None:
        self.plane = plane
        self.reconciler = reconciler
        self.errors: Mapping[ServiceKey, str] = {}
        self.fault = ""
        self._settled: tuple[ServiceEntry, ...] | None = None

    def converge(self, health: Mapping[TargetKey, Health], now: float) -> tuple[Repair, Sequence[ServiceStatus]]:
        """One comparison and its repair. Returns what was done, and the table before it.

        Never raises for what a plane refuses: the rest is applied, and the refused is tried again next time.
        """
        try:
            actual = self.plane.snapshot()
            repair = self.reconciler.reconcile(actual, self.plane.timeouts(), health, now)
        except PiranhaError as error:
            self._note_fault(str(error))
            return Repair(desired=(), operations=(), difference=(), conflicts=()), ()
        self._note_fault("")
        is_drift = self._settled is repair.desired
        refused: dict[ServiceKey, str] = {}
        if repair.operations:
            for line in repair.difference:
                if is_drift:
                    logger.warning('drift repaired difference="%s"', line)
                else:
                    logger.info('table changed difference="%s"', line)
            refused = self._apply(repair, health, now)
        # What was refused is still a difference next time, but no drift: nobody else made it.
        self._settled = None if refused else repair.desired
        taken = dict.fromkeys(repair.conflicts, "the key belongs to a service that Piranha did not make")
        self._note_errors(taken | refused)
        return repair, actual

    def _apply(self, repair: Repair, health: Mapping[TargetKey, Health], now: float) -> dict[ServiceKey, str]:
        """All at once; when that fails, what is left service by service, so that one refusal costs one service."""
        try:
            self.plane.apply(repair.operations)
            return {}
        except PiranhaError as error:
            logger.debug('the plane refused a batch, applying service by service error="%s"', error)
        errors: dict[ServiceKey, str] = {}
        rest = self.reconciler.reconcile(self.plane.snapshot(), self.plane.timeouts(), health, now)
        groups: dict[ServiceKey | None, list[Operation]] = {}
        for operation in rest.operations:
            groups.setdefault(_service_of(operation), []).append(operation)
        for key, operations in groups.items():
            try:
                self.plane.apply(operations)
            except PiranhaError as error:
                if key is None:
                    logger.warning('the plane refused the timeouts error="%s"', error)
                else:
                    errors[key] = str(error)
        return errors

    def _note_errors(self, errors: Mapping[ServiceKey, str]) -> None:
        for key, text in errors.items():
            if self.errors.get(key) != text:
                logger.warning('service is not as it should be service="%s" error="%s"', key, text)
        for key in self.errors:
            if key not in errors:
                logger.info('service is as it should be again service="%s"', key)
        self.errors = errors

    def _note_fault(self, text: str) -> None:
        if text and text != self.fault:
            logger.error('the data plane cannot be read error="%s"', text)
        elif self.fault and not text:
            logger.info("the data plane can be read again")
        self.fault = text


def _service_of(operation: Operation) -> ServiceKey | None:
    match operation:
        case AddService(service=service) | EditService(service=service):
            return service.key
        case DeleteService(key=key):
            return key
        case AddDestination(service=key) | EditDestination(service=key) | DeleteDestination(service=key):
            return key
    return None
