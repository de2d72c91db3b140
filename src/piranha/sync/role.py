"""This director's part in the pair, as connection sync needs to know it. Who decides it is not known here."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

from piranha.dataplane.port import SyncRole


class PairRole(StrEnum):
    """Standalone: nobody decides, so that both directors tell and both listen."""

    STANDALONE = "standalone"
    ACTIVE = "active"
    BACKUP = "backup"

    @property
    def daemons(self) -> frozenset[SyncRole]:
        """The active director tells, the backup listens; the original did the same with the kernel's daemons."""
        return _DAEMONS[self]


_DAEMONS = {
    PairRole.STANDALONE: frozenset(SyncRole),
    PairRole.ACTIVE: frozenset((SyncRole.MASTER,)),
    PairRole.BACKUP: frozenset((SyncRole.BACKUP,)),
}


class RoleSource(Protocol):
    """Where the role comes from."""

    @property
    def role(self) -> PairRole: ...

    def on_change(self, call: Callable[[], None]) -> None:
        """Have `call` called after each change, in the event loop's thread."""
        ...


class SettableRole:
    """A role that is set by hand: that of a director without pulse, and of tests."""

    def __init__(self, role: PairRole = PairRole.STANDALONE) -> None:
        self._role = role
        self._calls: list[Callable[[], None]] = []

    @property
    def role(self) -> PairRole:
        return self._role

    def on_change(self, call: Callable[[], None]) -> None:
        self._calls.append(call)

    def set(self, role: PairRole) -> None:
        if role is self._role:
            return
        self._role = role
        for call in self._calls:
            call()
