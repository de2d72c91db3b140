"""What we know of each record in the kernel's tables: its place, its value, and which places are free."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from piranha.dataplane.ebpf.hashing import fold
from piranha.dataplane.ebpf.schedulers.base import Candidate, SlotTable
from piranha.dataplane.port import RefusalKind, RefusedError
from piranha.model.service import Destination, DestinationKey, Service, ServiceKey


@dataclass(slots=True)
class DestinationRecord:
    """A destination and its place. Whoever removed it may be gone: then `removed_at` is when we found it."""

    index: int
    destination: Destination
    fold: int  # its address and port in hashes
    last_weight: int = 0  # the last one that was not 0, since it was added
    removed_at: float | None = None

    def candidate(self) -> Candidate:
        return Candidate(self.index, self.destination.weight, self.last_weight, self.fold)


@dataclass(slots=True)
class ServiceRecord:
    """A service, its place, its destinations in the order of adding, and the scheduler's table not yet published."""

    index: int
    service: Service
    destinations: dict[DestinationKey, DestinationRecord] = field(default_factory=dict)
    pending: SlotTable | None = None

    def candidates(self) -> list[Candidate]:
        """In scheduler order: the newest destination first."""
        return [r.candidate() for r in reversed(self.destinations.values())]


class Indices:
    """Free places of an array, lowest first, so that the used part stays short."""

    def __init__(self, size: int, what: str) -> None:
        self._size, self._what = size, what
        self._next = 1  # 0 is never used: it means "none"
        self._free: list[int] = []
        self.top = 1

    def take(self) -> int:
        index = self._free.pop() if self._free else self._next
        if index >= self._size:
            raise RefusedError(RefusalKind.FULL, f"no room for another {self._what} ({self._size - 1} are in use)")
        if index == self._next:
            self._next += 1
            self.top = max(self.top, self._next)
        return index

    def give(self, index: int) -> None:
        self._free.append(index)

    def adopt(self, used: Iterable[int]) -> None:
        taken = set(used)
        self._next = max(taken, default=0) + 1
        self.top = self._next
        self._free = [index for index in range(self._next - 1, 0, -1) if index not in taken]


def folded(service: ServiceKey, destination: DestinationKey) -> int:
    """A destination's address and port as hashes of this service take them."""
    return fold(destination.address, destination.port, service.address.version)
