"""The plan: complete, minimal, and never without a usable destination on the way."""

from __future__ import annotations

import time
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piranha.dataplane.memory import MemoryPlane
from piranha.dataplane.plan import foreign_conflicts, plan
from piranha.dataplane.port import (
    AddDestination,
    AddService,
    DeleteDestination,
    DeleteService,
    EditDestination,
    EditService,
)
from piranha.model.service import (
    Destination,
    DestinationKey,
    ForwardingMethod,
    Protocol,
    Service,
    ServiceEntry,
    ServiceKey,
)


def service_key(number: int, port: int = 80) -> ServiceKey:
    return ServiceKey(protocol=Protocol.TCP, address=IPv4Address(0x0A000000 + number), port=port)


def destination(number: int, weight: int = 1, method: ForwardingMethod = ForwardingMethod.DIRECT) -> Destination:
    key = DestinationKey(address=IPv4Address(0xC0A80000 + number), port=80)
    return Destination(key=key, method=method, weight=weight)


def entry(number: int, *destinations: Destination, scheduler: str = "rr") -> ServiceEntry:
    return ServiceEntry(service=Service(key=service_key(number), scheduler=scheduler), destinations=destinations)


def plane_with(table: tuple[ServiceEntry, ...]) -> MemoryPlane:
    plane = MemoryPlane()
    plane.apply(plan((), table))
    return plane


def as_sets(table: tuple[ServiceEntry, ...]) -> dict[Service, frozenset[Destination]]:
    return {e.service: frozenset(e.destinations) for e in table}


destinations = st.builds(
    destination, st.integers(1, 5), st.sampled_from([0, 0, 1, 3]), st.sampled_from(list(ForwardingMethod))
)
entries = st.builds(
    lambda number, scheduler, ds: entry(number, *ds, scheduler=scheduler),
    st.integers(1, 5),
    st.sampled_from(["rr", "wrr", "wlc"]),
    st.lists(destinations, max_size=5, unique_by=lambda d: d.key),
)
tables = st.lists(entries, max_size=5, unique_by=lambda e: e.service.key).map(tuple)


@given(tables, tables)
def test_applying_the_plan_gives_the_desired_table(
    before: tuple[ServiceEntry, ...], after: tuple[ServiceEntry, ...]
) -> None:
    plane = plane_with(before)
    plane.apply(plan(plane.snapshot(), after))
    assert as_sets(tuple(s.entry for s in plane.snapshot())) == as_sets(after)


@given(tables)
def test_nothing_to_do_when_equal(table: tuple[ServiceEntry, ...]) -> None:
    assert plan(table, table) == []
    reordered = tuple(ServiceEntry(service=e.service, destinations=e.destinations[::-1]) for e in reversed(table))
    assert plan(reordered, table) == []


@given(tables, tables)
def test_a_service_that_stays_usable_is_usable_after_every_operation(
    before: tuple[ServiceEntry, ...], after: tuple[ServiceEntry, ...]
) -> None:
    plane = plane_with(before)
    stays = usable(before) & usable(after)
    for operation in plan(before, after):
        plane.apply([operation])
        assert stays <= usable(tuple(s.entry for s in plane.snapshot()))


def usable(table: tuple[ServiceEntry, ...]) -> set[ServiceKey]:
    return {e.service.key for e in table if any(d.weight > 0 for d in e.destinations)}


@given(tables, tables)
def test_a_plan_has_no_operation_to_spare(before: tuple[ServiceEntry, ...], after: tuple[ServiceEntry, ...]) -> None:
    """The count equals the number of objects that differ; a deleted service takes its destinations along."""
    old = {e.service.key: e for e in before}
    expected = len(old.keys() - {e.service.key for e in after})
    for e in after:
        now = old.get(e.service.key)
        if now is None:
            expected += 1 + len(e.destinations)
            continue
        expected += now.service != e.service
        have, want = ({d.key: d for d in x.destinations} for x in (now, e))
        expected += len(have.keys() ^ want.keys()) + sum(have[k] != want[k] for k in have.keys() & want.keys())
    assert len(plan(before, after)) == expected


def test_order_inside_a_service_is_raise_then_lower() -> None:
    before = (entry(1, destination(1), destination(2, 0), destination(3)),)
    after = (entry(1, destination(1, 0), destination(2, 5), destination(4), scheduler="wrr"),)
    assert plan(before, after) == [
        EditService(service=after[0].service),
        EditDestination(service=service_key(1), destination=destination(2, 5)),
        AddDestination(service=service_key(1), destination=destination(4)),
        EditDestination(service=service_key(1), destination=destination(1, 0)),
        DeleteDestination(service=service_key(1), key=destination(3).key),
    ]


def test_deleted_services_come_last_and_new_ones_keep_their_order() -> None:
    before, after = (entry(9),), (entry(3, destination(2), destination(1)), entry(2))
    assert plan(before, after) == [
        AddService(service=after[0].service),
        AddDestination(service=service_key(3), destination=destination(2)),
        AddDestination(service=service_key(3), destination=destination(1)),
        AddService(service=after[1].service),
        DeleteService(key=service_key(9)),
    ]


@pytest.mark.parametrize(
    "changed",
    [destination(1, 7), destination(1, 0), destination(1, 1, ForwardingMethod.TUNNEL)],
    ids=["weight", "quiesce", "method"],
)
def test_a_changed_destination_is_edited(changed: Destination) -> None:
    assert plan((entry(1, destination(1)),), (entry(1, changed),)) == [
        EditDestination(service=service_key(1), destination=changed)
    ]


def test_foreign_services_are_left_alone() -> None:
    plane = MemoryPlane()
    plane.inject_foreign(entry(1, destination(1)))
    plane.inject_foreign(entry(2, destination(1)))
    wanted = (entry(1, destination(2)), entry(3))
    assert plan(plane.snapshot(), wanted) == [AddService(service=wanted[1].service)]
    assert foreign_conflicts(plane.snapshot(), wanted) == (service_key(1),)


def test_families_and_protocols_are_different_services() -> None:
    v4 = ServiceKey(protocol=Protocol.TCP, address=IPv4Address("10.0.0.1"), port=53)
    keys = (
        v4,
        ServiceKey(protocol=Protocol.UDP, address=v4.address, port=53),
        ServiceKey(protocol=Protocol.TCP, address=IPv6Address("::10.0.0.1"), port=53),
    )
    table = tuple(ServiceEntry(service=Service(key=key)) for key in keys)
    assert plan(table[:1], table) == [AddService(service=e.service) for e in table[1:]]


def test_five_thousand_services_are_planned_at_once() -> None:
    before = tuple(entry(n, *(destination(4 * n + i) for i in range(4))) for n in range(5000))
    changed = entry(2500, *(destination(10_000 + i, 2 if i == 3 else 1) for i in range(4)))
    # Built anew, so that nothing is equal just because it is the same object.
    after = tuple(changed if n == 2500 else entry(n, *(destination(4 * n + i) for i in range(4))) for n in range(5000))
    started = time.process_time()
    operations = plan(before, after)
    spent_s = time.process_time() - started
    assert operations == [EditDestination(service=service_key(2500), destination=destination(10_003, 2))]
    assert spent_s < 1
