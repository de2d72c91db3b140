"""The switch: a plane that cannot be read, refusals isolated by service, drift told from change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from piranha.base.errors import PiranhaError
from piranha.dataplane.memory import MemoryPlane
from piranha.dataplane.port import DeleteService, Operation, RefusalKind, RefusedError, SetMarkRules
from piranha.director.layout import lay_out
from piranha.director.reconcile import Reconciler
from piranha.director.switch import Switch
from piranha.model.configuration import Configuration, DeviceAddress, VirtualServer
from piranha.model.health import Health
from piranha.model.mark import MarkBlock, MarkRule
from piranha.model.rules import PlaneRules
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


class PlainPlane(MemoryPlane):
    """A plane without marks and settings."""

    def mark_rules(self) -> tuple[MarkRule, ...]:
        raise RefusedError(RefusalKind.UNSUPPORTED, "no marks")

    def rules(self) -> PlaneRules:
        raise RefusedError(RefusalKind.UNSUPPORTED, "no settings")


class FullPlane(MemoryPlane):
    """A plane with room for no mark rule."""

    def apply(self, operations: Sequence[Operation]) -> None:
        if any(isinstance(operation, SetMarkRules) for operation in operations):
            raise RefusedError(RefusalKind.FULL, "1 rules of marks: there is room for 0")
        super().apply(operations)


MARKS = (MarkBlock(mark=5, addresses=(ip_network("10.0.0.1"),)),)


def switch_of(plane: MemoryPlane, configuration: Configuration) -> Switch:
    reconciler = Reconciler()
    reconciler.adopt(lay_out(configuration, plane.capabilities), configuration, (), NOBODY, 0)
    return Switch(plane, reconciler)


def test_a_plane_without_marks_and_settings_serves_on_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    plane = PlainPlane()
    switch = switch_of(plane, Configuration(virtuals=(ONE,), marks=MARKS, sloppy_tcp=True))
    for second in range(3):
        switch.converge(NOBODY, second)
    assert [s.service.key for s in plane.snapshot()] == [key(80)]
    assert list(switch.shortfalls) == ["mark rules", "settings"]
    assert "sloppy_tcp" in switch.shortfalls["settings"]
    assert sum("not as they should be" in line for line in caplog.messages) == 2
    assert not any("drift" in line for line in caplog.messages)


def test_a_plane_without_marks_and_settings_is_no_problem_for_a_file_without_them() -> None:
    switch = switch_of(PlainPlane(), Configuration(virtuals=(ONE,)))
    switch.converge(NOBODY, 0)
    assert switch.shortfalls == {}


def test_refused_mark_rules_cost_no_service(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    plane = FullPlane()
    switch = switch_of(plane, Configuration(virtuals=(ONE, TWO), marks=MARKS))
    for second in range(3):
        switch.converge(NOBODY, second)
    assert len(plane.snapshot()) == 2
    assert switch.shortfalls == {"mark rules": "1 rules of marks: there is room for 0"}
    assert switch.errors == {}
    assert sum("mark rules not as they should be" in line for line in caplog.messages) == 1
    assert sum("set mark rules: 1" in line for line in caplog.messages) == 1, "a repeated attempt is not news"
