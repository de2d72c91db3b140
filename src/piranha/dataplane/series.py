"""Operations that stand for themselves: one that is refused does not keep the others from being tried."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, overload

from piranha.base.errors import PiranhaError
from piranha.dataplane.port import Operation


class Editable(Protocol):
    """The part of a data plane that changes it."""

    def apply(self, operations: Sequence[Operation]) -> None: ...


def apply_each(plane: Editable, operations: Sequence[Operation]) -> tuple[PiranhaError | None, ...]:
    """Carry out `operations` in order, in as few calls of the plane as refusals allow.

    Returns for each None, or the error that refused it.
    """
    outcomes: list[PiranhaError | None] = []
    while len(outcomes) < len(operations):
        rest = _Watched(operations[len(outcomes) :])
        try:
            plane.apply(rest)
        except PiranhaError as error:
            # The port: operations before the first that failed stay.
            outcomes += [None] * max(0, rest.taken - 1)
            outcomes.append(error)
        else:
            outcomes += [None] * len(rest)
    return tuple(outcomes)


class _Watched(Sequence[Operation]):
    """Operations that know how many of them the latest reader has taken."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self._operations = operations
        self.taken = 0

    def __len__(self) -> int:
        return len(self._operations)

    @overload
    def __getitem__(self, index: int) -> Operation: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Operation]: ...

    def __getitem__(self, index: int | slice) -> Operation | Sequence[Operation]:
        return self._operations[index]

    def __iter__(self) -> Iterator[Operation]:
        self.taken = 0
        for operation in self._operations:
            self.taken += 1
            yield operation
