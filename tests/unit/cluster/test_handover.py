"""Planned changes: switch, maintenance, stop, from both sides; nothing of it waits for ever."""

from __future__ import annotations

import pytest

from piranha.cluster import commands, events
from piranha.cluster.events import Question
from piranha.cluster.heartbeat import Flag, Place
from piranha.cluster.ownership import GRACE_NS, State
from piranha.cluster.timing import MILLISECOND
from tests.unit.cluster.lone_director import FIT, LoneDirector


def active_director(**settings: object) -> LoneDirector:
    director = LoneDirector(**settings)
    director.become_active_beside_a_peer()
    return director


def backup_director(**settings: object) -> LoneDirector:
    director = LoneDirector(**settings)
    director.hear(active=True, term=5)
    director.said.clear()
    return director


def flags_said(director: LoneDirector) -> Flag:
    return director.all(commands.SendHeartbeats)[-1].flags


# ---- the active side ----


def test_a_switch_step_by_step() -> None:
    director = active_director()
    term = director.machine.term
    director.ask(Question.SWITCH)
    assert director.state is State.OFFERING
    assert director.all(commands.SendHeartbeats)[-1].active
    assert Flag.OFFER in flags_said(director)
    director.said.clear()
    director.hear(flags=FIT | Flag.WILLING)
    assert director.state is State.RELEASING
    assert director.kinds() == [commands.ClaimLease, commands.StopAnnouncing, commands.SendHeartbeats]
    assert director.gate_until == director.now + GRACE_NS
    assert not director.all(commands.SendHeartbeats)[-1].active
    assert Flag.TAKE_OVER in flags_said(director)
    director.said.clear()
    director.hear(active=True, term=term + 1)
    assert director.state is State.BACKUP
    assert director.kinds() == [
        commands.DropLease,
        commands.LowerAddresses,
        commands.TellLvsd,
        commands.RunCommand,
        commands.Answer,
    ]
    assert director.answer().done


def test_the_grace_is_short_and_the_word_is_repeated() -> None:
    director = active_director()
    director.ask(Question.SWITCH)
    director.hear(flags=FIT | Flag.WILLING)
    director.said.clear()
    director.wait(5)
    assert director.gate_until == 0
    assert sum(Flag.TAKE_OVER in sent.flags for sent in director.all(commands.SendHeartbeats)) >= 2
    director.wait(100)
    assert Flag.TAKE_OVER in flags_said(director)


def test_a_peer_that_does_not_take_over_is_told_of_and_the_role_comes_back() -> None:
    director = active_director()
    director.ask(Question.SWITCH)
    director.hear(flags=FIT | Flag.WILLING)
    director.wait(500)
    assert not director.answer().done
    assert director.state is State.ACTIVE


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (Flag.SYNCED, "is not ready"),
        (FIT | Flag.MAINTENANCE, "in maintenance"),
        (Flag.READY, "has not got the connections"),
    ],
)
def test_a_switch_to_a_peer_that_cannot_serve_is_refused(flags: Flag, why: str) -> None:
    director = active_director()
    director.hear(flags=flags)
    director.ask(Question.SWITCH)
    assert not director.answer().done
    assert why in director.answer().text
    assert director.state is State.ACTIVE


def test_a_switch_without_a_peer_is_refused() -> None:
    director = LoneDirector()
    director.become_active()
    director.ask(Question.SWITCH)
    assert "is not heard" in director.answer().text


def test_a_switch_of_a_director_alone_is_refused() -> None:
    director = LoneDirector(place=Place.PRIMARY, alone=True)
    director.ask(Question.SWITCH)
    assert "there is no other director" in director.answer().text


def test_an_offer_without_an_answer_is_called_off() -> None:
    director = active_director()
    director.ask(Question.SWITCH)
    director.wait(600, director.hear)
    assert "did not answer the offer" in director.answer().text
    assert director.state is State.ACTIVE
    assert Flag.OFFER not in flags_said(director)


def test_one_change_at_a_time() -> None:
    director = active_director()
    director.ask(Question.SWITCH)
    director.ask(Question.SWITCH)
    assert "under way" in director.answer().text


def test_a_frozen_director_does_not_go_on_offering() -> None:
    director = active_director()
    director.ask(Question.SWITCH)
    director.now += 1000 * MILLISECOND
    director.tell(events.Woke(lag_ns=950 * MILLISECOND))
    assert director.state is State.BACKUP
    assert not director.answer().done


def test_a_director_that_loses_its_lease_while_it_stops_has_stopped() -> None:
    director = active_director()
    director.ask(Question.STOP)
    director.now += 1000 * MILLISECOND
    director.tell(events.Tick())
    assert director.state is State.STOPPED
    assert director.answer().done


# ---- the backup's side ----


def test_an_offer_is_taken_step_by_step() -> None:
    director = backup_director()
    director.hear(active=True, term=5, flags=FIT | Flag.OFFER)
    assert director.state is State.WILLING
    assert director.kinds() == [commands.RaiseAddresses, commands.SendHeartbeats]
    assert Flag.WILLING in flags_said(director)
    assert director.gate_until == 0
    director.said.clear()
    director.hear(term=5, flags=FIT | Flag.TAKE_OVER)
    assert director.state is State.ACTIVE
    assert director.machine.term == 6
    assert director.kinds()[:2] == [commands.ClaimLease, commands.SendHeartbeats]
    assert not director.all(commands.SendProbe)


def test_an_offer_to_a_director_that_cannot_serve_is_not_taken() -> None:
    director = LoneDirector(ready=False)
    director.hear(active=True, term=5, flags=FIT | Flag.OFFER)
    assert director.state is State.BACKUP


def test_a_word_that_does_not_come_is_not_waited_for() -> None:
    director = backup_director()
    director.hear(active=True, term=5, flags=FIT | Flag.OFFER)
    director.wait(600, lambda: director.hear(active=True, term=5))
    assert director.state is State.BACKUP
    assert commands.LowerAddresses in director.kinds()


def test_an_old_word_is_not_obeyed() -> None:
    director = backup_director()
    director.hear(term=4, flags=FIT | Flag.TAKE_OVER)
    assert director.state is State.BACKUP


def test_a_stale_word_is_not_obeyed() -> None:
    director = backup_director()
    director.hear(term=5, flags=FIT | Flag.TAKE_OVER, age_ms=300)
    assert director.state is State.BACKUP


def test_the_backup_asks_for_the_role() -> None:
    director = backup_director()
    director.ask(Question.SWITCH)
    assert director.state is State.WILLING
    assert flags_said(director) & (Flag.GIVE_UP | Flag.WILLING) == Flag.GIVE_UP | Flag.WILLING
    director.hear(term=5, flags=FIT | Flag.TAKE_OVER)
    assert director.state is State.ACTIVE
    assert director.answer().done


def test_the_active_gives_it_when_asked() -> None:
    director = active_director()
    director.hear(flags=FIT | Flag.GIVE_UP | Flag.WILLING)
    assert director.state is State.RELEASING


def test_the_active_does_not_give_it_to_one_that_cannot_serve() -> None:
    director = active_director()
    director.hear(flags=Flag.SYNCED | Flag.GIVE_UP | Flag.WILLING)
    assert director.state is State.ACTIVE


def test_the_request_is_given_up_in_time() -> None:
    director = backup_director()
    director.ask(Question.SWITCH)
    director.wait(600, lambda: director.hear(active=True, term=5))
    assert not director.answer().done
    assert director.state is State.BACKUP


def test_the_backup_cannot_have_the_role_without_the_connections() -> None:
    director = LoneDirector(ready=False)
    director.tell(events.LvsdReady(ready=True))
    director.hear(active=True, term=5)
    director.ask(Question.SWITCH)
    assert "has not got the connections" in director.answer().text


# ---- maintenance ----


def test_maintenance_of_the_active_hands_over_first() -> None:
    director = active_director()
    director.ask(Question.MAINTENANCE_ON)
    assert Flag.MAINTENANCE not in flags_said(director)
    director.hear(flags=FIT | Flag.WILLING)
    assert Flag.MAINTENANCE in flags_said(director)
    director.hear(active=True, term=9)
    assert "in maintenance" in director.answer().text
    director.wait(5000)
    assert director.state is State.BACKUP
    assert "no_takeover" in director.alarms()


def test_maintenance_of_the_only_one_is_refused() -> None:
    director = active_director()
    director.hear(flags=Flag.SYNCED)
    director.ask(Question.MAINTENANCE_ON)
    assert not director.answer().done
    assert director.state is State.ACTIVE


def test_maintenance_of_the_backup() -> None:
    director = backup_director()
    director.ask(Question.MAINTENANCE_ON)
    assert director.answer().done
    director.wait(5000)
    assert director.state is State.BACKUP
    director.said.clear()
    director.ask(Question.MAINTENANCE_OFF)
    assert director.answer().done
    director.wait(120)
    assert director.state is State.ACTIVE


# ---- stop and farewell ----


def test_the_active_hands_over_before_it_stops() -> None:
    director = active_director()
    director.ask(Question.STOP)
    assert director.state is State.OFFERING
    director.hear(flags=FIT | Flag.WILLING)
    director.wait(2)
    director.hear(active=True, term=9)
    assert director.state is State.STOPPED
    assert director.all(commands.Stopped)
    assert Flag.FAREWELL in flags_said(director)
    assert director.gate_until == 0
    assert director.machine.handle(events.Tick(), director.now) == []


def test_a_stop_ends_also_when_the_peer_says_nothing() -> None:
    director = active_director()
    director.ask(Question.STOP)
    director.wait(600, director.hear)
    assert director.state is State.STOPPED
    assert director.answer().done
    assert director.all(commands.Stopped)


@pytest.mark.parametrize("active", [True, False])
def test_without_a_peer_a_stop_is_at_once(active: bool) -> None:
    director = LoneDirector()
    if active:
        director.become_active()
    director.ask(Question.STOP)
    assert director.state is State.STOPPED
    assert [Flag.FAREWELL in sent.flags for sent in director.all(commands.SendHeartbeats)[-2:]] == [True, True]
    assert director.answer().done


def test_a_stop_breaks_off_what_is_under_way() -> None:
    director = backup_director()
    director.ask(Question.SWITCH)
    director.tell(events.Ask(question=Question.STOP, number=8))
    assert [(answer.number, answer.done) for answer in director.all(commands.Answer)] == [(7, False), (8, True)]
    assert director.state is State.STOPPED


def test_a_farewell_of_the_active_is_followed_at_once() -> None:
    director = backup_director()
    director.hear(term=5, flags=Flag.FAREWELL)
    assert director.state is State.ACTIVE
    assert not director.all(commands.SendProbe)


def test_a_farewell_is_remembered_until_we_can_serve() -> None:
    director = LoneDirector(ready=False)
    director.hear(active=True, term=5)
    director.hear(term=5, flags=Flag.FAREWELL)
    assert director.state is State.BACKUP
    director.tell(events.LvsdReady(ready=True))
    director.wait(52)
    assert director.state is State.ACTIVE


def test_the_farewell_of_a_copy_of_the_active_is_none() -> None:
    director = backup_director()
    director.hear(term=5, flags=Flag.FAREWELL, boot=b"copy")
    assert director.state is State.BACKUP


def test_a_farewell_of_the_backup_is_an_alarm() -> None:
    director = active_director()
    director.hear(flags=Flag.FAREWELL)
    director.hear(flags=Flag.FAREWELL)
    assert len(director.all(commands.Alarm)) == 1
    assert "has stopped" in director.all(commands.Alarm)[0].text
    assert director.state is State.ACTIVE


def test_a_director_that_yields_while_it_stops_has_stopped() -> None:
    director = active_director()
    director.ask(Question.STOP)
    director.hear(active=True, term=director.machine.term + 1)
    assert director.state is State.STOPPED
    assert director.answer().done


def test_a_peer_that_dies_amid_the_handshake_is_replaced_without_waiting_for_its_word() -> None:
    director = backup_director(handover_ns=5000 * MILLISECOND)
    director.hear(active=True, term=5, flags=FIT | Flag.OFFER)
    assert director.state is State.WILLING
    director.wait(290)
    assert director.state is State.ACTIVE


def test_without_lvsd_and_without_a_carrier_the_role_is_offered_without_waiting_for_lvsd() -> None:
    director = active_director(links=frozenset({"eth0", "eth1"}), vip_links=frozenset({"eth1"}))
    director.tell(events.LvsdReady(ready=False))
    assert director.state is State.ACTIVE
    director.tell(events.LinkChanged(link="eth1", carrier=False))
    assert director.state is State.OFFERING
