"""What comes in: put into the table, counted, or kept until its destination is there."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.sync.fake_table import FakeTable, connection
from tests.unit.sync.test_datagram import packed

from piranha.base.clock import ManualClock
from piranha.dataplane.ebpf.arrivals import Outcome
from piranha.dataplane.exchange import Entries
from piranha.sync.datagram import write
from piranha.sync.intake import Intake
from piranha.sync.tally import Tally
from piranha.sync.waiting import Waiting


class World:
    def __init__(self) -> None:
        self.table, self.tally, self.clock = FakeTable(), Tally(), ManualClock()
        self.intake = Intake(self.table, self.tally, self.clock)

    def say(self, *rows: np.ndarray[tuple[int], np.dtype[np.void]], sync_id: int = 7) -> None:
        self.intake.accept([d for d, _ in write(Entries(np.concatenate(rows)), 7, 1024)], sync_id)


def test_entries_are_put_into_the_table_and_counted() -> None:
    world = World()
    world.say(connection(1), connection(2))
    world.say(connection(2, state=4))
    assert world.table.states() == {1: 1, 2: 4}
    assert world.tally.heard == {Outcome.MADE: 2, Outcome.UPDATED: 1}
    assert (world.tally.heard_entries, world.tally.heard_datagrams, world.tally.heard_at) == (3, 2, 0.0)


def test_another_group_and_rubbish_are_counted_and_change_nothing() -> None:
    world = World()
    world.say(connection(1), sync_id=8)
    world.intake.accept([b"rubbish"], 7)
    assert not world.table.rows
    assert (world.tally.foreign, world.tally.faults) == (1, 1)
    assert "says that it has" in world.tally.last_fault


def test_an_entry_waits_for_its_destination() -> None:
    world = World()
    server = packed("10.0.0.9").tobytes()
    world.table.missing.add(server)
    world.say(connection(1, server="10.0.0.9"), connection(2, server="10.0.0.9"))
    assert len(world.intake.waiting) == 2
    world.intake.keep()
    assert len(world.intake.waiting) == 2, "nothing changed"
    world.table.missing.clear()
    world.table.edition += 1
    world.clock.advance(20)
    world.intake.keep()
    assert world.table.states() == {1: 1, 2: 1}
    assert {int(row["timeout_s"]) for row in world.table.rows} == {40}
    assert not len(world.intake.waiting)


def test_an_entry_does_not_wait_for_ever() -> None:
    world = World()
    world.table.missing.add(packed("10.0.0.9").tobytes())
    world.say(connection(1, server="10.0.0.9"))
    world.clock.advance(61)
    world.intake.keep()
    assert not len(world.intake.waiting)


def test_a_kernel_that_refuses_is_a_problem_and_no_crash() -> None:
    world = World()
    world.table.refusal = "no"
    world.say(connection(1))
    assert world.tally.problem == "no"
    world.table.refusal = ""
    world.say(connection(1))
    assert (world.tally.problem, world.table.states()) == ("", {1: 1})


@pytest.mark.parametrize(("timeout_s", "left"), [(60, 30), (0, 0)])
def test_waiting_counts_the_time_down(timeout_s: int, left: int) -> None:
    waiting = Waiting()
    row = connection(1)
    row["timeout_s"] = timeout_s
    waiting.add(row, 100.0)
    assert list(waiting.take(130.0).rows["timeout_s"]) == [left]
    assert not len(waiting)


def test_waiting_has_a_bound_and_keeps_the_latest() -> None:
    waiting = Waiting(2)
    waiting.add(np.concatenate([connection(1), connection(2), connection(3), connection(2, state=4)]), 0.0)
    assert (len(waiting), waiting.lost) == (2, 1)
    assert list(waiting.take(1.0).rows["state"]) == [1, 4]
