"""The eBPF data plane while no lvsd runs. What is made here counts as made by hand when lvsd comes back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from piranha.base.errors import PiranhaError
from piranha.base.paths import Paths
from piranha.dataplane.ebpf.pinned import PinnedPlane
from piranha.dataplane.ebpf.pins import Pins
from piranha.dataplane.ebpf.tables import Capacity
from piranha.dataplane.editsfile import EditsFile
from piranha.dataplane.handedits import service_of
from piranha.dataplane.ipvs.ownership import Ownership, table_identity
from piranha.dataplane.memory import DEFAULT_TIMEOUTS
from piranha.dataplane.port import AddService, Clear, Connection, DeleteService, Operation, SyncDaemon
from piranha.dataplane.series import apply_each
from piranha.ipvsadm.table import EVERY_CONNECTION, CannotOpenError, Plane
from piranha.model.service import ServiceStatus, Timeouts

if TYPE_CHECKING:
    from piranha.model.configuration import Configuration


class EbpfTable:
    """Keeps the contract of `Table`. Loads programs only where it must: for the first change of a kernel without a plane,
    after an upgrade, and for the program that translates replies of this host's own servers.

    The caller holds lvsd's lock. Nobody follows routes and neighbours afterwards: only lvsd does.
    """

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._plane: Plane | None = None
        self._pinned: PinnedPlane | None = None
        self._size = Capacity().connections
        self._opened = ExitStack()

    @property
    def size(self) -> int:
        self._find()
        return self._size

    def snapshot(self) -> Sequence[ServiceStatus]:
        plane = self._find()
        return () if plane is None else plane.snapshot()

    def connections(self) -> Sequence[Connection]:
        plane = self._find()
        return () if plane is None else plane.connections(EVERY_CONNECTION).rows

    def timeouts(self) -> Timeouts:
        plane = self._find()
        return DEFAULT_TIMEOUTS if plane is None else plane.timeouts()

    def daemons(self) -> Sequence[SyncDaemon]:
        plane = self._find()
        return () if plane is None else plane.daemons()

    def apply(self, operations: Sequence[Operation]) -> Sequence[PiranhaError | None]:
        plane = self._find() or self._load()
        by_hand = Ownership(self._paths.by_hand, table_identity())
        made = [operation.service.key for operation in operations if isinstance(operation, AddService)]
        if made:
            by_hand.intend(made)
        outcomes = apply_each(plane, operations)
        self._note_edits(operations, outcomes, by_hand)
        for operation, refused in zip(operations, outcomes, strict=True):
            match operation:
                case AddService(service=service) if refused is None:
                    by_hand.add(service.key)
                case DeleteService(key=key) if refused is None:
                    by_hand.discard(key)
                case Clear():
                    by_hand.keep_only(())
        by_hand.save()
        if self._pinned is not None and self._pinned.needs_programs:
            self._load()
        return outcomes

    def close(self) -> None:
        self._opened.close()

    def _note_edits(
        self, operations: Sequence[Operation], outcomes: Sequence[PiranhaError | None], by_hand: Ownership
    ) -> None:
        """Write down what changed of services that were not made by hand: lvsd will know whether it may stay."""
        made = {operation.service.key for operation in operations if isinstance(operation, AddService)}
        skipped = {None, *by_hand.keys, *made}
        edits = [
            operation
            for operation, refused in zip(operations, outcomes, strict=True)
            if refused is None and (isinstance(operation, Clear) or service_of(operation) not in skipped)
        ]
        if edits:
            file = EditsFile(self._paths.edits_by_hand, table_identity())
            kept = file.load()
            for operation in edits:
                kept.take(operation)
            file.save(kept)

    def _find(self) -> Plane | None:
        """The plane that stands in the kernel; None where there is none, and none was put there just now."""
        if self._plane is None:
            with _as_no_table():
                pinned = PinnedPlane.open(self._paths)
            if pinned is not None:
                self._opened.callback(pinned.close)
                self._plane = self._pinned = pinned
                self._size = pinned.capacity
            elif Pins(self._paths.bpffs).mounted and Pins(self._paths.bpffs).abis():
                self._load()
        return self._plane

    def _load(self) -> Plane:
        """Make the plane, or take over the one that is there, with programs of our own."""
        # This half costs most of a second; what it imports is in proportion.
        from piranha.dataplane.ebpf.plane import EbpfPlane, PlaneSettings

        self._opened.close()
        self._pinned = None
        with _as_no_table():
            plane = EbpfPlane.open(self._paths, PlaneSettings.of(self._configuration()))
        self._opened.callback(plane.close)
        self._plane, self._size = plane, plane.status().connection_capacity
        return plane

    def _configuration(self) -> Configuration:
        """Interfaces and hook as lvs.cf has them: a plane that forwards must not be moved by an edit."""
        from piranha.config.parser import parse
        from piranha.config.store import read_text
        from piranha.model.configuration import Configuration

        config = self._paths.config
        if not config.exists():
            return Configuration()
        parsed = parse(read_text(config), file=str(config))
        if not parsed.is_usable:
            raise PiranhaError(f"{config} has errors", mend=f"see `piranha config check {config}`")
        return parsed.configuration


@contextmanager
def _as_no_table() -> Iterator[None]:
    """An error on the way to the table is one of there being none."""
    try:
        yield
    except PiranhaError as error:
        raise CannotOpenError(error.message, mend=error.mend) from error
