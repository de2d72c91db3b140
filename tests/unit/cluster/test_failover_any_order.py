"""Events in any order at any time: nothing raises, the invariants hold, and no active heartbeat leaves without a lease."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from piranha.cluster import events
from piranha.cluster.heartbeat import Flag, Place
from piranha.cluster.timing import MILLISECOND, choose
from piranha.model.configuration import ProfileChoice
from tests.unit.cluster.lone_director import LoneDirector

FLAGS = st.integers(min_value=0, max_value=sum(Flag)).map(Flag)
TIMES_MS = st.one_of(st.sampled_from([0, 1, 5, 49, 50, 51, 150, 200, 201, 1000, 60_000]), st.integers(0, 5000))
LINKS = st.sampled_from(["eth0", "eth1", "eth9"])


class AnyOrder(RuleBasedStateMachine):
    """`LoneDirector.tell` checks the invariants and the lease after each event."""

    director: LoneDirector

    @initialize(
        place=st.sampled_from(Place),
        ready=st.booleans(),
        changes=st.fixed_dictionaries(
            {
                "alone": st.booleans(),
                "original": st.booleans(),
                "monitor_links": st.booleans(),
                "failback": st.booleans(),
                "failback_delay_ns": st.sampled_from([0, 500 * MILLISECOND]),
                "start_delay_ns": st.sampled_from([0, 0, 2000 * MILLISECOND]),
                "lvsd_wait_ns": st.sampled_from([0, 1000 * MILLISECOND]),
                "links": st.sampled_from([frozenset(), frozenset({"eth0"}), frozenset({"eth0", "eth1"})]),
            }
        ),
    )
    def start(self, place: Place, ready: bool, changes: dict[str, Any]) -> None:
        self.director = LoneDirector(place=place, ready=ready, **changes)

    @rule(ms=TIMES_MS)
    def timers_run(self, ms: int) -> None:
        self.director.wait(min(ms, 2000))

    @rule(ms=TIMES_MS, woke=st.booleans())
    def sleeps(self, ms: int, woke: bool) -> None:
        self.director.now += ms * MILLISECOND
        if woke:
            self.director.tell(events.Woke(lag_ns=ms * MILLISECOND))

    @rule(
        active=st.booleans(),
        term=st.integers(0, 6),
        flags=FLAGS,
        age_ms=st.none() | st.sampled_from([0, 1, 200, 201]),
        place=st.sampled_from(Place),
        boot=st.sampled_from([b"that", b"next"]),
        version=st.sampled_from([1, 2]),
        is_clone=st.sampled_from([False, False, False, True]),
    )
    def hears(self, **heard: Any) -> None:
        self.director.hear(**heard)

    @rule(kind=st.sampled_from([events.ProbeAnswered, events.ConflictSeen]), is_peer=st.booleans())
    def wire_speaks(self, kind: Any, is_peer: bool) -> None:
        self.director.tell(kind(address="192.0.2.100", mac="02:00:00:00:00:01", is_peer=is_peer))

    @rule(link=LINKS, carrier=st.booleans())
    def link_changes(self, link: str, carrier: bool) -> None:
        self.director.tell(events.LinkChanged(link=link, carrier=carrier))

    @rule(ready=st.booleans(), synced=st.booleans())
    def lvsd_speaks(self, ready: bool, synced: bool) -> None:
        self.director.tell(events.LvsdReady(ready=ready))
        self.director.tell(events.ReadyToServe(synced=synced))

    @rule(ms=st.integers(-200, 200))
    def gate_is_read(self, ms: int) -> None:
        self.director.gate_until = max(self.director.now + ms * MILLISECOND, 0)
        self.director.tell(events.GateState(open_until=self.director.gate_until))

    @rule(question=st.sampled_from([q for q in events.Question if q is not events.Question.STOP]))
    def is_asked(self, question: events.Question) -> None:
        self.director.ask(question)

    @rule(chance=st.integers(0, 9))
    def is_stopped(self, chance: int) -> None:
        if chance == 0:
            self.director.ask(events.Question.STOP)

    @rule(profile=st.sampled_from(ProfileChoice), alone=st.booleans())
    def is_configured(self, profile: ProfileChoice, alone: bool) -> None:
        director = self.director
        director.settings = replace(director.settings, timing=choose(profile, realtime=True), alone=alone)
        director.tell(events.SettingsChanged(settings=director.settings))

    @rule(event=st.sampled_from([events.Tick(), events.Woke()]))
    def comes_out_of_turn(self, event: events.Event) -> None:
        self.director.tell(event)

    @invariant()
    def the_gate_is_shut_unless_we_serve(self) -> None:
        if hasattr(self, "director"):
            machine = self.director.machine
            machine.check_invariants()
            assert machine.role == "standalone" or self.director.gate_until < 2**62


AnyOrder.TestCase.settings = hypothesis_settings(max_examples=120, stateful_step_count=40, deadline=None)
TestAnyOrder = AnyOrder.TestCase
