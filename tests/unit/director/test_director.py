"""The director end to end on the memory plane: start, verdicts, drift, reload, adoption, read models."""

from __future__ import annotations

import logging
from ipaddress import ip_address
from pathlib import Path

import pytest
from tests.unit.director_world import LISTING, World

from piranha.dataplane.memory import MemoryPlane
from piranha.dataplane.port import DeleteDestination, DeleteService, EditService
from piranha.director.source import ConfigurationError
from piranha.model.health import Health
from piranha.model.service import (
    Counters,
    DestinationKey,
    Protocol,
    Service,
    ServiceEntry,
    ServiceKey,
)

WEB = ServiceKey(protocol=Protocol.TCP, address=ip_address("10.0.0.100"), port=80)
RIP1 = DestinationKey(address=ip_address("10.0.0.11"), port=80)
BOTH = {"10.0.0.11:80": 3, "10.0.0.12:80": 1}


async def bring_up(world: World) -> None:
    world.nanny.say("10.0.0.11", Health.UP)
    world.nanny.say("10.0.0.12", Health.UP)
    await world.until(lambda: world.pool() == BOTH)


async def test_verdicts_move_servers_in_and_out(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        assert world.pool() == {}
        await bring_up(world)
        world.nanny.say("10.0.0.11", Health.DOWN)
        await world.until(lambda: world.pool() == {"10.0.0.12:80": 1})


async def test_drift_is_repaired_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with World(tmp_path).running() as world:
        await bring_up(world)
        await world.until(lambda: world.beats > 1)
        caplog.clear()
        world.plane.apply([DeleteDestination(service=WEB, key=RIP1)])
        await world.until(lambda: world.pool() == BOTH)
    assert 'drift repaired difference="add tcp 10.0.0.100:80 to 10.0.0.11:80 direct weight 3"' in caplog.messages


async def test_a_verdict_is_no_drift(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with World(tmp_path).running() as world:
        await bring_up(world)
    assert any(line.startswith("table changed") for line in caplog.messages)
    assert not any(line.startswith("drift") for line in caplog.messages)


async def test_reload_applies_what_changed_and_nothing_else(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        await bring_up(world)
        done = len(world.plane.applied)
        world.config.write_text(LISTING.replace("weight = 3", "weight = 5").replace("serial_no = 7", "serial_no = 8"))
        report = await world.director.reload()
        assert report["changes"] == ["edit tcp 10.0.0.100:80 to 10.0.0.11:80 weight 3 -> 5"]
        assert report["serial_no"] == 8
        assert len(world.plane.applied) == done + 1


async def test_every_kind_of_change_is_applied(tmp_path: Path) -> None:
    """The original forgot all but additions and removals (spec: piranha 4.4)."""
    async with World(tmp_path).running() as world:
        await bring_up(world)
        changed = LISTING.replace("scheduler = rr", "scheduler = wlc\n    quiesce_server = 1\n    timeout = 3")
        changed = changed.replace("network = direct", "network = tunnel").replace("10.0.0.12", "10.0.0.13")
        changed = changed.replace("service = lvs", "service = lvs\ntcp_timeout = 60")
        world.config.write_text(changed)
        report = await world.director.reload()
        assert report["changes"] == [
            "set timeouts tcp 60 tcpfin 0 udp 0",
            "edit tcp 10.0.0.100:80 scheduler rr -> wlc",
            "edit tcp 10.0.0.100:80 to 10.0.0.11:80 method direct -> tunnel",
            "delete tcp 10.0.0.100:80 to 10.0.0.12:80",
        ]
        world.nanny.say("10.0.0.11", Health.DOWN)
        await world.until(lambda: world.pool() == {"10.0.0.11:80": 0})


async def test_a_server_removed_from_a_virtual_costs_only_itself(tmp_path: Path) -> None:
    """The original deleted the whole virtual server and forgot to make it again (spec: piranha 4.4)."""
    async with World(tmp_path).running() as world:
        await bring_up(world)
        world.config.write_text(LISTING[: LISTING.index("    server web2")] + "}\n")
        report = await world.director.reload()
        assert report["changes"] == ["delete tcp 10.0.0.100:80 to 10.0.0.12:80"]
        assert world.pool() == {"10.0.0.11:80": 3}


async def test_the_order_of_virtuals_is_no_change(tmp_path: Path) -> None:
    head, block = LISTING[: LISTING.index("virtual")], LISTING[LISTING.index("virtual") :]
    other = block.replace("HTTP", "OTHER").replace("port = 80", "port = 81")
    async with World(tmp_path, head + block + other).running() as world:
        world.nanny.say("10.0.0.11", Health.UP)
        await world.until(lambda: len(world.pool()) == 2)
        world.config.write_text(head + other + block)
        assert (await world.director.reload())["changes"] == []


async def test_a_bad_file_is_refused_whole(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        await bring_up(world)
        done = len(world.plane.applied)
        world.config.write_text(LISTING.replace("weight = 3", "wieght = 3").replace("port = 80", "port = eighty"))
        with pytest.raises(ConfigurationError) as refused:
            await world.director.reload()
        assert len([p for p in refused.value.problems if p.severity == "error"]) == 2
        assert world.pool() == BOTH
        assert len(world.plane.applied) == done
        assert world.director.status()["configuration"]["changed_on_disk"]
        world.config.write_text(LISTING)
        assert (await world.director.reload())["changes"] == []
        assert not world.director.status()["configuration"]["changed_on_disk"]


async def test_a_new_director_adopts_the_running_table(tmp_path: Path) -> None:
    plane = MemoryPlane()
    async with World(tmp_path, plane=plane).running() as world:
        await bring_up(world)
    done = len(plane.applied)
    async with World(tmp_path, plane=plane).running() as restarted:
        assert restarted.director.services()["services"][0]["servers"][0]["held"]
        await restarted.until(lambda: restarted.beats > 1)
        assert restarted.pool() == BOTH
        assert len(plane.applied) == done
        restarted.nanny.say("10.0.0.11", Health.UP)
        restarted.nanny.say("10.0.0.12", Health.DOWN)
        await restarted.until(lambda: restarted.pool() == {"10.0.0.11:80": 3})
        assert plane.applied[done:] == [
            DeleteDestination(service=WEB, key=DestinationKey(address=ip_address("10.0.0.12"), port=80))
        ]


async def test_one_refused_service_costs_only_itself(tmp_path: Path) -> None:
    block = LISTING[LISTING.index("virtual") :]
    plane = MemoryPlane()
    plane.fail_on.add(WEB)
    text = LISTING + block.replace("HTTP", "OTHER").replace("port = 80", "port = 81")
    async with World(tmp_path, text, plane).running() as world:
        world.nanny.say("10.0.0.11", Health.UP)
        await world.until(lambda: world.pool() == {"10.0.0.11:81": 3})
        (problem,) = world.director.status()["problems"]
        assert problem == "tcp 10.0.0.100:80: add service tcp 10.0.0.100:80: no space left in the table"
        plane.fail_on.clear()
        await world.until(lambda: world.pool() == {"10.0.0.11:80": 3, "10.0.0.11:81": 3})
        assert world.director.status()["problems"] == []


async def test_a_refused_service_is_logged_once_and_is_no_drift(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plane = MemoryPlane()
    plane.fail_on.add(WEB)
    async with World(tmp_path, plane=plane).running() as world:
        await world.until(lambda: world.beats > 2)
    assert sum("no space left" in line for line in caplog.messages) == 1
    assert not any("drift" in line for line in caplog.messages)


async def test_a_foreign_service_is_shown_reported_and_left(tmp_path: Path) -> None:
    plane = MemoryPlane()
    plane.inject_foreign(ServiceEntry(service=Service(key=WEB, scheduler="wrr")))
    async with World(tmp_path, plane=plane).running() as world:
        assert world.director.status()["problems"] == [
            "tcp 10.0.0.100:80: the key belongs to a service that Piranha did not make"
        ]
        assert world.director.services()["services"][0]["state"] == "conflict"
        assert plane.applied == []
        # The other program gives it back: it becomes ours without a word from anybody.
        plane.apply([DeleteService(key=WEB)])
        await world.until(lambda: [s.foreign for s in plane.snapshot()] == [False])


async def test_a_missing_vip_is_one_sentence_with_its_mend(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.present = frozenset()
    async with world.running():
        await world.until(lambda: bool(world.director.status()["problems"]))
        assert world.director.status()["problems"] == [
            "virtual HTTP: VIP 10.0.0.100 is not on this host, so no packet for it arrives: "
            "ip addr add 10.0.0.100/24 dev eth0"
        ]


async def test_services_show_health_weights_and_counters(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        await bring_up(world)
        world.nanny.say("10.0.0.12", Health.DOWN, "connection refused")
        await world.until(lambda: len(world.pool()) == 1)
        world.plane.inject_traffic(WEB, RIP1, Counters(connections=2, in_packets=9, in_bytes=900))
        (service,) = world.director.services()["services"]
        assert (service["name"], service["state"], service["scheduler"]) == ("HTTP", "degraded", "rr")
        assert service["counters"]["in_bytes"] == 900
        up, down = service["servers"]
        assert (up["name"], up["health"], up["weight"], up["configured_weight"]) == ("web1", "up", 3, 3)
        assert (down["name"], down["health"], down["weight"]) == ("web2", "down", None)
        assert down["reason"] == "connection refused"
        assert down["since_s"] is not None
        assert 0 <= down["since_s"] < 3


async def test_status_adds_up(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        await bring_up(world)
        status = world.director.status()
        assert status["configuration"]["serial_no"] == 7
        assert status["summary"] == {"services": 1, "states": {"up": 1}, "servers": 2, "servers_up": 2, "by_hand": 0}
        assert status["plane"]["name"] == "memory"
        assert status["problems"] == []


async def test_editing_by_hand_is_undone_even_for_the_scheduler(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        world.plane.apply([EditService(service=Service(key=WEB, scheduler="wlc"))])
        await world.until(lambda: world.plane.snapshot()[0].service.scheduler == "rr")


async def test_what_only_a_restart_applies_is_said(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        world.config.write_text("interfaces = [ eth7 ]\n" + LISTING)
        report = await world.director.reload()
        (problem,) = report["problems"]
        assert problem.startswith("interfaces was changed and waits for a restart of lvsd")
