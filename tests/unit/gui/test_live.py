"""The live stream: who may look, what comes, what happens when nobody looks or lvsd is gone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.websockets import WebSocketDisconnect
from tests.unit.gui_world import ORIGIN, GuiWorld, gui_world

from piranha.base.errors import UnreachableError
from piranha.gui.live import Hub, changes_between
from piranha.gui.pages.live import FOREIGN, LOG_IN
from piranha.gui.role import Role
from piranha.model.health import Health


@pytest.fixture
def world(tmp_path: Path) -> Iterator[GuiWorld]:
    with gui_world(tmp_path) as made:
        yield made


def closed_with(world: GuiWorld, role: Role | None, **headers: str) -> int:
    with world.client(role).websocket_connect("wss://lb1:3636/live", headers=headers) as socket:
        try:
            socket.receive_text()
        except WebSocketDisconnect as end:
            return end.code
    return 0


def test_only_who_is_logged_in_may_look_and_only_from_our_pages(world: GuiWorld) -> None:
    assert closed_with(world, None, origin=ORIGIN) == LOG_IN
    assert closed_with(world, Role.VIEWER, origin="https://evil.example") == FOREIGN
    assert closed_with(world, Role.VIEWER, origin=ORIGIN) == 0


def test_a_frame_has_what_the_pages_show(world: GuiWorld) -> None:
    world.thread.do(lambda: world.world.nanny.say("10.0.0.11", Health.UP))
    world.until(lambda: len(world.world.pool()) == 1)
    with world.client(Role.VIEWER).websocket_connect("wss://lb1:3636/live", headers={"origin": ORIGIN}) as socket:
        frame = json.loads(socket.receive_text())
    state, servers, up, connections, per_s, _in_bps, out_bps = frame["services"]["tcp 10.0.0.100:80"]
    assert (state, servers, up, connections, per_s) == ("degraded", 2, 1, 0, 0.0)
    assert out_bps is None, "nothing was seen of it"
    assert frame["cluster"]["role"] == "standalone"
    assert frame["summary"]["services"] == 1


def test_a_session_that_ends_ends_the_stream(world: GuiWorld) -> None:
    client = world.client(Role.VIEWER)
    with client.websocket_connect("wss://lb1:3636/live", headers={"origin": ORIGIN}) as socket:
        socket.receive_text()
        world.context.accounts.set_role("viewer", Role.VIEWER)
        world.clock.advance(3600)
        assert _end_of(socket) == LOG_IN


def _end_of(socket: Any) -> int:
    """With which code the server closes, at most a hundred frames later."""
    try:
        for _ in range(100):
            socket.receive_text()
    except WebSocketDisconnect as end:
        return end.code
    return 0


def test_a_lost_lvsd_is_told_in_the_stream(world: GuiWorld) -> None:
    with world.client(Role.VIEWER).websocket_connect("wss://lb1:3636/live", headers={"origin": ORIGIN}) as socket:
        socket.receive_text()
        world.thread.end()
        frames = (json.loads(socket.receive_text()) for _ in range(100))
        assert "lvsd is not running" in next(frame["error"] for frame in frames if "error" in frame)


async def test_one_question_serves_all_and_none_is_asked_for_nobody() -> None:
    asked = 0

    async def ask() -> dict[str, Any]:
        nonlocal asked
        asked += 1
        return {"number": asked}

    hub = Hub(ask, period_s=0.02)
    await asyncio.sleep(0.1)
    assert asked == 0

    async def watch() -> list[str]:
        seen = []
        async with hub.watching():
            async for frame in hub.frames():
                seen.append(frame)
                if len(seen) == 3:
                    return seen
        return seen

    async with asyncio.timeout(10):
        results = await asyncio.gather(*(watch() for _ in range(50)))
    assert all(len(result) == 3 for result in results)
    assert asked <= 6
    assert hub.watchers == 0


async def test_a_failed_question_is_a_frame_not_an_end() -> None:
    answers = iter([UnreachableError("lvsd is not running", mend="start it"), {"fine": True}])

    async def ask() -> dict[str, Any]:
        answer = next(answers, {"fine": True})
        if isinstance(answer, Exception):
            raise answer
        return answer

    hub = Hub(ask, period_s=0.01)
    async with asyncio.timeout(10), hub.watching():
        frames = [json.loads(frame) async for frame in _some(hub, 2)]
    assert frames[0]["error"] == "lvsd is not running"
    assert frames[1]["fine"]


async def _some(hub: Hub, count: int) -> Any:
    async for frame in hub.frames():
        yield frame
        count -= 1
        if not count:
            return


def test_only_services_that_changed_are_told_again() -> None:
    before = {"services": {"a": [1], "b": [2], "c": [3]}, "totals": 1}
    after = {"services": {"a": [1], "b": [9], "d": [4]}, "totals": 2}
    assert changes_between(before, after) == {"services": {"b": [9], "d": [4]}, "totals": 2, "gone": ["c"]}
    assert changes_between({}, after) == {**after, "whole": True}
    assert changes_between(before, {"error": "gone"}) == {"error": "gone"}
    assert changes_between({"error": "gone"}, after)["whole"]


async def test_who_missed_a_frame_gets_a_whole_one() -> None:
    number = 0

    async def ask() -> dict[str, Any]:
        nonlocal number
        number += 1
        return {"services": {"always": [1], "counted": [number]}}

    hub = Hub(ask, period_s=0.01)
    async with asyncio.timeout(20), hub.watching():
        frames = hub.frames()
        first = json.loads(await anext(frames))
        second = json.loads(await anext(frames))
        seen = number
        while number < seen + 5:  # noqa: ASYNC110 - what a test waits for has no event
            await asyncio.sleep(0.005)
        third = json.loads(await anext(frames))
        await frames.aclose()  # type: ignore[attr-defined]
    assert first["whole"]
    assert set(second["services"]) == {"counted"}
    assert third["whole"]
    assert set(third["services"]) == {"always", "counted"}
