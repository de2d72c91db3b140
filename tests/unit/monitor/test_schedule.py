from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piranha.model.check import Probe
from piranha.model.service import Protocol
from piranha.monitor.schedule import Schedule, phase_of


def probe(n: int) -> Probe:
    return Probe(address=ip_address(0x0A000000 + n), port=80, protocol=Protocol.TCP, timeout_s=1)


def starts(schedule: Schedule, until: float, duration_s: float) -> list[tuple[float, Probe]]:
    """Run a schedule in virtual time with checks that all take `duration_s`; gives every start."""
    log: list[tuple[float, Probe]] = []
    ends: list[tuple[float, Probe]] = []
    now = 0.0
    while now <= until:
        for ended in [e for e in ends if e[0] <= now]:
            ends.remove(ended)
            schedule.finish(ended[1], now)
        for started in schedule.start(now, 1_000_000):
            log.append((now, started))
            ends.append((now + duration_s, started))
        times = [e[0] for e in ends]
        if (due := schedule.next_at()) is not None:
            times.append(due)
        now = max(now, min(times))
    return log


def test_the_first_check_is_at_once_for_all_within_the_bound() -> None:
    schedule = Schedule(limit=500)
    for n in range(2000):
        schedule.put(probe(n), 2.0, 7.0)
    assert len(list(schedule.start(7.0, 10_000))) == 500
    assert schedule.next_at() is None
    assert schedule.in_flight == 500


def test_at_most_so_many_at_once() -> None:
    schedule = Schedule(limit=500)
    for n in range(100):
        schedule.put(probe(n), 2.0, 0.0)
    assert len(list(schedule.start(0.0, 30))) == 30
    assert schedule.next_at() == 0.0


def test_later_checks_are_spread_over_the_interval() -> None:
    schedule = Schedule(limit=5000)
    for n in range(4000):
        schedule.put(probe(n), 2.0, 0.0)
    log = starts(schedule, 10.0, 0.001)
    counts = [sum(1 for at, _ in log if 4 + n / 10 <= at < 4.1 + n / 10) for n in range(40)]
    assert sum(counts) == pytest.approx(8000, abs=10)
    assert max(counts) <= 1.3 * 200


def test_phase_is_stable_and_within_one() -> None:
    phases = [phase_of(probe(n)) for n in range(1000)]
    assert phases == [phase_of(probe(n)) for n in range(1000)]
    assert all(0 <= p < 1 for p in phases)
    assert 0.45 < sum(phases) / 1000 < 0.55


def test_a_check_as_long_as_its_interval_runs_back_to_back_and_replays_nothing() -> None:
    schedule = Schedule(limit=10)
    schedule.put(probe(1), 1.0, 0.0)
    log = starts(schedule, 20.0, 1.001)
    assert 18 <= len(log) <= 20


def test_missed_slots_are_skipped() -> None:
    schedule = Schedule(limit=1)
    schedule.put(probe(1), 1.0, 0.0)
    assert list(schedule.start(0.0, 10)) == [probe(1)]
    schedule.finish(probe(1), 50.2)
    assert len(list(schedule.start(50.2, 10))) == 1
    schedule.finish(probe(1), 50.2)
    assert list(schedule.start(50.2, 10)) == []
    assert schedule.skipped >= 48


def test_hasten_moves_only_forward_and_waits_for_a_check_in_flight() -> None:
    schedule = Schedule(limit=10)
    schedule.put(probe(1), 10.0, 0.0)
    assert list(schedule.start(0.0, 10)) == [probe(1)]
    schedule.hasten(probe(1), 1.0)
    assert list(schedule.start(1.0, 10)) == []
    schedule.finish(probe(1), 2.0)
    assert list(schedule.start(2.0, 10)) == [probe(1)]
    schedule.finish(probe(1), 2.1)
    slot = schedule.due_at(probe(1))
    assert slot is not None
    schedule.hasten(probe(1), slot + 5)
    assert schedule.due_at(probe(1)) == slot


def test_removed_in_flight_and_put_back_is_not_started_twice() -> None:
    schedule = Schedule(limit=10)
    schedule.put(probe(1), 1.0, 0.0)
    assert list(schedule.start(0.0, 10)) == [probe(1)]
    schedule.remove(probe(1))
    schedule.put(probe(1), 1.0, 0.1)
    assert list(schedule.start(0.2, 10)) == []
    schedule.finish(probe(1), 0.3)
    assert schedule.in_flight == 0
    assert schedule.due_at(probe(1)) is not None
    schedule.remove(probe(1))
    assert schedule.next_at() is None


def test_removed_in_flight_frees_its_place() -> None:
    schedule = Schedule(limit=1)
    schedule.put(probe(1), 1.0, 0.0)
    list(schedule.start(0.0, 10))
    schedule.remove(probe(1))
    schedule.put(probe(2), 1.0, 0.0)
    assert list(schedule.start(0.1, 10)) == []
    schedule.finish(probe(1), 0.2)
    assert list(schedule.start(0.2, 10)) == [probe(2)]


def test_a_changed_interval_counts_from_the_next_slot() -> None:
    schedule = Schedule(limit=10)
    schedule.put(probe(1), 1000.0, 0.0)
    list(schedule.start(0.0, 10))
    schedule.finish(probe(1), 0.1)
    schedule.put(probe(1), 1.0, 0.2)
    due = schedule.due_at(probe(1))
    assert due is not None
    assert due <= 2.0


actions = st.lists(
    st.tuples(st.sampled_from(["put", "remove", "hasten", "start", "finish"]), st.integers(0, 4), st.floats(0, 3)),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(actions, st.integers(1, 3))
def test_invariants_hold_whatever_happens(steps: list[tuple[str, int, float]], limit: int) -> None:
    schedule = Schedule(limit=limit)
    flying: list[Probe] = []
    now = 0.0
    for action, n, wait in steps:
        now += wait
        match action:
            case "put":
                schedule.put(probe(n), 1.0 + n, now)
            case "remove":
                schedule.remove(probe(n))
            case "hasten" if probe(n) in schedule:
                schedule.hasten(probe(n), now)
            case "start":
                started = list(schedule.start(now, 2))
                assert len(started) <= 2
                assert not set(started) & set(flying), "one probe twice in flight"
                flying += started
            case "finish" if flying:
                schedule.finish(flying.pop(n % len(flying)), now)
        assert schedule.in_flight == len(flying) <= limit
        waiting = [schedule.due_at(probe(n)) for n in range(5) if probe(n) in schedule]
        due = [at for at in waiting if at is not None]
        assert schedule.next_at() == (min(due, default=None) if len(flying) < limit else None)
