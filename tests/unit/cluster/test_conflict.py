"""Two active directors, strangers with our address, copies, other versions, an original Piranha."""

from __future__ import annotations

import pytest

from piranha.cluster import commands, events
from piranha.cluster.events import Question
from piranha.cluster.heartbeat import Flag, Place
from piranha.cluster.ownership import State
from piranha.cluster.timing import choose
from piranha.model.configuration import ProfileChoice
from tests.unit.cluster.lone_director import LoneDirector

VIP = "192.0.2.100"
PEER_ANSWERS = events.ProbeAnswered(address=VIP, mac="02:00:00:00:00:01", is_peer=True)
PEER_ANNOUNCES = events.ConflictSeen(address=VIP, mac="02:00:00:00:00:01", is_peer=True)
STRANGER_ANNOUNCES = events.ConflictSeen(address=VIP, mac="02:00:00:00:00:99", is_peer=False)


def active_director(**settings: object) -> LoneDirector:
    """Active for a while, with a fit backup."""
    director = LoneDirector(**settings)
    director.become_active_beside_a_peer()
    director.wait(2000, director.hear)
    director.said.clear()
    return director


# ---- heartbeats ----


@pytest.mark.parametrize(
    ("ours", "claim", "yields"),
    [
        (Place.PRIMARY, 1, True),
        (Place.SECONDARY, 1, True),
        (Place.PRIMARY, 0, False),
        (Place.SECONDARY, 0, True),
        (Place.PRIMARY, -1, False),
        (Place.SECONDARY, -1, False),
    ],
)
def test_the_higher_claim_stays_then_the_primary(ours: Place, claim: int, yields: bool) -> None:
    director = active_director(place=ours)
    director.hear(active=True, term=director.machine.term + claim)
    assert director.state is (State.BACKUP if yields else State.ACTIVE)
    assert "split_brain" in director.alarms()
    if yields:
        assert director.kinds()[0] is commands.Alarm
        assert director.kinds()[1] is commands.DropLease
        assert not director.all(commands.Announce)
    else:
        assert director.all(commands.Announce)
        assert director.all(commands.SendHeartbeats)[0].active


def test_exactly_one_of_two_yields() -> None:
    for terms in ((3, 3), (3, 4), (4, 3)):
        for places in (
            (Place.PRIMARY, Place.SECONDARY),
            (Place.SECONDARY, Place.PRIMARY),
            (Place.PRIMARY, Place.PRIMARY),
        ):
            yielded = 0
            for us, them, node, other in ((0, 1, b"a", b"b"), (1, 0, b"b", b"a")):
                director = LoneDirector(place=places[us], node=node)
                director.become_active_beside_a_peer()
                director.machine.term = terms[us]
                director.hear(active=True, term=terms[them], place=places[them], node=other)
                yielded += director.state is State.BACKUP
            assert yielded == 1


def test_the_winner_announces_again_when_the_other_has_yielded() -> None:
    director = active_director(place=Place.PRIMARY)
    director.hear(active=True, term=0)
    director.wait(60, lambda: director.hear(active=True, term=0), every_ms=20)
    director.said.clear()
    director.hear(term=0)
    assert director.all(commands.Announce)
    director.wait(1010, director.hear)
    assert len(director.all(commands.Announce)) == 4


def test_a_stale_claim_is_answered_and_not_obeyed() -> None:
    director = active_director()
    director.wait(300, lambda: director.hear(active=True, term=99, age_ms=500), every_ms=10)
    assert director.state is State.ACTIVE
    assert 2 <= len(director.all(commands.SendHeartbeats)) <= 40
    assert director.all(commands.SendProbe)


def test_a_conflict_does_not_become_a_storm() -> None:
    director = active_director(place=Place.PRIMARY)
    director.wait(1000, lambda: director.hear(active=True, term=0), every_ms=1)
    assert len(director.all(commands.SendHeartbeats)) <= 100
    assert len(director.all(commands.Announce)) <= 25


# ---- the wire ----


@pytest.mark.parametrize("place", Place)
def test_where_no_heartbeat_comes_through_the_primary_stays(place: Place) -> None:
    director = active_director(place=place)
    director.wait(300)
    director.said.clear()
    director.tell(PEER_ANSWERS)
    assert director.state is (State.ACTIVE if place is Place.PRIMARY else State.BACKUP)
    assert "split_brain" in director.alarms()
    assert bool(director.all(commands.Announce)) == (place is Place.PRIMARY)


def test_an_announcement_proves_nothing_but_is_asked_after() -> None:
    director = active_director()
    director.wait(300)
    director.said.clear()
    director.tell(PEER_ANNOUNCES)
    assert director.state is State.ACTIVE
    assert director.all(commands.SendProbe)


def test_a_late_announcement_of_a_peer_that_has_yielded_is_answered() -> None:
    director = active_director()
    director.tell(PEER_ANNOUNCES)
    assert director.state is State.ACTIVE
    assert director.all(commands.Announce)


def test_the_wire_is_believed_where_the_heartbeats_go_on_denying_it() -> None:
    director = active_director()
    director.tell(PEER_ANSWERS)
    assert director.state is State.ACTIVE
    director.wait(60, director.hear, every_ms=10)
    director.tell(PEER_ANSWERS)
    assert director.state is State.BACKUP


def test_the_wire_decides_where_the_peer_is_active_and_does_not_hear_us() -> None:
    director = active_director()
    director.wait(10)
    director.hear(active=True, term=99, age_ms=250)
    director.tell(PEER_ANSWERS)
    assert director.state is State.BACKUP


def test_two_secondaries_decide_by_their_names() -> None:
    for node, stays in ((b"z", True), (b"a", False)):
        director = active_director(node=node)
        director.hear(place=Place.SECONDARY, node=b"m")
        assert "same_place" in director.alarms()
        director.wait(300)
        director.tell(PEER_ANSWERS)
        assert (director.state is State.ACTIVE) == stays


def test_a_backup_does_not_care_about_announcements() -> None:
    director = LoneDirector()
    director.hear(active=True, term=1)
    director.said.clear()
    director.tell(PEER_ANNOUNCES)
    director.tell(PEER_ANSWERS)
    assert director.kinds() == []


# ---- strangers ----


def test_a_stranger_with_our_address_is_told_of_and_announced_against_once_a_second() -> None:
    director = active_director()
    director.wait(5000, lambda: (director.hear(), director.tell(STRANGER_ANNOUNCES)), every_ms=20)
    assert director.state is State.ACTIVE
    assert "02:00:00:00:00:99" in director.all(commands.Alarm)[0].text
    assert len(director.all(commands.Alarm)) == 1
    assert 5 <= len(director.all(commands.Announce)) <= 6
    director.wait(61_000, director.hear)
    assert "duplicate_address" not in director.alarms()


def test_a_director_alone_never_yields() -> None:
    director = LoneDirector(place=Place.PRIMARY, alone=True)
    director.tell(PEER_ANNOUNCES)
    director.tell(PEER_ANSWERS)
    assert director.state is State.STANDALONE
    assert "duplicate_address" in director.alarms()


# ---- copies ----


def test_a_copy_that_has_just_come_stays_passive() -> None:
    director = LoneDirector()
    director.wait(1000, lambda: director.hear(is_clone=True))
    assert director.state is State.BACKUP
    assert {"clone", "no_takeover"} <= director.alarms()
    assert Flag.READY not in director.all(commands.SendHeartbeats)[-1].flags
    director.wait(1000)
    assert director.state is State.ACTIVE


def test_whoever_was_there_first_goes_on() -> None:
    director = active_director()
    director.wait(1000, lambda: (director.hear(), director.hear(is_clone=True, age_ms=None)))
    assert director.state is State.ACTIVE
    assert "clone" in director.alarms()
    backup = LoneDirector()
    backup.wait(1000, lambda: backup.hear(active=True, term=1))
    backup.wait(300, lambda: backup.hear(is_clone=True))
    assert backup.state is State.ACTIVE


def test_of_two_active_copies_one_yields() -> None:
    director = active_director()
    director.hear(is_clone=True, active=True, term=director.machine.term + 1, node=b"ours....", boot=b"copy")
    assert director.state is State.BACKUP


# ---- versions ----


def test_another_version_is_told_of_and_changes_nothing() -> None:
    director = active_director()
    director.wait(1000, lambda: director.hear(version=2))
    assert director.state is State.ACTIVE
    assert director.alarms() == {"peer_version"}
    director.hear()
    assert not director.alarms()


# ---- an original Piranha as the peer ----

ORIGINAL = choose(ProfileChoice.FAST, realtime=True, keepalive_s=0.5, deadtime_s=1.5, original=True)


def beside_an_original(place: Place) -> LoneDirector:
    return LoneDirector(place=place, original=True, timing=ORIGINAL)


def original_says(director: LoneDirector, running: bool) -> None:
    director.hear(active=running, age_ms=0, node=b"", boot=b"")


@pytest.mark.parametrize(("place", "yields"), [(Place.PRIMARY, False), (Place.SECONDARY, True)])
def test_of_two_running_the_master_stays(place: Place, yields: bool) -> None:
    director = beside_an_original(place)
    director.wait(2500)
    assert director.state is State.ACTIVE
    director.said.clear()
    original_says(director, running=True)
    assert (director.state is State.BACKUP) == yields
    assert bool(director.all(commands.Announce)) != yields


def test_a_stopped_original_is_replaced_by_the_primary_at_once() -> None:
    director = beside_an_original(Place.PRIMARY)
    original_says(director, running=False)
    director.wait(51)
    assert director.state is State.ACTIVE
    secondary = beside_an_original(Place.SECONDARY)
    secondary.wait(2200, lambda: original_says(secondary, running=False), every_ms=500)
    assert secondary.state is State.ACTIVE


def test_a_silent_original_is_replaced_after_the_dead_time_unless_its_kernel_answers() -> None:
    director = beside_an_original(Place.SECONDARY)
    original_says(director, running=True)
    director.wait(1520)
    director.tell(PEER_ANSWERS)
    assert director.state is State.BACKUP
    director.wait(1100)
    assert director.state is State.ACTIVE


def test_an_original_takes_over_when_it_hears_that_we_have_stopped() -> None:
    director = beside_an_original(Place.PRIMARY)
    original_says(director, running=False)
    director.wait(60)
    director.said.clear()
    director.ask(Question.SWITCH)
    assert director.state is State.BACKUP
    assert not director.all(commands.SendHeartbeats)[-1].active
    director.wait(400, lambda: original_says(director, running=False), every_ms=100)
    assert director.state is State.BACKUP
    original_says(director, running=True)
    assert director.answer().done


def test_an_original_cannot_be_asked_to_stop() -> None:
    director = beside_an_original(Place.SECONDARY)
    original_says(director, running=True)
    director.ask(Question.SWITCH)
    assert "original Piranha" in director.answer().text


def test_a_stop_beside_an_original_is_at_once() -> None:
    director = beside_an_original(Place.PRIMARY)
    original_says(director, running=False)
    director.wait(60)
    director.ask(Question.STOP)
    assert director.state is State.STOPPED
    assert not director.all(commands.SendHeartbeats)[-1].active


# ---- both yield ----


def yielded_to_a_higher_term(**settings: object) -> LoneDirector:
    director = active_director(**settings)
    director.hear(active=True, term=director.machine.term + 1)
    assert director.state is State.BACKUP
    director.said.clear()
    return director


def test_of_two_that_yielded_to_each_other_the_better_one_claims_at_once() -> None:
    primary = yielded_to_a_higher_term(place=Place.PRIMARY)
    primary.hear(term=primary.machine.term)
    assert primary.state is State.ACTIVE
    assert not primary.all(commands.SendProbe)
    secondary = yielded_to_a_higher_term(place=Place.SECONDARY)
    secondary.hear(term=secondary.machine.term)
    assert secondary.state is State.BACKUP


def test_a_heartbeat_that_does_not_show_that_the_peer_yielded_is_no_reason_to_claim() -> None:
    older = yielded_to_a_higher_term(place=Place.PRIMARY)
    older.hear(term=older.machine.term - 1)
    assert older.state is not State.ACTIVE
    stale = yielded_to_a_higher_term(place=Place.PRIMARY)
    stale.hear(term=stale.machine.term, age_ms=500)
    assert stale.state is not State.ACTIVE
    other_boot = yielded_to_a_higher_term(place=Place.PRIMARY)
    other_boot.hear(term=other_boot.machine.term, boot=b"else")
    assert other_boot.state is not State.ACTIVE
    late = yielded_to_a_higher_term(place=Place.PRIMARY)
    late.wait(60)
    late.hear(term=late.machine.term)
    assert late.state is not State.ACTIVE


def test_a_copy_that_has_just_come_is_answered_at_once_but_many_make_no_storm() -> None:
    director = active_director()
    director.hear(is_clone=True, node=b"ours....", boot=b"one", age_ms=None)
    director.said.clear()
    director.wait(30)
    director.machine._last_sent_at = director.now
    director.hear(is_clone=True, node=b"ours....", boot=b"two", age_ms=None)
    assert director.all(commands.SendHeartbeats)
    director.said.clear()
    boots = iter(range(10_000))
    director.wait(
        1000,
        lambda: director.hear(is_clone=True, node=b"ours....", boot=str(next(boots) % 2).encode(), age_ms=None),
        every_ms=1,
    )
    assert len(director.all(commands.SendHeartbeats)) <= 160
