"""Operations that stand for themselves: the refused ones are named, the others done, in few calls."""

from __future__ import annotations

from collections.abc import Sequence

from piranha.base.errors import PiranhaError
from piranha.dataplane.memory import MemoryPlane
from piranha.dataplane.port import AddService, DeleteService, Operation, RefusalKind, RefusedError
from piranha.dataplane.series import apply_each
from piranha.model.service import Service, ServiceKey


def add(mark: int) -> AddService:
    return AddService(service=Service(key=ServiceKey.of_mark(mark)))


class CountingPlane(MemoryPlane):
    calls = 0

    def apply(self, operations: Sequence[Operation]) -> None:
        self.calls += 1
        super().apply(operations)


class ForgetfulPlane(MemoryPlane):
    """Looks through all operations before it begins, and fails before the first."""

    def apply(self, operations: Sequence[Operation]) -> None:
        if sum(1 for _ in operations) > 0:
            list(iter(operations))
            raise PiranhaError("broken")


def marks(plane: MemoryPlane) -> list[int]:
    return [status.service.key.mark for status in plane.snapshot()]


def kinds(outcomes: Sequence[PiranhaError | None]) -> list[RefusalKind | None]:
    return [outcome.kind if isinstance(outcome, RefusedError) else None for outcome in outcomes]


def test_all_at_once_when_nothing_is_refused() -> None:
    plane = CountingPlane()
    assert apply_each(plane, [add(1), add(2), add(3)]) == (None, None, None)
    assert marks(plane) == [1, 2, 3]
    assert plane.calls == 1


def test_what_is_refused_stands_alone() -> None:
    plane = CountingPlane()
    operations = [add(1), add(1), add(2), DeleteService(key=ServiceKey.of_mark(9)), add(3)]
    outcomes = apply_each(plane, operations)
    assert kinds(outcomes) == [None, RefusalKind.EXISTS, None, RefusalKind.NO_SERVICE, None]
    assert marks(plane) == [1, 2, 3]
    assert plane.applied == [operations[0], operations[2], operations[4]]
    assert plane.calls == 3


def test_nothing_is_nothing() -> None:
    plane = CountingPlane()
    assert apply_each(plane, []) == ()
    assert plane.calls == 0


def test_a_plane_that_always_fails_ends() -> None:
    outcomes = apply_each(ForgetfulPlane(), [add(1), add(2)])
    assert len(outcomes) == 2
    assert any(outcome is not None for outcome in outcomes)
