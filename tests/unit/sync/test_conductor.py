"""The daemons of a plane follow file and role; those of others are left alone."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from piranha.dataplane.memory import MemoryPlane
from piranha.dataplane.port import StartDaemon, SyncDaemon, SyncRole
from piranha.model.configuration import Configuration
from piranha.sync.conductor import Conductor
from piranha.sync.host import link_addresses
from piranha.sync.role import PairRole, SettableRole
from piranha.sync.rules import EveryConnection, EveryFewPackets
from piranha.sync.settings import SyncSettings

ON = SyncSettings(enabled=True, interface="eth1", sync_id=3)


def roles(plane: MemoryPlane) -> set[SyncRole]:
    return {daemon.role for daemon in plane.daemons()}


def test_daemons_follow_the_role() -> None:
    plane, role = MemoryPlane(), SettableRole()
    conductor = Conductor(plane, ON, role)
    conductor.converge()
    assert roles(plane) == {SyncRole.MASTER, SyncRole.BACKUP}
    assert {(daemon.interface, daemon.sync_id) for daemon in plane.daemons()} == {("eth1", 3)}
    role.set(PairRole.ACTIVE)
    conductor.converge()
    assert roles(plane) == {SyncRole.MASTER}
    role.set(PairRole.BACKUP)
    conductor.converge()
    assert roles(plane) == {SyncRole.BACKUP}


def test_nothing_is_done_twice() -> None:
    plane = MemoryPlane()
    conductor = Conductor(plane, ON, SettableRole())
    conductor.converge()
    done = len(plane.applied)
    conductor.converge()
    assert len(plane.applied) == done


def test_a_changed_file_restarts_them_and_a_switch_stops_them() -> None:
    plane = MemoryPlane()
    conductor = Conductor(plane, ON, SettableRole(PairRole.ACTIVE))
    conductor.converge()
    conductor.configure(SyncSettings(enabled=True, interface="eth1", sync_id=4))
    conductor.converge()
    assert [daemon.sync_id for daemon in plane.daemons()] == [4]
    conductor.configure(SyncSettings())
    conductor.converge()
    assert plane.daemons() == ()


def test_without_syncdaemon_ipvsadms_are_left_alone() -> None:
    plane = MemoryPlane()
    plane.apply([StartDaemon(daemon=SyncDaemon(role=SyncRole.BACKUP, interface="eth0"))])
    Conductor(plane, SyncSettings(), SettableRole()).converge()
    assert roles(plane) == {SyncRole.BACKUP}


def test_a_refusal_is_a_problem_and_is_tried_again() -> None:
    plane = MemoryPlane(interfaces=("eth0",))
    conductor = Conductor(plane, ON, SettableRole())
    conductor.converge()
    assert "no interface eth1" in conductor.problem
    conductor.configure(SyncSettings(enabled=True))
    conductor.converge()
    assert conductor.problem == ""
    assert len(plane.daemons()) == 2


def test_the_file_decides_the_rule() -> None:
    assert SyncSettings.of(Configuration()).rule == EveryConnection()
    configuration = Configuration(sync_threshold=3, sync_refresh_period_s=10, sync_persist_mode=True)
    rule = EveryFewPackets(threshold=3, period=50, refresh_s=10, templates_only=True)
    assert SyncSettings.of(configuration).rule == rule


FILE = {"primary": ip_address("192.0.2.1"), "backup": ip_address("192.0.2.2")}
PRIVATE = {"primary_private": ip_address("10.0.0.1"), "backup_private": ip_address("10.0.0.2")}


@pytest.mark.parametrize(
    ("fields", "own", "ends"),
    [
        (FILE, "192.0.2.1", ("192.0.2.1", "192.0.2.2")),
        (FILE, "192.0.2.2", ("192.0.2.2", "192.0.2.1")),
        (FILE | PRIVATE, "10.0.0.2", ("10.0.0.2", "10.0.0.1")),
        (FILE | PRIVATE, "192.0.2.2", None),
        (FILE, "192.0.2.3", None),
        ({}, "192.0.2.1", None),
    ],
)
def test_a_director_finds_its_place_by_its_addresses(
    fields: dict[str, object], own: str, ends: tuple[str, str] | None
) -> None:
    found = link_addresses(Configuration(**fields), frozenset((ip_address(own),)))  # type: ignore[arg-type]
    assert (found and tuple(map(str, found))) == ends
