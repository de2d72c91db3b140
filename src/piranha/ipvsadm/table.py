"""The table that commands work on: a data plane here, or that of a running lvsd."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from piranha.base.errors import PiranhaError
from piranha.dataplane.port import Connection, ConnectionFilter, ConnectionPage, Operation, SyncDaemon
from piranha.dataplane.series import apply_each
from piranha.model.service import ServiceStatus, Timeouts

EVERY_CONNECTION = ConnectionFilter(limit=2**31 - 1)


class CannotOpenError(PiranhaError):
    """There is no table to work on."""


class Table(Protocol):
    @property
    def size(self) -> int:
        """What the header of listings shows: how many connections the table has room for."""
        ...

    def snapshot(self) -> Sequence[ServiceStatus]: ...

    def connections(self) -> Sequence[Connection]: ...

    def timeouts(self) -> Timeouts: ...

    def daemons(self) -> Sequence[SyncDaemon]: ...

    def apply(self, operations: Sequence[Operation]) -> Sequence[PiranhaError | None]:
        """Try each operation on its own, in order. Returns for each None, or why it was refused."""
        ...


class Plane(Protocol):
    """What a data plane has to do for this, the port's words."""

    def snapshot(self) -> Sequence[ServiceStatus]: ...

    def connections(self, wanted: ConnectionFilter) -> ConnectionPage: ...

    def timeouts(self) -> Timeouts: ...

    def daemons(self) -> Sequence[SyncDaemon]: ...

    def apply(self, operations: Sequence[Operation]) -> None: ...


class PlaneTable:
    """A data plane of this process that has room for `size` connections."""

    def __init__(self, plane: Plane, size: int) -> None:
        self._plane = plane
        self.size = size

    def snapshot(self) -> Sequence[ServiceStatus]:
        return self._plane.snapshot()

    def connections(self) -> Sequence[Connection]:
        return self._plane.connections(EVERY_CONNECTION).rows

    def timeouts(self) -> Timeouts:
        return self._plane.timeouts()

    def daemons(self) -> Sequence[SyncDaemon]:
        return self._plane.daemons()

    def apply(self, operations: Sequence[Operation]) -> Sequence[PiranhaError | None]:
        return apply_each(self._plane, operations)
