"""The switch: a plane that cannot be read, refusals isolated by service, drift told from change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address

import pytest

from piranha.base.errors import PiranhaError
from piranha.dataplane.memory import MemoryPlane
from piranha.dataplane.port import DeleteService
from piranha.director.layout import lay_out
from piranha.director.reconcile import Reconciler
from piranha.director.switch import Switch
from piranha.model.configuration import Configuration, DeviceAddress, VirtualServer
from piranha.model.health import Health
from piranha.model.service import Protocol, ServiceKey, ServiceStatus
from piranha.monitor.target import TargetKey

ONE = VirtualServer(
    name="ONE", active=True, address=DeviceAddress(address=ip_address("10.0.0.1"), device="eth0"), scheduler="rr"
)
TWO = replace(ONE, name="TWO", port=81)
NOBODY: Mapping[TargetKey, Health] = {}


def key(port: int) -> ServiceKey:
    return ServiceKey(protocol=Protocol.TCP, address=ip_address("10.0.0.1"), port=port)


class BlindPlane(MemoryPlane):
    """A plane that can be made unreadable."""

    blind = False

    def snapshot(self) -> tuple[ServiceStatus, ...]:
        if self.blind:
            raise PiranhaError("the maps are gone")
        return super().snapshot()


@pytest.fixture
def plane() -> BlindPlane:
    return BlindPlane()


@pytest.fixture
def switch(plane: BlindPlane) -> Switch:
    reconciler = Reconciler()
    configuration = Configuration(virtuals=(ONE, TWO))
    reconciler.adopt(lay_out(configuration, plane.capabilities), configuration, (), NOBODY, 0)
    return Switch(plane, reconciler)


def test_one_refusal_costs_one_service(switch: Switch, plane: BlindPlane) -> None:
    plane.fail_on.add(key(80))
    switch.converge(NOBODY, 0)
    assert [s.service.key for s in plane.snapshot()] == [key(81)]
    assert "no space left" in switch.errors[key(80)]
    plane.fail_on.clear()
    switch.converge(NOBODY, 1)
    assert len(plane.snapshot()) == 2
    assert switch.errors == {}


def test_an_unreadable_plane_is_said_once_and_survived(
    switch: Switch, plane: BlindPlane, caplog: pytest.LogCaptureFixture
) -> None:
    plane.blind = True
    for second in range(3):
        repair, _ = switch.converge(NOBODY, second)
        assert repair.operations == ()
    assert switch.fault == "the maps are gone"
    assert sum("cannot be read" in line for line in caplog.messages) == 1
    plane.blind = False
    switch.converge(NOBODY, 3)
    assert switch.fault == ""
    assert len(plane.snapshot()) == 2


def test_what_nobody_asked_for_is_drift(switch: Switch, plane: BlindPlane, caplog: pytest.LogCaptureFixture) -> None:
    switch.converge(NOBODY, 0)
    plane.apply([DeleteService(key=key(80))])
    switch.converge(NOBODY, 1)
    assert caplog.messages == ['drift repaired difference="add tcp 10.0.0.1:80 rr"']
