"""Finding the table: that of lvsd where it runs, else the data plane itself, with lvsd kept out by its own lock."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from piranha.base.errors import PiranhaError, UnreachableError
from piranha.base.lock import FileLock, LockedError
from piranha.base.paths import Paths
from piranha.dataplane.port import Connection, Operation, SyncDaemon
from piranha.ipvsadm.refusal import MUST_BE_ROOT
from piranha.ipvsadm.table import CannotOpenError, PlaneTable, Table
from piranha.model.service import ServiceStatus, Timeouts

if TYPE_CHECKING:
    from piranha.ipvsadm.lvsd import LvsdTable

IPVS = "ipvs"
WAIT_S = 5.0
"""How long to wait for an lvsd that starts or stops, or another ipvsadm at work."""
_PAUSE_S = 0.02
_ANSWER_S = 60.0
_CHOICE = re.compile(r"^[ \t]*dataplane[ \t]*=[ \t]*\"?([a-z]+)", re.MULTILINE)


class FoundTable:
    """Keeps the contract of `Table`; looks for the table when it is first needed. Close it, or use it as a context."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._opened = ExitStack()
        self._table: Table | None = None
        self._is_kernels = False

    @property
    def size(self) -> int:
        return self._find().size

    def snapshot(self) -> Sequence[ServiceStatus]:
        return self._find().snapshot()

    def connections(self) -> Sequence[Connection]:
        return self._find().connections()

    def timeouts(self) -> Timeouts:
        return self._find().timeouts()

    def daemons(self) -> Sequence[SyncDaemon]:
        return self._find().daemons()

    def apply(self, operations: Sequence[Operation]) -> Sequence[PiranhaError | None]:
        return self._find().apply(operations) if operations else ()

    @property
    def is_kernels(self) -> bool:
        """Whether the kernel's IPVS has the table, and with it the files under /proc/net."""
        self._find()
        return self._is_kernels

    def close(self) -> None:
        self._opened.close()

    def __enter__(self) -> FoundTable:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _find(self) -> Table:
        if self._table is None:
            try:
                self._table = self._look()
            except CannotOpenError:
                raise
            except PiranhaError as error:
                raise CannotOpenError(error.message, mend=error.mend) from error
        return self._table

    def _look(self) -> Table:
        if os.geteuid() != 0:
            raise CannotOpenError(MUST_BE_ROOT)
        deadline_at = time.monotonic() + WAIT_S
        while True:
            try:
                lock = FileLock(self._paths.lvsd_lock)
            except LockedError:
                found = self._ask_lvsd(deadline_at)
                if found is None:
                    time.sleep(_PAUSE_S)
                    continue
                return self._open_ipvs() if found.plane == IPVS else found
            if dataplane_choice(self._paths.config) == IPVS:
                # The kernel keeps that table in order by itself.
                lock.close()
                return self._open_ipvs()
            self._opened.callback(lock.close)
            return self._open_ebpf()

    def _ask_lvsd(self, deadline_at: float) -> LvsdTable | None:
        from piranha.client.http import Client
        from piranha.ipvsadm.lvsd import LvsdTable

        try:
            return LvsdTable(Client(self._paths.api_socket, timeout_s=_ANSWER_S))
        except UnreachableError:
            if time.monotonic() > deadline_at:
                raise
            return None

    def _open_ipvs(self) -> Table:
        from piranha.dataplane.ipvs.plane import IpvsPlane

        plane = IpvsPlane.open(self._paths, touch_foreign=True)
        self._opened.callback(plane.close)
        self._is_kernels = True
        return PlaneTable(plane, plane.information().table_size)

    def _open_ebpf(self) -> Table:
        from piranha.ipvsadm.ebpf import EbpfTable

        table = EbpfTable(self._paths)
        self._opened.callback(table.close)
        return table


def dataplane_choice(config: Path) -> str:
    """What lvs.cf says of the data plane, without the cost of reading the rest; "" where it says nothing."""
    try:
        text = config.read_text(errors="replace")
    except OSError:
        return ""
    found = _CHOICE.search(text)
    return found.group(1) if found is not None else ""
