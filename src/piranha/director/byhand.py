"""Services that ipvsadm made through us or beside us: shown as foreign and left alone, until lvs.cf names their key."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Protocol

from piranha.base.errors import PiranhaError
from piranha.dataplane.port import AddService, Operation
from piranha.model.service import ServiceKey, ServiceStatus

logger = logging.getLogger(__name__)


class Ledger(Protocol):
    """Keys that outlive this process (`dataplane/ipvs/ownership.py` is one)."""

    @property
    def keys(self) -> tuple[ServiceKey, ...]: ...

    def add(self, key: ServiceKey) -> None: ...

    def discard(self, key: ServiceKey) -> None: ...

    def keep_only(self, present: Collection[ServiceKey]) -> None: ...

    def save(self) -> None: ...


class MemoryLedger:
    """A ledger that is forgotten with the process: for planes that are too."""

    def __init__(self) -> None:
        self._keys: dict[ServiceKey, None] = {}

    @property
    def keys(self) -> tuple[ServiceKey, ...]:
        return tuple(self._keys)

    def add(self, key: ServiceKey) -> None:
        self._keys[key] = None

    def discard(self, key: ServiceKey) -> None:
        self._keys.pop(key, None)

    def keep_only(self, present: Collection[ServiceKey]) -> None:
        self._keys = {key: None for key in self._keys if key in present}

    def save(self) -> None:
        """There is no place to."""


class ByHand:
    """Which services of the table were made by hand, as far as the plane itself does not know."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def mark(self, table: Sequence[ServiceStatus]) -> Sequence[ServiceStatus]:
        """The table with those services as foreign. Forgets the ones that are gone."""
        keys = frozenset(self._ledger.keys)
        if not keys:
            return table
        if not keys <= {status.service.key for status in table}:
            self._ledger.keep_only({status.service.key for status in table})
            self._save()
        return tuple(replace(status, foreign=True) if status.service.key in keys else status for status in table)

    def note(self, operations: Sequence[Operation], outcomes: Sequence[PiranhaError | None]) -> None:
        """What `operations` made; those that were refused made nothing."""
        for operation, refused in zip(operations, outcomes, strict=True):
            if isinstance(operation, AddService) and refused is None:
                self._ledger.add(operation.service.key)
        self._save()

    def release(self, keys: Collection[ServiceKey]) -> None:
        """These are ours now, whoever made them: lvs.cf names them."""
        for key in keys:
            self._ledger.discard(key)
        self._save()

    def _save(self) -> None:
        try:
            self._ledger.save()
        except PiranhaError as error:
            logger.warning('what was made by hand is forgotten at the next start error="%s"', error)
