"""The read model of services: states, roles, remarks."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from piranha.dataplane.memory import MemoryPlane
from piranha.dataplane.plan import plan
from piranha.director.admission import Admission, Admitted, Facts
from piranha.director.desired import desired_entries
from piranha.director.health import targets_of
from piranha.director.layout import Layout, lay_out
from piranha.director.overview import overview
from piranha.director.rates import RateMeter
from piranha.director.services import ServiceView, services_document
from piranha.model.configuration import Configuration, DeviceAddress, RealServer, VirtualServer
from piranha.model.health import Health
from piranha.model.service import (
    Destination,
    DestinationKey,
    ForwardingMethod,
    Protocol,
    Service,
    ServiceEntry,
    ServiceKey,
)
from piranha.monitor.target import Forced, TargetKey, TargetStatus

SERVERS = tuple(
    RealServer(name=f"web{n}", address=ip_address(f"10.0.0.{10 + n}"), active=True, weight=n) for n in (1, 2)
)
HTTP = VirtualServer(
    name="HTTP",
    active=True,
    address=DeviceAddress(address=ip_address("10.0.0.100"), device="eth0"),
    sorry_server=ip_address("10.0.0.99"),
    servers=SERVERS,
)
UP, DOWN, UNKNOWN = Health.UP, Health.DOWN, Health.UNKNOWN


def admission_of(layout: Layout, health: dict[TargetKey, Health]) -> Admitted:
    return Admission().decide(layout, Facts(health=health, held={}, advised={}), 0.0)


def view(
    virtual: VirtualServer,
    *verdicts: Health,
    applied: bool = True,
    forced: Forced = Forced.NO,
    trouble: str = "",
    extra: tuple[Destination, ...] = (),
) -> ServiceView:
    """The service as it is shown when the table is as these verdicts ask for, with `extra` destinations besides."""
    plane = MemoryPlane()
    layout = lay_out(Configuration(network=ForwardingMethod.DIRECT, virtuals=(virtual,)), plane.capabilities)
    targets = targets_of(layout)
    health = dict(zip(targets, verdicts, strict=True))
    (entry,) = desired_entries(layout, admission_of(layout, health))
    if applied:
        plane.apply(plan((), (replace(entry, destinations=entry.destinations + extra),)))

    def checkup(key: TargetKey) -> TargetStatus:
        return TargetStatus(
            key=key,
            target=targets[key],
            health=health[key],
            since_at=40.0,
            forced=forced,
            last_reason="connection refused",
            last_at=98.0,
            trouble=trouble,
        )

    document = services_document(
        layout.services,
        plane.snapshot(),
        checkup=checkup,
        held=(),
        errors={},
        baseline=RateMeter().baseline(0),
        now=100.0,
    )
    return document["services"][0]


@pytest.mark.parametrize(
    ("verdicts", "state"),
    [((UP, UP), "up"), ((UP, DOWN), "degraded"), ((DOWN, DOWN), "sorry"), ((UNKNOWN, UNKNOWN), "sorry")],
)
def test_the_state_of_a_service_in_a_word(verdicts: tuple[Health, Health], state: str) -> None:
    assert view(HTTP, *verdicts)["state"] == state


def test_without_a_sorry_server_it_is_down() -> None:
    assert view(replace(HTTP, sorry_server=None), DOWN, DOWN)["state"] == "down"


def test_a_server_of_weight_zero_is_not_missed() -> None:
    assert view(replace(HTTP, servers=(SERVERS[0], replace(SERVERS[1], weight=0))), UP, UP)["state"] == "up"


def test_a_service_that_the_plane_lacks_says_so() -> None:
    service = view(HTTP, UP, UP, applied=False)
    assert (service["state"], service["error"]) == ("down", "not in the table")


def test_the_sorry_server_is_named_as_such() -> None:
    servers = view(HTTP, DOWN, DOWN)["servers"]
    assert [(s["name"], s["role"], s["weight"]) for s in servers] == [
        ("web1", "real", None),
        ("web2", "real", None),
        ("sorry server", "sorry", 1),
    ]


def test_a_real_server_that_stands_in_as_sorry_server_is_named_as_such() -> None:
    virtual = replace(HTTP, sorry_server=SERVERS[0].address)
    assert [s["role"] for s in view(virtual, DOWN, DOWN)["servers"]] == ["sorry", "real"]
    assert view(virtual, DOWN, DOWN)["state"] == "sorry"
    assert [s["role"] for s in view(virtual, UP, DOWN)["servers"]] == ["real", "real"]


def test_what_nobody_configured_is_shown() -> None:
    stranger = Destination(
        key=DestinationKey(address=ip_address("10.0.0.66"), port=80), method=ForwardingMethod.TUNNEL, weight=4
    )
    shown = view(HTTP, UP, UP, extra=(stranger,))["servers"][-1]
    assert (shown["role"], shown["address"], shown["weight"], shown["configured_weight"]) == (
        "unknown",
        "10.0.0.66",
        4,
        None,
    )


def test_times_are_ages() -> None:
    server = view(HTTP, UP, UP)["servers"][0]
    assert (server["since_s"], server["checked_s"]) == (60.0, 2.0)


def test_why_we_cannot_check_goes_before_what_the_last_check_said() -> None:
    assert view(HTTP, UP, UP)["servers"][0]["reason"] == "connection refused"
    assert view(HTTP, UP, UP, trouble="no such program")["servers"][0]["reason"] == "no such program"


def test_a_forced_verdict_is_marked() -> None:
    assert view(HTTP, UP, UP, forced=Forced.UP)["servers"][0]["forced"]
    assert not view(HTTP, UP, UP)["servers"][0]["forced"]


def test_foreign_services_come_last() -> None:
    plane = MemoryPlane()
    key = ServiceKey(protocol=Protocol.UDP, address=ip_address("10.0.0.7"), port=53)
    plane.inject_foreign(ServiceEntry(service=Service(key=key)))
    document = services_document(
        (),
        plane.snapshot(),
        checkup=lambda key: None,
        held=(),
        errors={},
        baseline=RateMeter().baseline(0),
        now=0,
    )
    assert [(s["name"], s["state"], s["protocol"]) for s in document["services"]] == [("", "foreign", "udp")]


def test_the_overview_agrees_with_the_views() -> None:
    plane = MemoryPlane()
    virtuals = (HTTP, replace(HTTP, name="B", port=81, sorry_server=None), replace(HTTP, name="C", port=82))
    layout = lay_out(Configuration(network=ForwardingMethod.DIRECT, virtuals=virtuals), plane.capabilities)
    targets = list(targets_of(layout))
    health = dict(zip(targets, (UP, UP, UP, DOWN, DOWN, DOWN), strict=True))
    plane.apply(plan((), desired_entries(layout, admission_of(layout, health))))
    plane.inject_foreign(
        ServiceEntry(service=Service(key=ServiceKey(protocol=Protocol.UDP, address=ip_address("10.0.0.7"), port=53)))
    )
    summary, lines = overview(
        layout.services, plane.snapshot(), health=health, held=(), baseline=RateMeter().baseline(0)
    )
    assert summary == {
        "services": 4,
        "states": {"up": 1, "degraded": 1, "sorry": 1, "foreign": 1},
        "servers": 6,
        "servers_up": 3,
        "by_hand": 1,
    }
    assert [(line["name"], line["state"], line["servers_up"]) for line in lines] == [
        ("HTTP", "up", 2),
        ("B", "degraded", 1),
        ("C", "sorry", 0),
        ("", "foreign", 0),
    ]
