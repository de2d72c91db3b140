"""One failover machine with a clock, and its peer and shell played by the test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from piranha.cluster import commands, events
from piranha.cluster.failover import Failover
from piranha.cluster.heartbeat import Flag, Place
from piranha.cluster.ownership import State
from piranha.cluster.settings import Settings
from piranha.cluster.timing import MILLISECOND, SECOND, choose
from piranha.model.configuration import ProfileChoice

FIT = Flag.READY | Flag.SYNCED
FAST = choose(ProfileChoice.FAST, realtime=True)
_Kind = TypeVar("_Kind")


class LoneDirector:
    """A machine whose timers run; `said` is every command since it was last cleared. The gate is a number, as in the kernel."""

    def __init__(self, *, place: Place = Place.SECONDARY, ready: bool = True, **settings: Any) -> None:
        self.now = 1000 * SECOND
        given = Settings(timing=FAST, place=place, node=b"ours....", boot=b"this", links=frozenset({"eth0"}))
        self.settings = replace(given, **settings)
        self.machine = Failover(self.settings, self.now)
        self.gate_until = 0
        self.timer_at = self.now
        self.said: list[commands.Command] = []
        self.tell(events.Started())
        if ready:
            self.tell(events.LvsdReady(ready=True))
            self.tell(events.ReadyToServe())

    def tell(self, event: events.Event) -> list[commands.Command]:
        """Hand in an event and carry out what comes of it."""
        told = self.machine.handle(event, self.now)
        self.machine.check_invariants()
        self.said += told
        speaks = False
        for command in told:
            match command:
                case commands.SetTimer(at=at):
                    self.timer_at = at
                case commands.ClaimLease(until=until):
                    self.gate_until = until
                case commands.DropLease():
                    self.gate_until = 0
                case commands.SendHeartbeats(active=True):
                    speaks = True
                    assert self.gate_until > self.now, "an active heartbeat after the lease has run out"
                    self.gate_until = self.now + self.settings.timing.lease_ns
        if speaks:
            self.tell(events.GateState(open_until=self.gate_until))
        return told

    def ask(self, question: events.Question) -> None:
        self.tell(events.Ask(question=question, number=7))

    def hear(
        self, *, active: bool = False, term: int = 0, flags: Flag = FIT, age_ms: int | None = 1, **more: Any
    ) -> None:
        """A heartbeat of the peer."""
        given: dict[str, Any] = {
            "place": Place.SECONDARY if self.settings.place is Place.PRIMARY else Place.PRIMARY,
            "node": b"theirs..",
            "boot": b"that",
        }
        age_ns = None if age_ms is None else age_ms * MILLISECOND
        self.tell(
            events.HeartbeatHeard(
                link="eth0", active=active, term=term, flags=flags, age_ns=age_ns, **{**given, **more}
            )
        )

    def wait(self, ms: float, meanwhile: Callable[[], object] | None = None, every_ms: float = 50) -> None:
        """Let time pass, in time for every timer; `meanwhile` happens every so often."""
        until = self.now + int(ms * MILLISECOND)
        next_at = self.now if meanwhile else until + 1
        while True:
            at = min(self.timer_at, next_at)
            if at > until or self.state is State.STOPPED:
                break
            self.now = max(self.now, at)
            if meanwhile and self.now >= next_at:
                next_at += int(every_ms * MILLISECOND)
                meanwhile()
            if self.now >= self.timer_at:
                self.tell(events.Tick())
                assert self.timer_at > self.now or self.state is State.STOPPED, "the timer stays in the past"
        self.now = until

    def become_active(self) -> None:
        """By silence."""
        self.wait(500)
        assert self.state is State.ACTIVE
        self.said.clear()

    def become_active_beside_a_peer(self, **heard: Any) -> None:
        """The peer is heard, inactive and unfit at first, then fit."""
        self.become_active()
        self.hear(term=self.machine.term, **heard)
        self.said.clear()

    @property
    def state(self) -> State:
        return self.machine.state

    def all(self, kind: type[_Kind]) -> list[_Kind]:
        return [command for command in self.said if isinstance(command, kind)]

    def alarms(self) -> set[str]:
        return {str(code) for code in self.machine.alarms.texts}

    def answer(self) -> commands.Answer:
        (answer,) = self.all(commands.Answer)
        assert answer.number == 7
        return answer

    def kinds(self) -> list[type]:
        """What was said, less the timers."""
        return [type(command) for command in self.said if not isinstance(command, commands.SetTimer)]
