"""What ipvsadm did through us or beside us, and what becomes of it by `table_edits` of lvs.cf.

| made by hand                          | show                  | repair  | adopt                 |
|---------------------------------------|-----------------------|---------|-----------------------|
| a service that lvs.cf does not name   | stays, foreign        | removed | stays, foreign        |
| an edit of a service that it names    | undone                | undone  | stays, shown          |
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Protocol

from piranha.base.errors import PiranhaError
from piranha.dataplane.handedits import HandEdits
from piranha.dataplane.port import AddService, Operation
from piranha.model.configuration import TableEdits
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


class EditStore(Protocol):
    """Edits that outlive this process (`dataplane/editsfile.py` is one)."""

    def load(self) -> HandEdits: ...

    def save(self, edits: HandEdits) -> None: ...


class MemoryEdits:
    """A store that is forgotten with the process."""

    def load(self) -> HandEdits:
        return HandEdits()

    def save(self, edits: HandEdits) -> None:
        """There is no place to."""


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
    """Which services of the table were made by hand, as far as the plane itself does not know, and `edits` that stay.

    `policy` is the file's.
    """

    def __init__(self, ledger: Ledger, store: EditStore | None = None) -> None:
        self._ledger = ledger
        self._store = store or MemoryEdits()
        self.edits = self._store.load()
        self.policy = TableEdits.SHOW

    def mark(self, table: Sequence[ServiceStatus]) -> Sequence[ServiceStatus]:
        """The table with those services as foreign. Forgets the ones that are gone."""
        keys = frozenset(self._ledger.keys)
        if not keys:
            return table
        if not keys <= {status.service.key for status in table}:
            self._ledger.keep_only({status.service.key for status in table})
            self._save()
        return tuple(replace(status, foreign=True) if status.service.key in keys else status for status in table)

    def note(self, operations: Sequence[Operation], named: Collection[ServiceKey]) -> bool:
        """What `operations` made; lvs.cf names the services `named`. Whether an edit of theirs stays."""
        for operation in operations:
            if isinstance(operation, AddService) and operation.service.key not in named:
                self._ledger.add(operation.service.key)
        self._save()
        return self.keep(operations, named)

    def keep(self, operations: Sequence[Operation], named: Collection[ServiceKey]) -> bool:
        """Let edits of services that lvs.cf names stay, where it says so. Whether there were any."""
        if self.policy is not TableEdits.ADOPT:
            return False
        before = self.edits.operations
        for operation in operations:
            self.edits.take(operation)
        self.edits.keep_only(named)
        if self.edits.operations == before:
            return False
        self._save_edits()
        return True

    def release(self, keys: Collection[ServiceKey]) -> None:
        """These are ours now, whoever made them."""
        for key in keys:
            self._ledger.discard(key)
        self._save()

    def follow(self, policy: TableEdits, named: Collection[ServiceKey]) -> None:
        """A file comes into force that names these services: they are ours, and edits of others are of no use."""
        self.policy = policy
        self.release(named)
        self.edits.keep_only(named if policy is TableEdits.ADOPT else ())
        self._save_edits()

    def _save_edits(self) -> None:
        try:
            self._store.save(self.edits)
        except PiranhaError as error:
            logger.warning('edits by hand are forgotten at the next start error="%s"', error)

    def _save(self) -> None:
        try:
            self._ledger.save()
        except PiranhaError as error:
            logger.warning('what was made by hand is forgotten at the next start error="%s"', error)
