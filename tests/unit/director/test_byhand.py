"""What ipvsadm makes through lvsd: done at once, shown as foreign, left alone, unless lvs.cf says otherwise."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest
from tests.unit.director_world import LISTING, World

from piranha.base.clock import MonotonicClock
from piranha.base.errors import PiranhaError
from piranha.dataplane.ipvs.ownership import Ownership
from piranha.dataplane.memory import MemoryPlane
from piranha.dataplane.port import AddService, Clear, DeleteService, EditService, ZeroCounters
from piranha.director.byhand import ByHand, MemoryLedger
from piranha.director.difference import describe
from piranha.director.director import Director
from piranha.director.health import HealthBook
from piranha.director.source import read_configuration
from piranha.model.service import Protocol, Service, ServiceKey, ServiceStatus

WEB = ServiceKey(protocol=Protocol.TCP, address=ip_address("10.0.0.100"), port=80)
MINE = ServiceKey(protocol=Protocol.UDP, address=ip_address("10.0.0.100"), port=53)
OTHER = ServiceKey(protocol=Protocol.TCP, address=ip_address("10.0.0.100"), port=8080)


def states(world: World) -> dict[int, str]:
    return {service["port"]: service["state"] for service in world.director.services()["services"]}


async def test_a_service_made_by_hand_is_left_alone(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        answer = world.director.apply_by_hand([AddService(service=Service(key=MINE))])
        assert answer["outcomes"] == [None]
        beats = world.beats
        await world.until(lambda: world.beats > beats + 2)
        assert states(world) == {80: "down", 53: "foreign"}
        (status,) = [s for s in world.plane.snapshot() if s.service.key == MINE]
        assert status.service == Service(key=MINE)


async def test_a_service_of_the_file_is_repaired(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with World(tmp_path).running() as world:
        await world.until(lambda: world.beats > 1)
        world.director.apply_by_hand([EditService(service=Service(key=WEB, scheduler="lc"))])
        assert world.plane.snapshot()[0].service.scheduler == "lc"
        await world.until(lambda: world.plane.snapshot()[0].service.scheduler == "rr")
        world.director.apply_by_hand([Clear()])
        await world.until(lambda: len(world.plane.snapshot()) == 1)
    assert 'drift repaired difference="edit tcp 10.0.0.100:80 scheduler lc -> rr"' in caplog.messages


async def test_refusals_cost_only_themselves(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        mine = AddService(service=Service(key=MINE))
        answer = world.director.apply_by_hand([mine, mine, DeleteService(key=OTHER), ZeroCounters()])
        kinds = [outcome and outcome["kind"] for outcome in answer["outcomes"]]
        assert kinds == [None, "exists", "no service", None]


async def test_a_key_that_the_file_names_becomes_ours(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        world.director.apply_by_hand([AddService(service=Service(key=OTHER, scheduler="lc"))])
        await world.until(lambda: states(world)[8080] == "foreign")
        block = LISTING[LISTING.index("virtual") :]
        world.config.write_text(LISTING + block.replace("HTTP", "OTHER").replace("port = 80", "port = 8080"))
        await world.director.reload()
        assert states(world)[8080] == "down"
        assert [s.service.scheduler for s in world.plane.snapshot() if s.service.key == OTHER] == ["rr"]


def director_over(plane: MemoryPlane, world: World, ledger: Ownership) -> Director:
    return Director(
        read_configuration(world.config),
        plane,
        world.nanny,
        HealthBook(),
        MonotonicClock(),
        addresses=frozenset,
        by_hand=ledger,
    )


async def test_it_is_remembered_across_restarts(tmp_path: Path) -> None:
    world, plane = World(tmp_path), MemoryPlane()
    before = director_over(plane, world, Ownership(tmp_path / "by-hand.json", "table"))
    before.start()
    before.apply_by_hand([AddService(service=Service(key=MINE))])
    after = director_over(plane, world, Ownership(tmp_path / "by-hand.json", "table"))
    assert after.start() == ()
    assert [service["state"] for service in after.services()["services"]] == ["down", "foreign"]
    other_boot = director_over(plane, world, Ownership(tmp_path / "by-hand.json", "another table"))
    assert other_boot.start() == (f"delete {MINE}",)


def test_what_is_gone_is_forgotten() -> None:
    ledger = MemoryLedger()
    by_hand = ByHand(ledger)
    by_hand.note(
        [AddService(service=Service(key=MINE)), AddService(service=Service(key=OTHER))],
        [None, PiranhaError("refused")],
    )
    assert ledger.keys == (MINE,)
    web, mine = (ServiceStatus(service=Service(key=key)) for key in (WEB, MINE))
    assert [status.foreign for status in by_hand.mark((web, mine))] == [False, True]
    assert by_hand.mark((web,)) == (web,)
    assert ledger.keys == ()
    assert [status.foreign for status in by_hand.mark((web, mine))] == [False, False]


def test_a_ledger_that_cannot_be_written_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    class Full(MemoryLedger):
        def save(self) -> None:
            raise PiranhaError("cannot write (No space left on device)")

    ByHand(Full()).note([AddService(service=Service(key=MINE))], [None])
    assert any("forgotten at the next start" in message for message in caplog.messages)


def test_the_new_operations_are_told() -> None:
    assert describe([Clear(), ZeroCounters(), ZeroCounters(key=MINE)], ()) == (
        "delete all services",
        "zero the counters of all services",
        "zero the counters of udp 10.0.0.100:53",
    )
