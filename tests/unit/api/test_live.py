"""The live stream over the real socket: encoded once, changes only, slow readers sent away."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.director_world import LISTING, World
from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from piranha.api import live
from piranha.director.live import changes_between
from piranha.model.health import Health


def connect(world: World, **headers: str) -> Any:
    return unix_connect(
        str(world.socket), "ws://piranha/api/v1/live", additional_headers=headers, compression=None, max_size=None
    )


async def frame(watcher: ClientConnection) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(await asyncio.wait_for(watcher.recv(), 10))
    return document


async def test_first_all_then_what_changed(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world, connect(world) as watcher:
        first = await frame(watcher)
        assert (first["full"], [line["key"] for line in first["services"]]) == (True, ["tcp 10.0.0.100:80"])
        assert (first["role"], first["digest"]) == ("standalone", world.director.reading.digest)
        second = await frame(watcher)
        assert (second["full"], second["services"]) == (False, [])
        assert second["sequence"] == first["sequence"] + 1
        world.nanny.say("10.0.0.11", Health.UP)
        while not (later := await frame(watcher))["services"]:
            pass
        assert later["services"][0]["servers_up"] == 1
        assert later["event"] > first["event"]


async def test_a_hundred_watchers_cost_one_encoding(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        watchers = [await connect(world) for _ in range(100)]
        firsts = [await frame(one) for one in watchers]
        assert all(first["full"] for first in firsts)
        begun = world.live.encoded
        frames = [await frame(watchers[-1]) for _ in range(5)]
        rounds = frames[-1]["sequence"] - frames[0]["sequence"]
        assert world.live.encoded - begun <= rounds + 60, "not one for each watcher"
        texts = await asyncio.gather(*(frame(one) for one in watchers[:3]))
        assert len({text["at"] for text in texts if text["sequence"] == texts[0]["sequence"]}) == 1
        await asyncio.gather(*(one.close() for one in watchers))
        await world.until(lambda: world.live.watchers == 0)
        idle = world.live.encoded
        await asyncio.sleep(0.1)
        assert world.live.encoded == idle, "nobody watches, nothing is made"


async def test_a_watcher_needs_a_right(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        with pytest.raises(InvalidStatus, match="403"):
            await connect(world, **{"X-Piranha-Role": "none"})


async def test_too_many_are_sent_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST_WATCHERS", 1)
    async with World(tmp_path).running() as world, connect(world) as first:
        await frame(first)
        with pytest.raises(InvalidStatus, match="403"):
            await connect(world)


async def _read_on(watcher: ClientConnection) -> None:
    while True:
        await frame(watcher)


async def test_a_long_message_ends_the_watch(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world, connect(world) as watcher:
        await watcher.send("x" * 100_000)
        with pytest.raises(ConnectionClosed):
            await _read_on(watcher)
        await world.until(lambda: world.live.watchers == 0)


async def test_a_slow_reader_is_sent_away_and_the_others_go_on(tmp_path: Path) -> None:
    hub = live.LiveHub(World(tmp_path).director.live)
    slow: asyncio.Queue[str | None] = asyncio.Queue(5)
    quick: asyncio.Queue[str | None] = asyncio.Queue(5)
    hub._watchers |= {slow, quick}
    for _ in range(6):
        hub._send_round()
        quick.get_nowait()
    assert slow.get_nowait() is None
    assert hub.watchers == 1


def test_services_that_went_are_named(tmp_path: Path) -> None:
    world = World(tmp_path, LISTING + LISTING[LISTING.index("virtual") :].replace("port = 80", "port = 81"))
    world.director.start()
    before = world.director.live(1)
    after = world.director.live(2)
    after["services"] = after["services"][:1]
    changes = changes_between(before, after)
    assert (changes["gone"], changes["services"]) == (["tcp 10.0.0.100:81"], [])
