"""The configuration over the API: nothing is changed unseen, and everything can be taken back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.api.asking import Answer, ask
from tests.unit.director_world import LISTING, World

from piranha.director.confirmation import ConfirmationFile
from piranha.director.editing import Editing
from piranha.model.configuration import Configuration

WLC = LISTING.replace("scheduler = rr", "scheduler = wlc")
WEB1 = ["virtual", "HTTP", "server", "web1"]


async def tag(world: World) -> dict[str, str]:
    return {"If-Match": (await ask(world, "GET", "configuration")).headers["etag"]}


async def put(world: World, text: str, **more: Any) -> Answer:
    return await ask(world, "PUT", "configuration", {"text": text, **more}, await tag(world))


async def edit(world: World, changes: list[dict[str, Any]], **more: Any) -> Answer:
    return await ask(world, "POST", "configuration/edit", {"changes": changes, **more}, await tag(world))


def scheduler(world: World) -> str:
    return world.plane.snapshot()[0].service.scheduler


async def test_a_change_is_stored_applied_and_told(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        answer = await put(world, WLC, comment="fewer connections")
        assert answer.status == 200
        assert answer.document["changes"] == ["edit tcp 10.0.0.100:80 scheduler rr -> wlc"]
        assert (answer.document["version"], answer.document["serial_no"]) == (2, 8)
        assert scheduler(world) == "wlc"
        assert world.config.read_text() == WLC.replace("serial_no = 7", "serial_no = 8")
        stored = await ask(world, "GET", "configuration")
        assert stored.headers["etag"] == answer.headers["etag"] == f'"{answer.document["digest"]}"'
        assert (stored.document["version"], stored.document["in_force"]) == (2, True)
        assert stored.document["values"]["virtuals"][0]["scheduler"] == "wlc"
        events = (await ask(world, "GET", "events?kind=configuration")).document["events"]
        assert [(e["who"], e["text"]) for e in events] == [
            ("root", "version 2, serial 8, 1 changes of the table: fewer connections")
        ]


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 428), ({"If-Match": '"0"'}, 412), ({"If-Match": "nonsense"}, 412), ({"If-Match": "*"}, 200)],
)
async def test_a_change_says_on_which_text_it_was_made(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    async with World(tmp_path).running() as world:
        body = {"text": WLC}
        assert (await ask(world, "PUT", "configuration", body, headers)).status == status
        assert scheduler(world) == ("wlc" if status == 200 else "rr")


async def test_the_second_of_two_who_edit_is_told(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        seen = await tag(world)
        assert (await put(world, WLC)).status == 200
        late = await ask(world, "PUT", "configuration", {"text": LISTING}, seen)
        assert (late.status, late.document["type"]) == (412, "urn:piranha:problem:changed")
        assert scheduler(world) == "wlc"


async def test_a_text_with_errors_changes_nothing_and_all_are_said(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        answer = await put(world, LISTING.replace("scheduler", "shceduler").replace("port = 80", "port = x y"))
        assert (answer.status, answer.headers["content-type"]) == (422, "application/problem+json")
        assert [p["line"] for p in answer.document["problems"]] == [10, 12]
        assert world.config.read_text() == LISTING
        assert (await ask(world, "GET", "configuration/versions")).document["versions"][0]["number"] == 1


async def test_a_dry_run_says_what_would_be_done_and_does_nothing(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        text = WLC.replace("10.0.0.12", "10.0.0.13").replace("port = 80", "port = 81", 1)
        answer = await ask(world, "POST", "configuration/check", {"text": text})
        assert answer.document["usable"]
        assert answer.document["plan"]["operations"] == ["add tcp 10.0.0.100:81 wlc", "delete tcp 10.0.0.100:80"]
        assert answer.document["plan"]["waiting"] == ["HTTP web1", "HTTP web2"]
        bad = await ask(world, "POST", "configuration/check", {"text": "keepalve = 6\n"})
        assert (bad.status, bad.document["usable"], bad.document["plan"]) == (200, False, None)
        assert bad.document["problems"][0]["line"] == 1
        assert (scheduler(world), world.config.read_text()) == ("rr", LISTING)
        assert world.director.reading.configuration != Configuration()


async def test_edits_keep_comments_and_can_be_tried_first(tmp_path: Path) -> None:
    text = LISTING.replace("        weight = 3\n", "        weight = 3   # strong\n")
    async with World(tmp_path, text).running() as world:
        changes = [{"path": WEB1, "set": {"weight": "5"}}, {"path": [], "set": {"keepalive": 9}}]
        tried = (await edit(world, changes, dry_run=True)).document
        assert "+        weight = 5   # strong" in tried["diff"]
        assert "+keepalive = 9\n" in tried["diff"]
        assert world.config.read_text() == text
        done = await edit(world, changes, comment="stronger")
        assert done.status == 200
        assert "weight = 5   # strong" in world.config.read_text()
        assert world.director.reading.configuration.virtuals[0].servers[0].weight == 5


async def test_edits_that_cannot_be_made_are_refused_with_their_places(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        answer = await edit(
            world, [{"path": WEB1, "set": {"weight": "x"}}, {"path": ["virtual", "no"], "act": "delete"}]
        )
        assert answer.status == 422
        assert [error["pointer"] for error in answer.document["errors"]] == ["/0/set/weight", "/1/path/1"]
        sent = "1\nvirtual evil {\n}"
        assert (await edit(world, [{"path": WEB1, "set": {"weight": sent}}])).status == 422
        assert (await edit(world, [{"path": ["virtual", sent], "act": "add"}])).status == 422
        assert world.config.read_text() == LISTING


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        ({}, "/changes is missing"),
        ({"changes": []}, "from 1 to 200"),
        ({"changes": [{"path": "virtual"}]}, "/changes/0/path is no list"),
        ({"changes": [{"path": [True]}]}, "/changes/0/path/0 is of none of the types"),
        ({"changes": [{"path": [], "act": "explode"}]}, "/changes/0/act is none of edit, add"),
        ({"changes": [{"path": []}], "force": True}, "/force is not known"),
        ({"changes": [{"path": [], "set": {"send": {"a": 1}}}]}, "/changes/0/set/send is of none"),
        (json.dumps({"changes": [{"path": ["\ud800"]}]}).encode(), "/changes/0/path/0 is of none"),
        ({"changes": [], "comment": "\ud800"}, "/comment is no text"),
        ({"changes": [{"path": [], "set": {}}], "confirm_s": 1}, "from 5 to 3600"),
    ],
)
async def test_a_wrong_request_is_named(tmp_path: Path, body: object, complaint: str) -> None:
    async with World(tmp_path).running() as world:
        answer = await ask(world, "POST", "configuration/edit", body, await tag(world))
        assert answer.status == 400
        assert complaint in answer.document["detail"]


async def test_versions_differ_and_come_back(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        await put(world, WLC, comment="one")
        compared = (await ask(world, "GET", "configuration/diff")).document
        assert (compared["before"], compared["after"]) == (1, 2)
        assert "-    scheduler = rr\n+    scheduler = wlc\n" in compared["unified"]
        changed = [(row["left"], row["right"]) for row in compared["rows"] if row["kind"] == "changed"]
        assert ("    scheduler = rr", "    scheduler = wlc") in changed
        back = await ask(world, "POST", "configuration/rollback", {"version": 1})
        assert (back.document["version"], back.document["serial_no"]) == (3, 9)
        assert scheduler(world) == "rr"
        versions = (await ask(world, "GET", "configuration/versions")).document["versions"]
        assert [(v["number"], v["who"], v["comment"]) for v in versions] == [
            (3, "root", "back to version 1"),
            (2, "root", "one"),
            (1, "", "in force at start"),
        ]
        one = await ask(world, "GET", "configuration/versions/1")
        assert one.document["text"] == LISTING
        for resource in ("configuration/versions/9", "configuration/diff?from=9"):
            missing = await ask(world, "GET", resource)
            assert (missing.status, missing.document["title"]) == (404, "Not Found")
        assert (await ask(world, "POST", "configuration/rollback", {"version": 9})).status == 404


async def test_a_text_that_the_data_plane_cannot_take_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from piranha.base.errors import PiranhaError

    async with World(tmp_path).running() as world:
        reload = world.director.reload

        async def refuse() -> object:
            monkeypatch.setattr(world.director, "reload", reload)
            raise PiranhaError("no such interface")

        monkeypatch.setattr(world.director, "reload", refuse)
        answer = await put(world, WLC)
        assert (answer.status, answer.document["detail"]) == (409, "no such interface")
        assert world.config.read_text() == LISTING
        assert (await ask(world, "GET", "configuration")).document["in_force"]


async def test_what_nobody_confirms_is_taken_back(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        answer = await put(world, WLC, confirm_s=60)
        assert answer.document["awaits"]["back_to"] == 1
        assert (await put(world, LISTING)).status == 409, "one at a time"
        world.wall += 61
        world.editing._news.set()  # the timer sleeps by another clock than the test's
        await world.until(lambda: scheduler(world) == "rr")
        await world.until(lambda: not (tmp_path / "state" / "unconfirmed.json").exists())
        versions = (await ask(world, "GET", "configuration/versions")).document
        assert versions["awaits"] is None
        assert (versions["versions"][0]["who"], versions["versions"][0]["comment"]) == (
            "lvsd",
            "version 2 was not confirmed: back to version 1",
        )


async def test_what_is_confirmed_stays(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        await put(world, WLC, confirm_s=60)
        assert (await ask(world, "POST", "configuration/confirm")).status == 200
        assert (await ask(world, "POST", "configuration/confirm")).status == 409
        world.wall += 61
        world.editing._news.set()
        assert (await put(world, WLC + "# end\n")).status == 200
        assert scheduler(world) == "wlc"


async def test_a_rollback_ends_the_waiting(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        await put(world, WLC, confirm_s=60)
        back = await ask(world, "POST", "configuration/rollback", {"version": 1})
        assert (back.status, back.document["awaits"], scheduler(world)) == (200, None, "rr")


async def test_a_restart_of_lvsd_makes_nothing_final(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        await put(world, WLC, confirm_s=60)
    again = World(tmp_path, world.config.read_text())
    again.wall = world.wall + 61
    again.editing = Editing(
        again.store, again.director, ConfirmationFile(tmp_path / "state" / "unconfirmed.json"), wall=lambda: again.wall
    )
    async with again.running():
        await again.until(lambda: scheduler(again) == "rr")


async def test_a_file_edited_meanwhile_is_not_overwritten_by_the_timer(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        await put(world, WLC, confirm_s=60)
        by_hand = WLC.replace("= wlc", "= lc")
        world.config.write_text(by_hand)
        assert not (await ask(world, "GET", "configuration")).document["in_force"]
        world.wall += 61
        world.editing._news.set()
        await world.until(lambda: not (tmp_path / "state" / "unconfirmed.json").exists())
        assert world.config.read_text() == by_hand


async def test_a_reload_makes_what_was_edited_by_hand_a_version(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        world.config.write_text(WLC)
        assert (await ask(world, "POST", "reload")).status == 200
        versions = (await ask(world, "GET", "configuration/versions")).document["versions"]
        assert (versions[0]["who"], versions[0]["comment"]) == ("root", "edited on disk")


async def test_directives_are_data(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        found = (await ask(world, "GET", "configuration/directives")).document["directives"]
        scheduler = next(one for one in found if one["name"] == "scheduler")
        assert (scheduler["scope"], scheduler["default"], "wrr" in scheduler["words"]) == ("virtual", "wlc", True)
        assert {one["scope"] for one in found} == {"global", "virtual", "server", "mark", "check"}
