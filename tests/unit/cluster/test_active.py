"""A director that is active: its lease, its beat, its links, its lvsd; and one that stands alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from piranha.cluster import commands, events
from piranha.cluster.commands import FOREVER
from piranha.cluster.heartbeat import Flag, Place
from piranha.cluster.ownership import State
from piranha.cluster.timing import MILLISECOND, SECOND, choose
from piranha.model.configuration import ProfileChoice
from tests.unit.cluster.lone_director import FIT, LoneDirector


def active_director(**settings: object) -> LoneDirector:
    """Active, with a fit backup that is heard."""
    director = LoneDirector(**settings)
    director.become_active_beside_a_peer()
    return director


GIVEN_UP = [
    commands.DropLease,
    commands.StopAnnouncing,
    commands.SendHeartbeats,
    commands.LowerAddresses,
    commands.TellLvsd,
    commands.RunCommand,
]


# ---- the lease ----


def test_an_active_director_speaks_at_every_beat_and_keeps_its_lease() -> None:
    director = active_director()
    director.wait(10_000, director.hear)
    assert director.state is State.ACTIVE
    sent = director.all(commands.SendHeartbeats)
    assert len(sent) == 200
    assert all(message.active for message in sent)
    assert not director.all(commands.ClaimLease)


@pytest.mark.parametrize("first", [events.Woke(lag_ns=1400 * MILLISECOND), events.Tick(), events.LvsdReady(ready=True)])
def test_a_frozen_director_gives_up_before_anything_else(first: events.Event) -> None:
    director = active_director()
    director.now += 1500 * MILLISECOND
    director.tell(first)
    assert director.state is State.BACKUP
    gave_up = [kind for kind in director.kinds() if kind not in (commands.Alarm, commands.AlarmOver)]
    assert gave_up[: len(GIVEN_UP)] == GIVEN_UP
    assert not any(message.active for message in director.all(commands.SendHeartbeats))
    assert "lease_lost" in director.alarms()


def test_a_lag_beyond_the_lease_counts_whatever_the_clock_says() -> None:
    director = active_director()
    director.tell(events.Woke(lag_ns=director.settings.timing.lease_ns + 1))
    assert director.state is State.BACKUP


def test_a_short_lag_is_forgiven_and_missed_beats_are_not_made_up_for() -> None:
    director = active_director()
    director.now += 99 * MILLISECOND
    director.tell(events.Woke(lag_ns=60 * MILLISECOND))
    director.tell(events.Tick())
    assert director.state is State.ACTIVE
    assert len(director.all(commands.SendHeartbeats)) == 1


def test_the_gate_has_the_last_word() -> None:
    director = active_director()
    director.tell(events.GateState(open_until=director.now))
    assert director.state is State.BACKUP
    assert "lease_lost" in director.alarms()


def test_heartbeats_that_do_not_leave_end_the_lease_in_time() -> None:
    director = active_director()
    until = director.gate_until
    director.tell(events.GateState(open_until=until))
    while director.state is State.ACTIVE:
        director.now = director.timer_at
        director.machine.handle(events.Tick(), director.now)
        director.timer_at = director.machine._next_at()
    assert director.now <= until


def test_an_open_gate_of_a_backup_is_shut() -> None:
    director = LoneDirector()
    director.said.clear()
    director.tell(events.GateState(open_until=director.now + SECOND))
    assert director.kinds() == [commands.DropLease]


def test_lease_lost_is_shown_for_a_while() -> None:
    director = active_director()
    director.tell(events.GateState(open_until=0))
    director.wait(61_000, lambda: director.hear(active=True, term=9))
    assert director.alarms() == set()


# ---- announcements ----


def test_a_burst_of_announcements_then_one_a_minute() -> None:
    director = LoneDirector(place=Place.PRIMARY, alone=True)
    began = director.machine.since
    at: list[int] = []
    for _ in range(6200):
        at += [(director.now - began) // MILLISECOND] * len(director.all(commands.Announce))
        director.said.clear()
        director.wait(10)
    assert at == [0, 100, 300, 1000, 61_000]


def test_a_silent_peer_is_asked_for_and_announced_against() -> None:
    director = active_director()
    director.wait(200, director.hear)
    director.said.clear()
    director.wait(5000)
    assert "peer_lost" in director.alarms()
    assert len(director.all(commands.SendProbe)) >= 90
    assert 4 <= len(director.all(commands.Announce)) <= 8
    director.hear()
    assert "peer_lost" not in director.alarms()


def test_giving_up_cancels_the_announcements() -> None:
    director = LoneDirector()
    director.wait(400)
    assert director.state is State.ACTIVE
    director.tell(events.GateState(open_until=0))
    director.said.clear()
    director.wait(1500, lambda: director.hear(active=True, term=9))
    assert not director.all(commands.Announce)


# ---- links ----


def test_without_any_link_the_role_is_given_up_at_once() -> None:
    director = active_director()
    director.tell(events.LinkChanged(link="eth0", carrier=False))
    assert director.state is State.BACKUP
    director.wait(5000)
    assert director.state is State.BACKUP


def test_an_interface_that_is_not_watched_does_not_matter() -> None:
    director = active_director()
    director.tell(events.LinkChanged(link="eth9", carrier=False))
    assert director.state is State.ACTIVE
    assert not director.alarms()


@pytest.mark.parametrize("monitor_links", [True, False])
def test_with_one_link_of_two_down_a_better_peer_gets_the_role(monitor_links: bool) -> None:
    director = active_director(links=frozenset({"eth0", "eth1"}), monitor_links=monitor_links)
    director.tell(events.LinkChanged(link="eth1", carrier=False))
    assert director.state is (State.OFFERING if monitor_links else State.ACTIVE)
    assert "link_down" in director.alarms()


def test_a_peer_that_is_no_better_does_not() -> None:
    director = active_director(links=frozenset({"eth0", "eth1"}), monitor_links=True)
    director.hear(flags=FIT | Flag.LINK_DOWN)
    director.tell(events.LinkChanged(link="eth1", carrier=False))
    director.wait(3000, lambda: director.hear(flags=FIT | Flag.LINK_DOWN))
    assert director.state is State.ACTIVE


def test_a_link_that_comes_back_is_announced_on() -> None:
    director = active_director(links=frozenset({"eth0", "eth1"}))
    director.tell(events.LinkChanged(link="eth1", carrier=False))
    director.wait(2000, director.hear)
    director.said.clear()
    director.tell(events.LinkChanged(link="eth1", carrier=True))
    assert director.all(commands.Announce)


# ---- lvsd ----


def test_a_dead_lvsd_is_an_alarm_and_no_change() -> None:
    director = active_director()
    director.tell(events.LvsdReady(ready=False, why="exit status 1"))
    assert "exit status 1" in director.all(commands.Alarm)[0].text
    director.wait(9_900, director.hear)
    assert director.state is State.ACTIVE
    director.tell(events.LvsdReady(ready=True))
    director.wait(5_000, director.hear)
    assert director.state is State.ACTIVE
    assert not director.alarms()


def test_a_lvsd_that_stays_dead_hands_over_to_a_peer_that_has_one() -> None:
    director = active_director()
    director.tell(events.LvsdReady(ready=False))
    director.wait(10_200, director.hear)
    assert director.state is State.OFFERING


def test_it_stays_where_the_peer_has_none_either() -> None:
    director = active_director()
    director.tell(events.LvsdReady(ready=False))
    director.wait(30_000, lambda: director.hear(flags=Flag.SYNCED))
    assert director.state is State.ACTIVE


# ---- alone ----


def test_a_director_alone_is_active_at_once_and_for_ever() -> None:
    director = LoneDirector(place=Place.PRIMARY, alone=True, ready=False)
    assert director.machine.role is commands.Role.STANDALONE
    assert director.all(commands.ClaimLease) == [commands.ClaimLease(until=FOREVER)]
    assert commands.DropLease not in director.kinds()
    director.now += 3600 * SECOND
    director.tell(events.Woke(lag_ns=3600 * SECOND))
    director.tell(events.Tick())
    assert director.state is State.STANDALONE
    assert not director.all(commands.SendHeartbeats)


def test_a_secondary_alone_asks_the_wire_first() -> None:
    director = LoneDirector(alone=True)
    director.wait(20)
    assert director.state is State.PROBING
    director.wait(40)
    assert director.state is State.STANDALONE


def test_a_peer_appears_and_goes_in_the_configuration() -> None:
    director = LoneDirector(place=Place.PRIMARY, alone=True)
    paired = replace(director.settings, alone=False)
    director.said.clear()
    director.tell(events.SettingsChanged(settings=paired))
    assert director.state is State.ACTIVE
    assert director.gate_until < FOREVER
    assert commands.DropLease not in director.kinds()
    director.tell(events.SettingsChanged(settings=director.settings))
    assert director.state is State.STANDALONE
    assert director.gate_until == FOREVER
    assert commands.DropLease not in director.kinds()


def test_a_backup_that_is_left_alone_asks_the_wire_first() -> None:
    director = LoneDirector()
    director.hear(active=True, term=3)
    director.tell(events.SettingsChanged(settings=replace(director.settings, alone=True)))
    director.wait(
        2000, lambda: director.tell(events.ProbeAnswered(address="192.0.2.100", mac="02::1", is_peer=True)), 10
    )
    assert director.state is not State.STANDALONE
    director.wait(300)
    assert director.state is State.STANDALONE


def test_the_calm_profile_in_force_is_an_alarm() -> None:
    director = LoneDirector(timing=choose(ProfileChoice.FAST, realtime=False))
    assert "slow_timing" in director.alarms()
    fast = replace(director.settings, timing=choose(ProfileChoice.FAST, realtime=True))
    director.tell(events.SettingsChanged(settings=fast))
    assert "slow_timing" not in director.alarms()


def test_without_the_link_of_its_vips_it_hands_over_whatever_is_watched() -> None:
    director = active_director(links=frozenset({"eth0", "eth1"}), vip_links=frozenset({"eth1"}))
    director.tell(events.LinkChanged(link="eth1", carrier=False))
    assert director.state is State.OFFERING
