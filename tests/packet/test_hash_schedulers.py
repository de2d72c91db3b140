"""sh, dh and mh: the same client (or address) gets the same server as from the kernel's IPVS, bucket by bucket."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from piranha.base.clock import ManualClock
from piranha.dataplane.ebpf.records import Records
from piranha.dataplane.port import AddDestination, AddService, EditDestination, EditService
from piranha.model.service import Destination, DestinationKey, ForwardingMethod, Protocol, Service, ServiceKey
from tests.packet.bench import Bench
from tests.packet.scenarios import Stage, differences, named
from tests.uml.scenario import Scenario

WEB = ServiceKey(protocol=Protocol.TCP, address=ip_address("10.9.0.1"), port=80)


@pytest.mark.parametrize("scenario", named("sh", "mh", "dh"), ids=lambda scenario: scenario.name)
def test_choices_are_those_of_ipvs(bench: Bench, scenario: Scenario) -> None:
    assert differences(scenario, Stage(bench).play(scenario)) == []


def server(number: int, weight: int) -> Destination:
    key = DestinationKey(address=ip_address(f"10.2.0.{number}"), port=80)
    return Destination(key=key, method=ForwardingMethod.MASQUERADE, weight=weight)


def table_of(bench: Bench) -> list[int]:
    """The words in force of the only service."""
    (word,) = (int(row["table"]) for row in bench.tables.services if row["table"])
    start, length = word & 0xFFFFFFFF, word >> 32
    return list(bench.tables.slots[start + 1 : start + 1 + length])


def test_mh_keeps_the_places_of_a_quiesced_server_over_a_restart(tc: Bench) -> None:
    tc.plane.apply([AddService(service=Service(key=WEB, scheduler="mh"))])
    tc.plane.apply([AddDestination(service=WEB, destination=server(number, number)) for number in (1, 2, 3)])
    built = table_of(tc)
    tc.plane.apply([EditDestination(service=WEB, destination=server(2, 0))])
    assert table_of(tc) == built

    tc.tables.adopted = True
    try:
        reborn = Records(tc.tables, ManualClock(2000.0))
    finally:
        tc.tables.adopted = False
    assert table_of(tc) == built
    reborn.apply(EditDestination(service=WEB, destination=server(2, 0)))
    reborn.publish()
    assert table_of(tc) == built


def test_mh_takes_the_last_weight_into_a_change_of_scheduler(tc: Bench) -> None:
    tc.plane.apply([AddService(service=Service(key=WEB, scheduler="mh"))])
    tc.plane.apply([AddDestination(service=WEB, destination=server(number, number)) for number in (1, 2, 3)])
    built = table_of(tc)
    for scheduler in ("rr", "mh"):
        tc.clock.advance(2)
        tc.plane.apply([EditDestination(service=WEB, destination=server(3, 0))])
        tc.plane.apply([EditService(service=Service(key=WEB, scheduler=scheduler))])
    assert table_of(tc) == built
