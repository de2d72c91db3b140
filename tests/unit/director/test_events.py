"""Events: numbered without gaps, bounded in number and in rate, kept over restarts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.director_world import World

from piranha.base.errors import PiranhaError
from piranha.director.chronicle import Chronicle
from piranha.director.eventfile import EventFile
from piranha.director.events import BURST, EventKind, EventLog, EventSeverity
from piranha.director.pulse_link import ClusterView
from piranha.model.health import Health


def filled(count: int, *, kept: int = 10) -> EventLog:
    log = EventLog(kept=kept)
    for at in range(count):
        log.add(EventKind.HEALTH, f"number {at + 1}", now=at * 10.0, wall=1000.0 + at)
    return log


def numbers(document: object) -> list[int]:
    assert isinstance(document, dict)
    return [event["number"] for event in document["events"]]


def test_a_reader_goes_on_where_it_was() -> None:
    log = filled(25)
    document = log.document(18, 3)
    assert (document["first"], document["last"], numbers(document)) == (16, 25, [19, 20, 21])
    assert numbers(log.document(21, 100)) == [22, 23, 24, 25]
    assert numbers(log.document(0, 2)) == [16, 17], "what is forgotten is seen by `first`"
    assert numbers(log.document(25, 9)) == numbers(log.document(999, 9)) == []
    assert numbers(log.latest(2)) == [24, 25]
    assert (EventLog().document(0, 9)["first"], EventLog().latest(9)["last"]) == (1, 0)


def test_kinds_are_chosen() -> None:
    log = filled(2)
    log.add(EventKind.ROLE, "this director is active", now=0, wall=0)
    assert numbers(log.document(0, 9, frozenset(("role",)))) == [3]
    assert numbers(log.latest(9, frozenset(("health",)))) == [1, 2]


def test_a_flood_of_one_kind_is_counted_and_the_others_stay() -> None:
    log = EventLog(kept=2000)
    for at in range(BURST + 700):
        log.add(EventKind.HEALTH, f"number {at}", now=1.0, wall=1.0)
    log.add(EventKind.ROLE, "active", now=1.0, wall=1.0)
    assert log.last == BURST + 1
    log.add(EventKind.HEALTH, "later", now=2.0, wall=2.0)
    texts = [event["text"] for event in log.latest(3)["events"]]
    assert texts == ["active", "700 more were too many to be kept", "later"]


def test_texts_are_bounded() -> None:
    log = EventLog()
    log.add(EventKind.HEALTH, "x" * 10_000, now=0, wall=0, subject="y" * 10_000)
    assert len(json.dumps(log.latest(1))) < 2000


def test_a_restart_keeps_them_and_the_numbers_go_on(tmp_path: Path) -> None:
    path = tmp_path / "state" / "events.jsonl"
    log = filled(3)
    EventFile(path).append(log.take_unsaved(), log.all())
    again = EventLog(EventFile(path).load())
    again.add(EventKind.ROLE, "active", now=0, wall=0)
    assert numbers(again.latest(9)) == [1, 2, 3, 4]
    assert again.take_unsaved()[0]["number"] == 4
    assert log.take_unsaved() == []


def test_the_file_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    file, log = EventFile(path, kept=10), EventLog(kept=10)
    for at in range(100):
        log.add(EventKind.HEALTH, f"number {at}", now=at * 10.0, wall=0)
        file.append(log.take_unsaved(), log.all())
        assert path.read_bytes().count(b"\n") <= 20
    assert [event["number"] for event in EventFile(path, kept=10).load()] == list(range(91, 101))


@pytest.mark.parametrize("tail", [b'{"number": 9', b"\x00\xff\n", b"[]\n", b'{"number": "x"}\n', b"\n"])
def test_a_torn_line_is_left_out(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "events.jsonl"
    log = filled(2)
    EventFile(path).append(log.take_unsaved(), log.all())
    with path.open("ab") as file:
        file.write(tail)
    again = EventFile(path)
    after = EventLog(again.load())
    after.add(EventKind.ROLE, "active", now=0, wall=0)
    again.append(after.take_unsaved(), after.all())
    assert [event["number"] for event in EventFile(path).load()] == [1, 2, 3]


def test_a_disk_that_refuses_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    log = filled(1)
    with pytest.raises(PiranhaError, match="cannot write"):
        EventFile(tmp_path / "file" / "events.jsonl").append(log.take_unsaved(), log.all())


async def test_verdicts_are_told_by_the_names_of_the_file(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        world.nanny.say("10.0.0.11", Health.UP, "answered")
        world.nanny.say("10.0.0.11", Health.DOWN, "connection refused")
        events = world.director.chronicle.log.latest(2, frozenset(("health",)))["events"]
        assert [(e["subject"], e["text"], e["severity"]) for e in events] == [
            ("HTTP web1", "up: answered", "info"),
            ("HTTP web1", "down: connection refused", "warning"),
        ]
    assert EventFile(tmp_path / "state" / "events.jsonl").load()[-1]["text"] == "down: connection refused"


async def test_drift_is_told(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        await world.until(lambda: world.beats > 2)
        key = world.plane.snapshot()[0].service.key
        del world.plane._rows[key]
        log = world.director.chronicle.log
        await world.until(lambda: bool(log.latest(1, frozenset(("table",)))["events"]))
        assert log.latest(1, frozenset(("table",)))["events"][0]["text"].startswith("drift repaired: add tcp")


def test_roles_and_alarms_are_told_when_they_change() -> None:
    chronicle = Chronicle()
    alone = ClusterView()
    backup = ClusterView(role="backup", attached=True, document={"alarms": {"peer": "the peer is silent"}})
    for view in (alone, backup, backup, ClusterView(role="active", attached=True, document={"alarms": {}}), alone):
        chronicle.cluster(view)
    assert [(e["kind"], e["subject"], e["text"]) for e in chronicle.log.latest(9)["events"]] == [
        ("role", "", "this director is backup"),
        ("alarm", "peer", "the peer is silent"),
        ("role", "", "this director is active"),
        ("alarm", "peer", "is over"),
        ("role", "", "this director is standalone, without pulse"),
    ]
    assert chronicle.log.latest(9)["events"][1]["severity"] == EventSeverity.WARNING
