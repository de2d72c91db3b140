"""Takeover by silence: dead time, probe, holding, our own lateness, boot, failback, hold-down."""

from __future__ import annotations

import pytest

from piranha.cluster import commands, events
from piranha.cluster.heartbeat import Flag, Place
from piranha.cluster.ownership import State
from piranha.cluster.timing import MILLISECOND, PROBES, SECOND
from tests.unit.cluster.lone_director import FIT, LoneDirector

ANSWERED = events.ProbeAnswered(address="192.0.2.100", mac="02:00:00:00:00:01", is_peer=True)


def backup_that_heard_the_active(**settings: object) -> LoneDirector:
    director = LoneDirector(**settings)
    director.hear(active=True, term=5)
    director.said.clear()
    return director


def test_a_silent_active_is_replaced_after_dead_time_and_probe() -> None:
    director = backup_that_heard_the_active()
    director.wait(200)
    assert director.state is State.BACKUP
    director.wait(49)
    assert director.state is State.PROBING
    assert len(director.all(commands.SendProbe)) == PROBES
    assert not director.all(commands.ClaimLease)
    director.wait(2)
    assert director.state is State.ACTIVE
    assert director.machine.term == 6
    told = director.all(commands.TellLvsd)[-1]
    assert (told.role, told.term) == (commands.Role.ACTIVE, 6)
    assert "nobody answers for the VIP" in told.cause


def test_what_a_claim_does_in_its_order() -> None:
    director = backup_that_heard_the_active()
    director.wait(249)
    director.said.clear()
    director.wait(2)
    kinds = director.kinds()
    assert kinds[kinds.index(commands.ClaimLease) :] == [
        commands.ClaimLease,
        commands.SendHeartbeats,
        commands.RaiseAddresses,
        commands.Announce,
        commands.TellLvsd,
        commands.RunCommand,
    ]
    assert director.all(commands.SendHeartbeats)[-1].active
    assert director.all(commands.RunCommand)[0].active


def test_heartbeats_keep_the_backup_quiet() -> None:
    director = backup_that_heard_the_active()
    director.wait(3000, lambda: director.hear(active=True, term=5))
    assert director.state is State.BACKUP
    assert not director.all(commands.SendProbe)


def test_an_answer_for_the_vip_holds_the_backup_and_alarms_within_a_second() -> None:
    director = backup_that_heard_the_active()
    director.wait(230)
    director.tell(ANSWERED)
    assert director.state is State.BACKUP
    assert "heartbeats_lost" in director.alarms()
    for _ in range(20):
        director.wait(101)
        assert director.state is State.PROBING
        director.tell(ANSWERED)
    assert not director.all(commands.ClaimLease)
    director.hear(active=True, term=5)
    assert "heartbeats_lost" not in director.alarms()


def test_a_held_backup_takes_over_once_the_answers_end() -> None:
    director = backup_that_heard_the_active()
    director.wait(230)
    director.tell(ANSWERED)
    director.wait(160)
    assert director.state is State.ACTIVE


def test_a_stranger_that_answers_does_not_hold_the_backup() -> None:
    director = backup_that_heard_the_active()
    director.wait(230)
    director.tell(events.ProbeAnswered(address="192.0.2.100", mac="02:00:00:00:00:99", is_peer=False))
    director.wait(30)
    assert director.state is State.ACTIVE
    assert "duplicate_address" in director.alarms()


def test_our_own_lateness_prolongs_the_probe() -> None:
    director = backup_that_heard_the_active()
    director.wait(220)
    director.now += 60 * MILLISECOND
    director.tell(events.Woke(lag_ns=60 * MILLISECOND))
    director.tell(events.Tick())
    assert director.state is State.PROBING
    director.wait(25)
    assert director.state is State.PROBING
    director.tell(ANSWERED)
    assert director.state is State.BACKUP


def test_a_backup_that_slept_gives_the_active_two_beats() -> None:
    director = backup_that_heard_the_active()
    director.now += 10 * SECOND
    director.tell(events.Woke(lag_ns=10 * SECOND))
    director.tell(events.Tick())
    assert director.state is State.BACKUP
    director.wait(90)
    assert director.state is State.BACKUP
    director.hear(active=True, term=5)
    director.wait(150)
    assert not director.all(commands.SendProbe)


def test_lateness_is_no_excuse_for_ever() -> None:
    director = backup_that_heard_the_active()
    for _ in range(8):
        director.now += 60 * MILLISECOND
        director.tell(events.Woke(lag_ns=60 * MILLISECOND))
        director.tell(events.Tick())
    assert director.state in (State.PROBING, State.ACTIVE)


def test_stale_heartbeats_are_no_sign_of_life() -> None:
    director = backup_that_heard_the_active()
    director.wait(300, lambda: director.hear(active=True, term=5, age_ms=201))
    assert director.state is State.ACTIVE


def test_heartbeats_of_an_earlier_boot_of_ours_are_no_sign_of_life() -> None:
    director = backup_that_heard_the_active()
    director.wait(300, lambda: director.hear(active=True, term=5, age_ms=None))
    assert director.state is State.ACTIVE


def test_a_stranger_to_us_is_answered_at_once_but_not_in_a_storm() -> None:
    director = LoneDirector()
    director.wait(30)
    director.said.clear()
    for _ in range(40):
        director.hear(age_ms=None)
    assert len(director.all(commands.SendHeartbeats)) == 1


# ---- nobody is active ----


def test_both_boot_and_the_primary_begins_at_once() -> None:
    director = LoneDirector(place=Place.PRIMARY)
    director.hear()
    director.wait(51)
    assert director.state is State.ACTIVE


def test_both_boot_and_the_secondary_waits_for_the_primary() -> None:
    director = LoneDirector()
    director.wait(350, director.hear)
    assert director.state is State.BACKUP


def test_patience_with_a_primary_that_does_nothing_has_an_end() -> None:
    director = LoneDirector()
    director.wait(700, director.hear)
    assert director.state is State.ACTIVE


def test_the_fitter_one_begins() -> None:
    director = LoneDirector()
    director.hear(flags=Flag.SYNCED)
    director.wait(51)
    assert director.state is State.ACTIVE


@pytest.mark.parametrize("place", Place)
def test_a_director_whose_peer_is_not_there_is_active_within_a_second(place: Place) -> None:
    director = LoneDirector(place=place)
    director.wait(400)
    assert director.state is State.ACTIVE


def test_not_without_lvsd() -> None:
    director = LoneDirector(ready=False)
    director.wait(5000)
    assert director.state is State.BACKUP
    assert "no_takeover" in director.alarms()
    assert "lvsd is not ready" in director.machine.alarms.texts[next(iter(director.machine.alarms.texts))]
    director.tell(events.LvsdReady(ready=True))
    director.wait(51)
    assert director.state is State.ACTIVE
    assert "no_takeover" not in director.alarms()


def test_not_before_the_start_delay_is_over() -> None:
    director = LoneDirector(start_delay_ns=3 * SECOND)
    director.wait(2990)
    assert director.state is State.BACKUP
    assert not any(Flag.READY in sent.flags for sent in director.all(commands.SendHeartbeats))
    director.wait(200)
    assert director.state is State.ACTIVE


def test_not_without_a_link_and_what_was_not_heard_meanwhile_counts_for_nothing() -> None:
    director = backup_that_heard_the_active()
    director.tell(events.LinkChanged(link="eth0", carrier=False))
    director.wait(2000)
    assert director.state is State.BACKUP
    assert "link_down" in director.alarms()
    director.tell(events.LinkChanged(link="eth0", carrier=True))
    director.wait(195)
    assert director.state is State.BACKUP
    director.wait(60)
    assert director.state is State.ACTIVE


# ---- failback ----


def primary_come_back(**settings: object) -> LoneDirector:
    director = LoneDirector(place=Place.PRIMARY, failback=True, failback_delay_ns=2 * SECOND, **settings)
    director.hear(active=True, term=5)
    return director


def test_the_primary_asks_for_the_role_after_the_delay() -> None:
    director = primary_come_back()
    director.wait(1990, lambda: director.hear(active=True, term=5))
    assert director.state is State.BACKUP
    director.wait(100, lambda: director.hear(active=True, term=5))
    assert director.state is State.WILLING
    assert Flag.GIVE_UP in director.all(commands.SendHeartbeats)[-1].flags
    director.hear(term=5, flags=FIT | Flag.TAKE_OVER)
    assert director.state is State.ACTIVE


def test_no_failback_without_being_asked_for() -> None:
    director = LoneDirector(place=Place.PRIMARY)
    director.wait(60_000, lambda: director.hear(active=True, term=5))
    assert director.state is State.BACKUP


def test_failback_waits_for_the_connections_but_not_for_ever() -> None:
    director = LoneDirector(
        place=Place.PRIMARY, failback=True, failback_delay_ns=SECOND, sync_wait_ns=10 * SECOND, ready=False
    )
    director.tell(events.LvsdReady(ready=True))
    director.wait(9_900, lambda: director.hear(active=True, term=5))
    assert director.state is State.BACKUP
    director.wait(1_200, lambda: director.hear(active=True, term=5))
    assert director.state is State.WILLING


def test_no_failback_of_a_director_that_flaps() -> None:
    director = primary_come_back()
    for _ in range(3):
        director.machine.flapping.note(director.now, 4 * SECOND)
    director.wait(5_000, lambda: director.hear(active=True, term=5))
    assert director.state is State.BACKUP


# ---- hold-down ----


def split(director: LoneDirector, silence_ms: int) -> None:
    """The peer is silent so long, takes over meanwhile or not, and comes back active with the higher claim."""
    director.wait(silence_ms)
    director.hear(active=True, term=director.machine.term + 1)
    director.wait(20, lambda: director.hear(active=True, term=director.machine.term), every_ms=10)


def test_flapping_links_cause_three_takeovers_a_minute_at_most() -> None:
    director = backup_that_heard_the_active()
    for _ in range(15):
        split(director, 2000)
        director.wait(1980, lambda: director.hear(active=True, term=director.machine.term))
    roles = [told.role for told in director.all(commands.TellLvsd)]
    assert roles.count(commands.Role.ACTIVE) == 3
    assert "flapping" in director.alarms()


def test_hold_down_ends() -> None:
    director = backup_that_heard_the_active()
    for _ in range(3):
        split(director, 500)
    director.wait(61_000, lambda: director.hear(active=True, term=director.machine.term))
    director.wait(260)
    assert director.state is State.ACTIVE


def test_hold_down_can_be_switched_off() -> None:
    director = backup_that_heard_the_active(hold_down=False)
    for _ in range(5):
        split(director, 500)
    director.wait(260)
    assert director.state is State.ACTIVE


def test_not_where_no_question_can_leave() -> None:
    director = backup_that_heard_the_active(links=frozenset({"eth0", "eth1"}), vip_links=frozenset({"eth1"}))
    director.tell(events.LinkChanged(link="eth1", carrier=False))
    director.wait(2000)
    assert director.state is State.BACKUP
    assert "no_takeover" in director.alarms()
