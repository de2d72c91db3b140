"""What ipvsadm makes through lvsd: done at once, shown as foreign, left alone, unless lvs.cf says otherwise."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest
from tests.unit.director_world import LISTING, World

from piranha.base.clock import MonotonicClock
from piranha.base.errors import PiranhaError
from piranha.dataplane.editsfile import EditsFile
from piranha.dataplane.handedits import HandEdits
from piranha.dataplane.ipvs.ownership import Ownership
from piranha.dataplane.memory import MemoryPlane
from piranha.dataplane.port import (
    AddDestination,
    AddService,
    Clear,
    DeleteDestination,
    DeleteService,
    EditDestination,
    EditService,
    ZeroCounters,
)
from piranha.director.byhand import ByHand, MemoryLedger
from piranha.director.difference import describe
from piranha.director.director import Director
from piranha.director.health import HealthBook
from piranha.director.source import read_configuration
from piranha.model.health import Health
from piranha.model.service import (
    Destination,
    DestinationKey,
    ForwardingMethod,
    Protocol,
    Service,
    ServiceKey,
    ServiceStatus,
)

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
    by_hand.note([AddService(service=Service(key=MINE)), AddService(service=Service(key=WEB))], {WEB})
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

    ByHand(Full()).note([AddService(service=Service(key=MINE))], ())
    assert any("forgotten at the next start" in message for message in caplog.messages)


def test_the_new_operations_are_told() -> None:
    assert describe([Clear(), ZeroCounters(), ZeroCounters(key=MINE)], ()) == (
        "delete all services",
        "zero the counters of all services",
        "zero the counters of udp 10.0.0.100:53",
    )


# ---- table_edits ----


def with_policy(policy: str) -> str:
    return LISTING.replace("serial_no", f"table_edits = {policy}\nserial_no")


def weights(world: World) -> dict[str, int]:
    return {str(d.destination.key): d.destination.weight for s in world.plane.snapshot() for d in s.destinations}


def destination(address: str, weight: int, port: int = 80) -> Destination:
    key = DestinationKey(address=ip_address(address), port=port)
    return Destination(key=key, method=ForwardingMethod.DIRECT, weight=weight)


async def ticks(world: World, count: int = 3) -> None:
    beats = world.beats
    await world.until(lambda: world.beats > beats + count)


async def test_repair_makes_the_table_the_files_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with World(tmp_path, with_policy("repair")).running() as world:
        await ticks(world)
        world.director.apply_by_hand([AddService(service=Service(key=MINE))])
        await world.until(lambda: [s.service.key for s in world.plane.snapshot()] == [WEB])
        assert states(world) == {80: "down"}
    assert f'drift repaired difference="delete {MINE}"' in caplog.messages


async def test_adopt_keeps_edits_of_the_files_services(tmp_path: Path) -> None:
    async with World(tmp_path, with_policy("adopt")).running() as world:
        world.nanny.say("10.0.0.11", Health.UP)
        world.nanny.say("10.0.0.12", Health.UP)
        await world.until(lambda: weights(world) == {"10.0.0.11:80": 3, "10.0.0.12:80": 1})
        world.director.apply_by_hand(
            [
                EditDestination(service=WEB, destination=destination("10.0.0.11", 9)),
                AddDestination(service=WEB, destination=destination("10.0.0.13", 2)),
                EditService(service=Service(key=WEB, scheduler="lc")),
                AddService(service=Service(key=MINE)),
            ]
        )
        wanted = {"10.0.0.11:80": 9, "10.0.0.12:80": 1, "10.0.0.13:80": 2}
        await ticks(world)
        assert weights(world) == wanted
        assert world.plane.snapshot()[0].service.scheduler == "lc"

        web, mine = world.director.services()["services"]
        assert [web["by_hand"], mine["by_hand"], mine["state"]] == [True, True, "foreign"]
        assert {s["address"]: (s["role"], s["by_hand"]) for s in web["servers"]} == {
            "10.0.0.11": ("real", True),
            "10.0.0.12": ("real", False),
            "10.0.0.13": ("unknown", True),
        }
        status = world.director.status()
        assert (status["summary"]["by_hand"], [s["by_hand"] for s in status["services"]]) == (2, [True, True])

        world.nanny.say("10.0.0.11", Health.DOWN)
        await world.until(lambda: "10.0.0.11:80" not in weights(world))
        world.nanny.say("10.0.0.11", Health.UP)
        await world.until(lambda: weights(world) == wanted)

        world.director.apply_by_hand(
            [DeleteDestination(service=WEB, key=destination(host, 0).key) for host in ("10.0.0.11", "10.0.0.13")]
        )
        await world.until(lambda: weights(world) == {"10.0.0.11:80": 3, "10.0.0.12:80": 1})


async def test_adopt_keeps_what_others_changed_beside_us(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As with the kernel's IPVS, where ipvsadm does not ask lvsd."""
    caplog.set_level("INFO")
    async with World(tmp_path, with_policy("adopt")).running() as world:
        world.nanny.say("10.0.0.11", Health.UP)
        await world.until(lambda: weights(world) == {"10.0.0.11:80": 3})
        await ticks(world)
        world.plane.apply([EditDestination(service=WEB, destination=destination("10.0.0.11", 0))])
        world.plane.apply([AddDestination(service=WEB, destination=destination("10.0.0.99", 7))])
        await ticks(world)
        assert weights(world) == {"10.0.0.11:80": 0, "10.0.0.99:80": 7}
        world.plane.apply([DeleteService(key=WEB)])
        await world.until(lambda: weights(world) == {"10.0.0.11:80": 3})
    assert any(message.startswith("edit by hand kept") for message in caplog.messages)


@pytest.mark.parametrize(("policy", "kept"), [("adopt", True), ("show", False), ("repair", False)])
async def test_edits_survive_a_restart_where_they_may(tmp_path: Path, policy: str, kept: bool) -> None:
    world = World(tmp_path, with_policy(policy))
    file = EditsFile(tmp_path / "state" / "edits.json", "table")
    edit = EditService(service=Service(key=WEB, scheduler="lc"))
    added = AddDestination(service=WEB, destination=destination("10.0.0.99", 7))
    elsewhere = AddDestination(service=OTHER, destination=destination("10.0.0.98", 7))
    file.save(HandEdits([edit, added, elsewhere]))
    world.plane.apply([AddService(service=edit.service), added])
    book, clock = HealthBook(), MonotonicClock()
    director = Director(
        read_configuration(world.config), world.plane, world.nanny, book, clock, addresses=frozenset, edits=file
    )
    changes = director.start()
    assert (changes == ()) is kept
    assert set(file.load().operations) == ({edit, added} if kept else set())
    assert EditsFile(tmp_path / "state" / "edits.json", "another boot").load().operations == ()
