"""Servers over the API and the command: states said, shown, kept, taken back."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from pathlib import Path

import pytest
from tests.unit.api.asking import ask
from tests.unit.director_world import LISTING, World

from piranha.cli.main import run
from piranha.dataplane.port import Connection
from piranha.model.health import Health
from piranha.model.service import DestinationKey, Protocol


async def up(world: World) -> None:
    for server in ("10.0.0.11", "10.0.0.12"):
        world.nanny.say(server, Health.UP)
    await world.until(lambda: world.pool() == {"10.0.0.11:80": 3, "10.0.0.12:80": 1})


async def command(world: World, *words: str) -> int:
    return await asyncio.to_thread(run, ["server", *words, "--socket", str(world.socket)])


async def test_a_state_is_in_force_when_the_answer_comes(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        await up(world)
        answer = await ask(world, "POST", "servers/web1/state", {"act": "disable", "why": "new disk"})
        assert answer.status == 200
        assert world.pool() == {"10.0.0.12:80": 1}
        (web1,) = [one for one in answer.document["servers"] if one["name"] == "web1"]
        assert (web1["weight"], web1["cause"], web1["health"]) == (None, "disabled", "up")
        (word,) = web1["words"]
        assert (word["act"], word["why"], word["service"], word["until"]) == ("disable", "new disk", "", None)
        assert word["who"]
        events = (await ask(world, "GET", "events?kind=operator")).document["events"]
        assert events[-1]["text"] == "disabled: new disk"
        assert events[-1]["who"] == word["who"]
        await ask(world, "POST", "servers/10.0.0.11/state", {"act": "enable"})
        assert world.pool() == {"10.0.0.11:80": 3, "10.0.0.12:80": 1}


async def test_a_drain_counts_down_and_takes_the_server_out(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        await up(world)
        await command(world, "weight", "web2", "5", "--service", "HTTP")
        assert world.pool() == {"10.0.0.11:80": 3, "10.0.0.12:80": 5}
        connection = _connection()
        world.plane.inject_connection(connection)
        assert await command(world, "drain", "web1", "--why", "upgrade") == 0
        assert world.pool() == {"10.0.0.11:80": 0, "10.0.0.12:80": 5}
        web1 = (await ask(world, "GET", "servers")).document["servers"][0]
        assert (web1["cause"], web1["words"][0]["connections_left"]) == ("draining", 1)
        service = world.plane.snapshot()[0].service.key
        assert world.plane.expire(service, DestinationKey(address=connection.destination, port=80)) == 1
        await world.until(lambda: world.pool() == {"10.0.0.12:80": 5})
        web1 = (await ask(world, "GET", "servers")).document["servers"][0]
        assert web1["cause"] == "drained"


def _connection() -> Connection:
    return Connection(
        protocol=Protocol.TCP,
        client=ip_address("10.0.0.50"),
        client_port=1,
        virtual=ip_address("10.0.0.100"),
        virtual_port=80,
        destination=ip_address("10.0.0.11"),
        destination_port=80,
        state="ESTABLISHED",
        expires_s=900,
    )


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"act": "kill"}, "/act is none of"),
        ({"act": "weight"}, "/weight stands beside"),
        ({"act": "drain", "weight": 3}, "/weight stands beside"),
        ({"act": "weight", "weight": -1}, "/weight is from 0"),
        ({"act": "drain", "for_s": 0}, "/for_s is above 0"),
        ({"act": "drain", "service": "X"}, "no active virtual server is named X"),
        ({"act": "drain", "wy": "x"}, "/wy is not known"),
    ],
)
async def test_a_bad_question_says_what_is_wrong(tmp_path: Path, body: dict[str, object], text: str) -> None:
    async with World(tmp_path).running() as world:
        answer = await ask(world, "POST", "servers/web1/state", body)
        assert (answer.status, text in answer.document["detail"]) == (400, True), answer


async def test_the_command_lists_forces_and_releases(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async with World(tmp_path).running() as world:
        await up(world)
        assert await command(world, "force", "web1", "down", "--for", "10m") == 0
        assert world.pool() == {"10.0.0.12:80": 1}
        assert await command(world, "list", "--said") == 0
        text = capfd.readouterr().out
        assert "forced down" in text
        assert "(in 9m" in text or "(in 10m" in text
        assert await command(world, "release", "web1") == 0
        assert world.pool() == {"10.0.0.11:80": 3, "10.0.0.12:80": 1}
        assert await command(world, "drain", "web9") == 2


async def test_the_quorum_runs_its_commands(tmp_path: Path) -> None:
    told = tmp_path / "told"
    script = tmp_path / "tell"
    script.write_text(f'#!/bin/sh\necho "$1 $PIRANHA_VIRTUAL $PIRANHA_QUORUM" >> {told}\n')
    script.chmod(0o755)
    quorum = f'quorum_up = "{script} now"\n quorum_down = "{script} gone"\n'
    text = LISTING.replace("    timeout = 6\n", f"    timeout = 6\n{quorum}", 1)

    def lines() -> list[str]:
        return told.read_text().splitlines() if told.exists() else []

    async with World(tmp_path, text).running() as world:
        await up(world)
        await world.until(lambda: lines() == ["now HTTP up"])
        for server in ("10.0.0.11", "10.0.0.12"):
            world.nanny.say(server, Health.DOWN)
        await world.until(lambda: lines() == ["now HTTP up", "gone HTTP down"])
        events = (await ask(world, "GET", "events?kind=health")).document["events"]
        assert "quorum lost" in [event["text"] for event in events]
