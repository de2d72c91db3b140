"""The roster in virtual time: a small world answers its checks."""

from collections.abc import Callable
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piranha.model.check import Probe, VerdictRules
from piranha.model.health import Health
from piranha.model.service import DestinationKey, Protocol, ServiceKey
from piranha.monitor.outcome import Outcome
from piranha.monitor.roster import VOIDS_AT_ONCE, Roster
from piranha.monitor.target import Check, Forced, HealthChange, Target, TargetKey

GOOD = Outcome(ok=True, reason="fine", duration_s=0.001, answered=True)
REFUSED = Outcome(ok=False, reason="connection refused", duration_s=0.001, answered=True)
SILENT = Outcome(ok=False, reason="CONNECT timed out", duration_s=1, answered=False)


def probe(n: int, **more: object) -> Probe:
    fields: dict[str, object] = {"address": ip_address(0x0A000000 + n), "port": 80, "protocol": Protocol.TCP}
    return Probe(**{**fields, "timeout_s": 1.0, **more})  # type: ignore[arg-type]


def key(n: int, vip: int = 100) -> TargetKey:
    service = ServiceKey(protocol=Protocol.TCP, address=ip_address(0x0A000000 + vip), port=80)
    return TargetKey(service=service, destination=DestinationKey(address=ip_address(0x0A000000 + n), port=80))


def target(n: int, *, interval_s: float = 1.0, rise: int = 1, fall: int = 1, **more: object) -> Target:
    rules = VerdictRules(interval_s=interval_s, rise=rise, fall=fall)
    return Target(checks=(Check(probe=probe(n, **more), rules=rules),))


class World:
    """Runs a roster: `answer(probe, now)` says what each check finds; checks end after their duration."""

    def __init__(self, targets: dict[TargetKey, Target], answer: Callable[[Probe, float], Outcome]) -> None:
        self.roster = Roster(socket_limit=450, program_limit=50)
        self.roster.set_targets(targets, 0.0)
        self.answer = answer
        self.now = 0.0
        self.changes: list[tuple[float, HealthChange]] = []
        self.checks: list[tuple[float, Probe]] = []
        self.stalled = False
        self._ends: list[tuple[float, int, Probe, Outcome, float]] = []

    def run(self, until: float) -> None:
        while True:
            for probe_ in self.roster.start(self.now, 1000):
                outcome = self.answer(probe_, self.now)
                self.checks.append((self.now, probe_))
                self._ends.append((self.now + outcome.duration_s, len(self.checks), probe_, outcome, self.now))
            self._ends.sort()
            times = [self._ends[0][0]] if self._ends else []
            if (due := self.roster.next_at()) is not None:
                times.append(due)
            if not times or max(self.now, min(times)) > until:
                self.now = until
                return
            self.now = max(self.now, min(times))
            while self._ends and self._ends[0][0] <= self.now:
                _, _, ended, outcome, started_at = self._ends.pop(0)
                changes = self.roster.finish(ended, outcome, started_at, self.now, stalled=self.stalled)
                self.changes += [(self.now, change) for change in changes]

    def healths(self) -> list[Health]:
        return [status.health for status in self.roster.statuses()]


def test_first_success_brings_in_and_a_dead_one_stays_out() -> None:
    world = World({key(n): target(n, rise=18) for n in range(3)}, lambda p, _: REFUSED if p == probe(1) else GOOD)
    assert world.healths() == [Health.UNKNOWN] * 3
    world.run(0.01)
    assert world.healths() == [Health.UP, Health.DOWN, Health.UP]
    assert {change.reason for _, change in world.changes} == {"fine", "connection refused"}


def test_one_of_the_articles_two_web_servers_is_stopped_and_returns() -> None:
    world = World(
        {key(n): target(n, interval_s=6, rise=2, timeout_s=6.0) for n in (1, 2)},
        lambda p, now: REFUSED if p.address == probe(1).address and 20 <= now < 60 else GOOD,
    )
    world.run(100)
    story = [(at, change.key, change.health) for at, change in world.changes]
    assert [(k, h) for _, k, h in story] == [
        (key(1), Health.UP),
        (key(2), Health.UP),
        (key(1), Health.DOWN),
        (key(1), Health.UP),
    ]
    assert 20 <= story[2][0] <= 26.1
    assert 66 <= story[3][0] <= 72.1


def test_equal_probes_are_checked_once_for_all() -> None:
    targets = {key(1, vip): target(1, fall=1 if vip < 150 else 3) for vip in range(100, 200)}
    world = World(targets, lambda _, now: GOOD if now < 5 else REFUSED)
    world.run(6.0)
    assert len(world.checks) <= 8
    assert world.healths() == [Health.DOWN] * 50 + [Health.UP] * 50
    world.run(8.5)
    assert world.healths() == [Health.DOWN] * 100


def test_a_slower_target_on_a_shared_check_counts_in_its_own_intervals() -> None:
    targets = {key(1, 100): target(1, interval_s=1), key(1, 101): target(1, interval_s=10, rise=2, fall=2)}
    world = World(targets, lambda _, now: GOOD if now < 30 or now > 70 else REFUSED)
    world.run(120)
    slow = [at for at, change in world.changes if change.key == key(1, 101)]
    quick = [at for at, change in world.changes if change.key == key(1, 100)]
    assert quick[1] - 30 <= 1.1
    assert 10 <= slow[1] - 30 <= 21
    assert 10 <= slow[2] - 70 <= 21


def test_a_new_target_on_a_known_check_is_checked_at_once() -> None:
    world = World({key(1): target(1, interval_s=100)}, lambda *_: GOOD)
    world.run(50)
    world.roster.set_targets({key(1): target(1, interval_s=100), key(1, 101): target(1, interval_s=100)}, 50.0)
    world.run(50.01)
    assert world.healths() == [Health.UP, Health.UP]


def test_set_targets_keeps_what_stays() -> None:
    world = World({key(1): target(1), key(2): target(2)}, lambda *_: GOOD)
    world.run(2)
    changed = {key(2): target(2, interval_s=5, fall=3), key(3): target(3)}
    world.roster.set_targets(changed, 2.0)
    assert world.healths() == [Health.UP, Health.UNKNOWN]
    assert world.roster.statuses()[0].target == changed[key(2)]
    with pytest.raises(KeyError):
        world.roster.status(key(1))
    world.run(10)
    assert probe(1) not in {p for at, p in world.checks if at > 2}


def test_a_changed_check_keeps_the_verdict_and_runs_at_once() -> None:
    world = World({key(1): target(1, interval_s=100)}, lambda p, _: GOOD if p.send is None else REFUSED)
    world.run(1)
    world.roster.set_targets({key(1): target(1, interval_s=100, send=b"new")}, 1.0)
    assert world.healths() == [Health.UP]
    world.run(1.1)
    assert world.healths() == [Health.DOWN]


def test_a_result_for_a_removed_target_is_nothing() -> None:
    roster = Roster(socket_limit=10, program_limit=1)
    roster.set_targets({key(1): target(1)}, 0.0)
    (started,) = roster.start(0.0, 10)
    roster.set_targets({}, 0.1)
    assert roster.finish(started, GOOD, 0.0, 0.2) == []
    assert roster.in_flight == 0
    assert roster.statuses() == ()


def test_forced_states() -> None:
    world = World({key(1): target(1, rise=18)}, lambda *_: GOOD)
    world.run(1)
    (down,) = world.roster.force(key(1), Forced.DOWN, 1.0)
    assert (down.health, down.reason) == (Health.DOWN, "forced down by hand")
    world.run(5)
    assert world.healths() == [Health.DOWN]
    assert max(at for at, _ in world.checks) <= 1.0
    (up,) = world.roster.force(key(1), Forced.UP, 5.0)
    assert up.health is Health.UP
    assert world.roster.force(key(1), Forced.UP, 5.0) == []
    world.roster.force(key(1), Forced.DOWN, 5.5)
    assert world.roster.force(key(1), Forced.NO, 6.0) == []
    world.run(6.01)
    assert world.healths() == [Health.UP], "checked at once, and one success is enough"


def test_release_of_a_target_that_was_not_forced_checks_it_at_once() -> None:
    world = World({key(1): target(1, interval_s=100, rise=18)}, lambda _, now: REFUSED if now < 1 else GOOD)
    world.run(2)
    assert world.healths() == [Health.DOWN]
    world.roster.force(key(1), Forced.NO, 2.0)
    world.run(2.1)
    assert world.healths() == [Health.UP]


def test_force_outlives_a_reload_and_a_changed_check() -> None:
    world = World({key(1): target(1)}, lambda *_: GOOD)
    world.run(1)
    world.roster.force(key(1), Forced.DOWN, 1.0)
    world.roster.set_targets({key(1): target(1, send=b"x")}, 2.0)
    world.run(5)
    status = world.roster.status(key(1))
    assert (status.health, status.forced, status.next_check_at) == (Health.DOWN, Forced.DOWN, None)


def test_silence_during_our_own_stall_is_void_for_ever_and_repeated_at_once_only_so_often() -> None:
    world = World({key(1): target(1, interval_s=5)}, lambda _, now: GOOD if now < 1 else SILENT)
    world.run(1)
    world.stalled = True
    world.run(61)
    assert world.healths() == [Health.UP]
    assert world.roster.voids <= 12 + VOIDS_AT_ONCE
    assert "our own stall" in world.roster.status(key(1)).trouble
    world.stalled = False
    world.run(70)
    assert world.healths() == [Health.DOWN]
    assert world.roster.status(key(1)).trouble == ""


def test_a_refusal_during_a_stall_counts_after_repetitions_that_take_no_time() -> None:
    world = World({key(1): target(1, interval_s=5)}, lambda _, now: GOOD if now < 1 else REFUSED)
    world.run(1)
    world.stalled = True
    # Wherever the check lies in its interval, its second slot is before this and its third is not.
    world.run(7.49)
    assert world.healths() == [Health.DOWN]
    assert world.roster.voids == VOIDS_AT_ONCE


def test_a_success_counts_however_late_we_were() -> None:
    world = World({key(1): target(1)}, lambda *_: GOOD)
    world.stalled = True
    world.run(0.1)
    assert world.healths() == [Health.UP]


def test_a_check_that_is_impossible_changes_nothing() -> None:
    roster = Roster(socket_limit=10, program_limit=1)
    roster.set_targets({key(1): target(1), key(2): target(2)}, 0.0)
    for started in roster.start(0.0, 10):
        if started == probe(1):
            roster.give_up(started, "no file descriptors left", 0.0)
        else:
            roster.finish(started, GOOD, 0.0, 0.0)
    one, two = roster.statuses()
    assert (one.health, one.trouble, one.voids) == (Health.UNKNOWN, "no file descriptors left", 1)
    assert two.health is Health.UP
    assert one.next_check_at is not None
    assert 0.5 <= one.next_check_at <= 1.5


def test_programs_have_a_bound_of_their_own() -> None:
    roster = Roster(socket_limit=5, program_limit=2)
    programs = {key(n): target(n, program=("/bin/true", str(n))) for n in range(10)}
    sockets = {key(n): target(n) for n in range(10, 20)}
    roster.set_targets({**programs, **sockets}, 0.0)
    started = roster.start(0.0, 100)
    assert sum(1 for p in started if p.program) == 2
    assert len(started) == 7
    assert roster.next_at() is None


def test_our_own_link_fails_nobody_stays_out_and_all_recover() -> None:
    """F9: five servers fall silent within one interval. The first victims come back before the interval is over."""
    world = World(
        {key(n): target(n, interval_s=10, timeout_s=1.0) for n in range(5)},
        lambda _, now: SILENT if 20 <= now < 40 else GOOD,
    )
    world.run(32)
    assert world.healths() == [Health.UP] * 5
    overview = world.roster.overview(world.now, stalls=0, longest_stall_s=0)
    assert overview.panic
    assert overview.panic_reason == "3 of 5 servers fell silent within 11 s"
    assert [status.held for status in world.roster.statuses()].count(True) >= 4
    restored = [change for _, change in world.changes if change.reason.startswith("panic")]
    assert len(restored) == 2
    world.run(55)
    assert world.healths() == [Health.UP] * 5
    assert not world.roster.overview(world.now, stalls=0, longest_stall_s=0).panic
    assert not any(status.held for status in world.roster.statuses())


def test_servers_that_really_died_go_out_when_the_freeze_ends() -> None:
    world = World(
        {key(n): target(n, interval_s=10, timeout_s=1.0) for n in range(5)},
        lambda p, now: SILENT if now >= 20 and p != probe(4) else GOOD,
    )
    world.run(32)
    assert world.healths() == [Health.UP] * 5
    world.run(20 + 11 + 3 * 11 + 11)
    assert world.healths() == [Health.DOWN] * 4 + [Health.UP]
    world.run(200)
    assert world.healths() == [Health.DOWN] * 4 + [Health.UP]


def test_refusals_are_no_panic() -> None:
    """The servers themselves have spoken, over our link: all go out within the interval (F8)."""
    world = World({key(n): target(n) for n in range(5)}, lambda _, now: GOOD if now < 10 else REFUSED)
    world.run(11.1)
    assert world.healths() == [Health.DOWN] * 5


def test_two_servers_never_panic() -> None:
    world = World({key(n): target(n) for n in range(2)}, lambda _, now: GOOD if now < 10 else SILENT)
    world.run(13)
    assert world.healths() == [Health.DOWN] * 2


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_counts_of_servers_that_are_up_never_drift(data: st.DataObject) -> None:
    """Whatever is added, removed, changed, forced and answered: the panic rule is told what the statuses say."""
    world = World({}, lambda *_: data.draw(st.sampled_from([GOOD, REFUSED, SILENT])))
    for _ in range(data.draw(st.integers(1, 8))):
        members = data.draw(st.sets(st.integers(0, 5)))
        changed = data.draw(st.booleans())
        world.roster.set_targets({key(n): target(n % 4, send=b"x" if changed else None) for n in members}, world.now)
        for n in members:
            world.roster.force(key(n), data.draw(st.sampled_from(Forced)), world.now)
        world.run(world.now + data.draw(st.floats(0.1, 3)))
        up = {s.key.destination.address for s in world.roster.statuses() if s.health is Health.UP}
        assert set(world.roster._up) == up
        assert min(world.roster._up.values(), default=1) >= 1
        assert world.roster.in_flight >= 0
