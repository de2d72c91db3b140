"""Several checks of one server: all or any of them, each with rules of its own; weights that checks ask for."""

import asyncio
from ipaddress import ip_address
from pathlib import Path

import pytest

from piranha.base.clock import MonotonicClock
from piranha.model.check import Probe, VerdictRules
from piranha.model.check_block import CheckBlock, CheckKind, ChecksNeeded
from piranha.model.configuration import RealServer, VirtualServer
from piranha.model.health import Health
from piranha.model.service import DestinationKey, Protocol, ServiceKey
from piranha.monitor.engine import Nanny
from piranha.monitor.outcome import Outcome
from piranha.monitor.roster import Roster
from piranha.monitor.rules import target_of
from piranha.monitor.target import Change, Check, HealthChange, Target, TargetKey, WeightChange
from piranha.monitor.verdict import combine

UP, DOWN, UNKNOWN = Health.UP, Health.DOWN, Health.UNKNOWN
SERVICE = ServiceKey(protocol=Protocol.TCP, address=ip_address("10.0.0.100"), port=80)
KEY = TargetKey(service=SERVICE, destination=DestinationKey(address=ip_address("10.0.0.11"), port=80))
GOOD = Outcome(ok=True, reason="fine", duration_s=0.001, answered=True)
BAD = Outcome(ok=False, reason="refused", duration_s=0.001, answered=True)


def probe(port: int) -> Probe:
    return Probe(address=ip_address("10.0.0.11"), port=port, protocol=Protocol.TCP, timeout_s=1)


def target(needed: ChecksNeeded, *ports: int, fall: int = 1) -> Target:
    rules = VerdictRules(interval_s=1, rise=1, fall=fall)
    return Target(checks=tuple(Check(probe=probe(port), rules=rules) for port in ports), needed=needed)


class Book:
    """A roster of one target; `tell` runs the check of a port once."""

    def __init__(self, target_: Target) -> None:
        self.roster = Roster(socket_limit=10, program_limit=1)
        self.now = 0.0
        self.roster.set_targets({KEY: target_}, self.now)
        self.roster.start(self.now, 10)

    def tell(self, port: int, outcome: Outcome) -> list[Change]:
        changes = self.roster.finish(probe(port), outcome, self.now, self.now)
        self.now += 2
        self.roster.start(self.now, 10)
        return changes

    @property
    def health(self) -> Health:
        return self.roster.status(KEY).health


@pytest.mark.parametrize(
    ("needed", "healths", "whole"),
    [
        (ChecksNeeded.ALL, (UP, UP), UP),
        (ChecksNeeded.ALL, (UP, UNKNOWN), UNKNOWN),
        (ChecksNeeded.ALL, (UNKNOWN, DOWN), DOWN),
        (ChecksNeeded.ANY, (UP, DOWN), UP),
        (ChecksNeeded.ANY, (DOWN, UNKNOWN), UNKNOWN),
        (ChecksNeeded.ANY, (DOWN, DOWN), DOWN),
    ],
)
def test_the_whole_of_the_parts(needed: ChecksNeeded, healths: tuple[Health, ...], whole: Health) -> None:
    assert combine(needed, healths) is whole


def test_all_must_be_good() -> None:
    book = Book(target(ChecksNeeded.ALL, 80, 443))
    assert book.tell(80, GOOD) == []
    assert book.health is UNKNOWN
    assert book.tell(443, GOOD) == [HealthChange(key=KEY, health=UP, reason="fine")]
    assert book.tell(80, BAD) == [HealthChange(key=KEY, health=DOWN, reason="refused")]
    status = book.roster.status(KEY)
    assert [check.health for check in status.checks] == [DOWN, UP]
    assert (status.last_ok, status.last_reason) == (False, "refused")
    assert book.tell(443, GOOD) == []
    assert book.tell(80, GOOD) == [HealthChange(key=KEY, health=UP, reason="fine")]


def test_any_is_enough() -> None:
    book = Book(target(ChecksNeeded.ANY, 80, 443))
    book.tell(80, BAD)
    assert book.health is UNKNOWN
    book.tell(443, GOOD)
    assert book.health is UP
    book.tell(443, BAD)
    assert book.health is DOWN
    book.tell(80, GOOD)
    assert book.health is UP


def test_each_check_has_its_own_count() -> None:
    book = Book(target(ChecksNeeded.ALL, 80, 443, fall=2))
    book.tell(80, GOOD)
    book.tell(443, GOOD)
    book.tell(80, BAD)
    book.tell(443, BAD)
    assert book.health is UP
    book.tell(443, BAD)
    assert book.health is DOWN


def test_a_failing_check_that_is_taken_away_lets_the_server_in_again() -> None:
    book = Book(target(ChecksNeeded.ALL, 80, 443))
    book.tell(80, GOOD)
    book.tell(443, BAD)
    assert book.health is DOWN
    book.roster.set_targets({KEY: target(ChecksNeeded.ALL, 80)}, book.now)
    book.tell(80, GOOD)
    assert book.health is UP


def test_the_least_weight_that_a_good_check_asks_for() -> None:
    book = Book(target(ChecksNeeded.ALL, 80, 443))
    weighted = Outcome(ok=True, reason="", duration_s=0, answered=True, weight=9)
    book.tell(80, GOOD)
    assert WeightChange(key=KEY, weight=9) in book.tell(443, weighted)
    assert book.tell(443, weighted) == []
    lighter = Outcome(ok=True, reason="", duration_s=0, answered=True, weight=3)
    assert book.tell(80, lighter) == [WeightChange(key=KEY, weight=3)]
    assert book.tell(80, GOOD) == [WeightChange(key=KEY, weight=9)]
    assert book.tell(443, GOOD) == [WeightChange(key=KEY, weight=None)]
    assert book.roster.status(KEY).weight is None


def test_blocks_of_the_real_server_take_the_place_of_the_others() -> None:
    own, common = CheckBlock(kind=CheckKind.REDIS, port=6379), CheckBlock(kind=CheckKind.HTTP, interval_s=3, rise=4)
    virtual = VirtualServer(name="v", checks=(common,), checks_needed=ChecksNeeded.ANY, timeout_s=2, fall=5)
    server = RealServer(name="s", address=ip_address("10.0.0.11"), port=8080)
    (check,) = target_of(virtual, server).checks
    assert (check.probe.kind, check.probe.port, check.probe.timeout_s) == (CheckKind.HTTP, 8080, 2)
    assert check.rules == VerdictRules(interval_s=3, rise=4, fall=5)
    mine = target_of(virtual, RealServer(name="s", address=ip_address("10.0.0.12"), checks=(own, common)))
    assert [check.probe.kind for check in mine.checks] == [CheckKind.REDIS, CheckKind.HTTP]
    assert mine.needed is ChecksNeeded.ANY
    # The old way and the new way of saying the same are one check.
    old = VirtualServer(name="v", port=81, send="x", expect="y")
    new = VirtualServer(name="v", port=81, checks=(CheckBlock(kind=CheckKind.TCP, send="x", expect="y"),))
    assert target_of(old, server) == target_of(new, server)


def test_secrets_are_in_no_text() -> None:
    block = CheckBlock(kind=CheckKind.SMTP, login="me", password="hush", secret="hush")
    server = RealServer(name="s", address=ip_address("10.0.0.11"))
    target_ = target_of(VirtualServer(name="v", checks=(block,)), server)
    assert "hush" not in f"{target_} {target_!r} {target_.checks[0].probe}"


def _script(folder: Path) -> Path:
    """A script that user nobody may read: it asks for weight 5."""
    script = folder / "weigh"
    script.write_text("exit 7\n")
    for place in (folder, *folder.parents):
        if place == folder or "pytest" in place.name:
            place.chmod(0o755)
    return script


async def test_programs_and_files_give_weights(tmp_path: Path) -> None:
    number = tmp_path / "number"
    number.write_text("12\n")
    program = CheckBlock(kind=CheckKind.PROGRAM, command=f"/bin/sh {_script(tmp_path)}", dynamic_weight=True)
    file = CheckBlock(kind=CheckKind.FILE, path=str(number), dynamic_weight=True)
    blocks = {1: program, 2: file, 3: CheckBlock(kind=CheckKind.NONE)}
    targets = {}
    for port, block in blocks.items():
        server = RealServer(name="s", address=ip_address("127.0.0.1"), port=port)
        key = TargetKey(service=SERVICE, destination=DestinationKey(address=ip_address("127.0.0.1"), port=port))
        targets[key] = target_of(VirtualServer(name="v", checks=(block,), interval_s=0.1, timeout_s=3, rise=1), server)
    weights: dict[int, int | None] = {}

    def weigh(key: TargetKey, weight: int | None) -> None:
        weights[key.destination.port] = weight

    nanny = Nanny(MonotonicClock(), lambda *change: None, on_weight=weigh)
    nanny.set_targets(targets)

    async def until(wanted: dict[int, int | None], healths: list[Health]) -> None:
        async with asyncio.timeout(30):
            while weights != wanted or [status.health for status in nanny.statuses()] != healths:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async with asyncio.TaskGroup() as group:
        running = group.create_task(nanny.run())
        await until({1: 5, 2: 12}, [UP, UP, UP])
        number.write_text("0")
        await until({1: 5, 2: 12}, [UP, DOWN, UP])
        number.unlink()
        async with asyncio.timeout(30):
            while "cannot read" not in nanny.statuses()[1].trouble:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert nanny.statuses()[1].health is DOWN
        running.cancel()
