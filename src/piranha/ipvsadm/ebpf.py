"""The eBPF data plane while no lvsd runs. What is made here counts as made by hand when lvsd comes back."""

from __future__ import annotations

from collections.abc import Sequence

from piranha.base.errors import PiranhaError
from piranha.base.paths import Paths
from piranha.config.parser import parse
from piranha.config.store import read_text
from piranha.dataplane.ebpf.pins import Pins
from piranha.dataplane.ebpf.plane import EbpfPlane, PlaneSettings
from piranha.dataplane.ebpf.tables import Capacity
from piranha.dataplane.ipvs.ownership import Ownership, table_identity
from piranha.dataplane.memory import DEFAULT_TIMEOUTS
from piranha.dataplane.port import AddService, Clear, Connection, DeleteService, Operation, SyncDaemon
from piranha.ipvsadm.table import CannotOpenError, PlaneTable
from piranha.model.configuration import Configuration
from piranha.model.service import ServiceStatus, Timeouts


class EbpfTable:
    """Keeps the contract of `Table`. Reading loads nothing into a kernel that has no plane; the first change does.

    The caller holds lvsd's lock. Nobody follows routes and neighbours afterwards: only lvsd does.
    """

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._plane: EbpfPlane | None = None

    @property
    def size(self) -> int:
        return self._table().size if self._is_there else Capacity().connections

    def snapshot(self) -> Sequence[ServiceStatus]:
        return self._table().snapshot() if self._is_there else ()

    def connections(self) -> Sequence[Connection]:
        return self._table().connections() if self._is_there else ()

    def timeouts(self) -> Timeouts:
        return self._table().timeouts() if self._is_there else DEFAULT_TIMEOUTS

    def daemons(self) -> Sequence[SyncDaemon]:
        return self._table().daemons() if self._is_there else ()

    def apply(self, operations: Sequence[Operation]) -> Sequence[PiranhaError | None]:
        table = self._table()
        by_hand = Ownership(self._paths.by_hand, table_identity())
        made = [operation.service.key for operation in operations if isinstance(operation, AddService)]
        if made:
            by_hand.intend(made)
        outcomes = table.apply(operations)
        for operation, refused in zip(operations, outcomes, strict=True):
            match operation:
                case AddService(service=service) if refused is None:
                    by_hand.add(service.key)
                case DeleteService(key=key) if refused is None:
                    by_hand.discard(key)
                case Clear():
                    by_hand.keep_only(())
        by_hand.save()
        return outcomes

    def close(self) -> None:
        if self._plane is not None:
            self._plane.close()

    @property
    def _is_there(self) -> bool:
        """Whether a plane stands in the kernel, or was put there just now."""
        return self._plane is not None or (Pins(self._paths.bpffs).mounted and bool(Pins(self._paths.bpffs).abis()))

    def _table(self) -> PlaneTable:
        if self._plane is None:
            try:
                self._plane = EbpfPlane.open(self._paths, PlaneSettings.of(self._configuration()))
            except PiranhaError as error:
                raise CannotOpenError(error.message, mend=error.mend) from error
        return PlaneTable(self._plane)

    def _configuration(self) -> Configuration:
        """Interfaces and hook as lvs.cf has them: a plane that forwards must not be moved by a listing."""
        config = self._paths.config
        if not config.exists():
            return Configuration()
        parsed = parse(read_text(config), file=str(config))
        if not parsed.is_usable:
            raise PiranhaError(f"{config} has errors", mend=f"see `piranha config check {config}`")
        return parsed.configuration
