"""status, services, connections and reload against a running director on the memory plane."""

from __future__ import annotations

import asyncio
import json
from ipaddress import ip_address
from pathlib import Path

import pytest
from tests.unit.director_world import LISTING, World

from piranha.cli.main import run
from piranha.dataplane.memory import MemoryPlane
from piranha.dataplane.port import Connection
from piranha.model.health import Health
from piranha.model.service import Counters, DestinationKey, Protocol, ServiceKey

WEB = ServiceKey(protocol=Protocol.TCP, address=ip_address("10.0.0.100"), port=80)
RIP1 = DestinationKey(address=ip_address("10.0.0.11"), port=80)


class Terminal:
    """Runs a command against a world, in a thread as the world needs its loop."""

    def __init__(self, world: World, capsys: pytest.CaptureFixture[str]) -> None:
        self._world = world
        self._capsys = capsys

    async def run(self, *words: str) -> tuple[int, str, str]:
        code = await asyncio.to_thread(run, [*words, "--socket", str(self._world.socket)])
        out, err = self._capsys.readouterr()
        return code, out, err


async def serve_web1(world: World) -> None:
    world.nanny.say("10.0.0.11", Health.UP)
    world.nanny.say("10.0.0.12", Health.DOWN, "connection refused")
    await world.until(lambda: world.pool() == {"10.0.0.11:80": 3})


def connection(port: int) -> Connection:
    return Connection(
        protocol=Protocol.TCP,
        client=ip_address("10.0.0.50"),
        client_port=port,
        virtual=WEB.address,
        virtual_port=80,
        destination=RIP1.address,
        destination_port=80,
        state="ESTABLISHED",
        expires_s=754.0,
    )


async def test_status_tells_all_on_one_screen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with World(tmp_path).running() as world:
        await serve_web1(world)
        code, out, err = await Terminal(world, capsys).run("status")
        assert (code, err) == (0, "")
        assert f"{world.config}, serial 7, loaded 20" in out
        assert "services       1 service: 1 degraded; 1 of 2 real servers up" in out
        assert "tcp 10.0.0.100:80  HTTP  rr             1/2            0      0  degraded" in out
        assert "\x1b" not in out


async def test_status_shows_what_asks_for_a_person(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = LISTING + LISTING[LISTING.index("virtual") :].replace("HTTP", "OLD").replace("= rr", "= lblc")
    async with World(tmp_path, text).running() as world:
        world.config.write_text(text + "# edited\n")
        _, out, _ = await Terminal(world, capsys).run("status")
        assert ", changed on disk" in out
        assert "problem  virtual OLD (line 31): scheduler = lblc is not in this data plane" in out
        assert "is not in force: run `piranha reload`" in out


async def test_services_look_like_ipvsadm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with World(tmp_path).running() as world:
        await serve_web1(world)
        world.plane.inject_connection(connection(1))
        _, out, _ = await Terminal(world, capsys).run("services")
        service, up, down = out.splitlines()[2:]
        assert service == "TCP  10.0.0.100:80 rr  HTTP  degraded"
        assert up.split() == ["->", "10.0.0.11:80", "Route", "3", "1", "0", "up", "0s", "web1"]
        assert down.split() == [
            *("->", "10.0.0.12:80", "Route", "out", "0", "0", "down", "0s", "web2", "(connection", "refused)"),
        ]


async def test_services_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with World(tmp_path).running() as world:
        await serve_web1(world)
        world.plane.inject_traffic(WEB, RIP1, Counters(connections=4, in_packets=30, in_bytes=200_000_000))
        terminal = Terminal(world, capsys)
        _, out, _ = await terminal.run("services", "--stats")
        assert out.splitlines()[3].split() == ["->", "10.0.0.11:80", "4", "30", "0", "200000K", "0", "web1"]
        _, out, _ = await terminal.run("services", "--rate")
        assert "CPS" in out.splitlines()[0]


async def test_services_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = LISTING + LISTING[LISTING.index("virtual") :].replace("HTTP", "OTHER").replace("port = 80", "port = 81")
    async with World(tmp_path, text).running() as world:
        terminal = Terminal(world, capsys)
        _, out, _ = await terminal.run("services", "--name", "OTHER")
        assert "10.0.0.100:81" in out
        assert "10.0.0.100:80" not in out
        code, out, err = await terminal.run("services", "--name", "NONE")
        assert (code, out) == (2, "")
        assert "no virtual server is named NONE" in err


async def test_connections_are_listed_counted_and_bounded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with World(tmp_path).running() as world:
        for port in range(1, 6):
            world.plane.inject_connection(connection(port))
        terminal = Terminal(world, capsys)
        _, out, err = await terminal.run("connections", "--limit", "2", "--vip", "10.0.0.100")
        head, first, second = out.splitlines()
        assert head.startswith("Pro  Expire")
        assert first.split() == ["TCP", "12:34", "ESTABLISHED", "10.0.0.50:1", "10.0.0.100:80", "10.0.0.11:80"]
        assert "10.0.0.50:2" in second
        assert err == "3 more connections not listed: use filters, --limit or --count\n"
        assert (await terminal.run("connections", "--count"))[1] == "5\n"
        assert (await terminal.run("connections", "--count", "--protocol", "udp"))[1] == "0\n"
        code, _, err = await terminal.run("connections", "--server", "web1")
        assert (code, err) == (2, "piranha: server=web1 is not an address\n")


@pytest.mark.parametrize("command", ["status", "services", "connections"])
async def test_every_read_has_json(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    async with World(tmp_path).running() as world:
        code, out, err = await Terminal(world, capsys).run(command, "--json")
        assert (code, err) == (0, "")
        assert isinstance(json.loads(out), dict)


async def test_a_good_reload_lists_its_changes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with World(tmp_path).running() as world:
        terminal = Terminal(world, capsys)
        code, out, err = await terminal.run("reload")
        assert (code, out) == (0, "")
        assert f"{world.config}:22:18: warning: " in err
        assert err.endswith("serial 7 in force, no change to the table\n")
        world.config.write_text(LISTING.replace("= rr", "= wlc").replace("serial_no = 7", "serial_no = 8"))
        code, out, err = await terminal.run("reload")
        assert (code, out) == (0, "edit tcp 10.0.0.100:80 scheduler rr -> wlc\n")
        assert err.endswith("serial 8 in force, 1 change to the table\n")


async def test_a_bad_reload_lists_every_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with World(tmp_path).running() as world:
        world.config.write_text(LISTING.replace("scheduler", "shceduler").replace("weight = 3", "weight = x"))
        terminal = Terminal(world, capsys)
        code, out, err = await terminal.run("reload")
        assert (code, out) == (1, "")
        assert f"{world.config}:12:5: error: unknown directive `shceduler`: did you mean `scheduler`?" in err
        assert f"{world.config}:17:18: error: " in err
        assert err.endswith("; the old configuration goes on\n")
        code, out, _ = await terminal.run("reload", "--json")
        assert (code, json.loads(out)["status"]) == (1, 422)


async def test_refused_operations_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plane = MemoryPlane()
    plane.fail_on.add(WEB)
    async with World(tmp_path, plane=plane).running() as world:
        _, out, _ = await Terminal(world, capsys).run("services")
        assert "TCP  10.0.0.100:80 rr  HTTP  down  add service tcp 10.0.0.100:80: no space left in the table" in out


def test_colour_only_where_somebody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    import click

    from piranha.cli.output import BAD, paint, set_colour

    with click.Context(click.Command("x"), color=True) as context:
        set_colour(no_colour=False)
        assert context.color
        monkeypatch.setenv("NO_COLOR", "1")
        set_colour(no_colour=False)
        assert context.color is False
        monkeypatch.delenv("NO_COLOR")
        context.color = True
        set_colour(no_colour=True)
        assert context.color is False
    assert paint("x", BAD) == "\x1b[31mx\x1b[0m"


async def test_services_of_marks_are_named_by_their_mark(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    six = "virtual SIX {\nactive = 1\nfwmark = 5\naddress = 2001:db8::1 eth0\n}\n"
    text = LISTING.replace("port = 80\n", "port = 80\nfwmark = 5\n", 1) + six
    plane = MemoryPlane(firewall_marks=True)
    async with World(tmp_path, text, plane).running() as world:
        terminal = Terminal(world, capsys)
        _, out, _ = await terminal.run("services")
        assert "FWM  5 rr  HTTP" in out
        assert "FWM  5 IPv6 wlc  SIX" in out
        _, out, _ = await terminal.run("services", "--stats")
        assert "FWM  5  " in out
        _, out, _ = await terminal.run("status")
        assert "fwm 5 IPv6" in out
