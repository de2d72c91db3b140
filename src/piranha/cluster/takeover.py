"""When a backup becomes active without being told: the peer is silent, and nobody answers for the VIP; or nobody is active at all."""

from __future__ import annotations

from piranha.cluster.alarm import AlarmCode
from piranha.cluster.events import HeartbeatHeard, Woke
from piranha.cluster.handover import Handover
from piranha.cluster.heartbeat import Flag, Place
from piranha.cluster.ownership import State
from piranha.cluster.peer import NEVER, fitness
from piranha.cluster.probing import ProbeWindow
from piranha.cluster.timing import MILLISECOND, PROBE_NS

GRACES = 3
"""How often in a row our own lateness may prolong the peer's silence."""
STALL_NS = MILLISECOND


class Takeover(Handover):
    """The rules of a director that is not active."""

    _held_until = NEVER
    _graces = 0
    _failback_since = NEVER
    _yielded_at = NEVER
    """When we last yielded to the peer's heartbeat, or to its answer for the VIP."""

    def _hear_as_backup(self, event: HeartbeatHeard, *, fresh: bool) -> None:
        if not fresh:
            return
        known_term = self.term
        self.term = max(self.term, event.term)
        if event.active:
            self._hear_the_active(event)
        elif self.peer.is_active(self._now, self.settings.timing.dead_ns):
            # Another boot is the active one (the peer has a copy): this one has nothing to hand over.
            return
        elif Flag.FAREWELL in event.flags:
            self._hear_farewell()
        elif self.state is State.RELEASING:
            return
        elif Flag.TAKE_OVER in event.flags and event.term >= known_term and not self.reason_not_to_serve():
            self._take_over_at_the_word()
        elif self._yielded_to_us(event) and self._is_better() and not self.reason_not_to_serve():
            self._claim("both directors yielded to each other")
        else:
            self._consider()

    def _yielded_to_us(self, event: HeartbeatHeard) -> bool:
        """Whether the one that we have just yielded to has yielded as well, and says itself that its gate is shut.

        It happens where a partition heals: the backup yields to our answer for the VIP, and we to its higher term. A heartbeat from
        before its claim has a lower term than the one that we yielded to.
        """
        return (
            self.state is State.BACKUP
            and self._now - self._yielded_at <= self.settings.timing.heartbeat_ns
            and event.boot == self.peer.active_boot
            and event.term >= self.term
            and not self.settings.original
        )

    def _hear_the_active(self, event: HeartbeatHeard) -> None:
        self._silent_since = self._now
        self._graces = 0
        self._alarm_over(AlarmCode.HEARTBEATS_LOST)
        self._alarm_over(AlarmCode.NO_TAKEOVER)
        self._peer_took_over()
        if self.state is State.PROBING:
            self._listen("the other director is active")
        if Flag.OFFER in event.flags:
            self._be_willing()

    def _hear_farewell(self) -> None:
        """It is gone, its gate shut: no silence to wait for, nobody to ask."""
        self.peer.leave()
        self._silent_since = min(self._silent_since, self._now - self.needed_silence_ns() - 1)
        if self.state in (State.BACKUP, State.PROBING, State.WILLING) and not self.reason_not_to_serve():
            self._take_over_at_the_word()

    def needed_silence_ns(self) -> int:
        """The silence that a takeover needs."""
        dead_ns = self.settings.timing.dead_ns
        return self.flapping.needed_ns(self._now, dead_ns) if self.settings.hold_down else dead_ns

    def _silence_ends_at(self) -> int:
        """When the silence will have been long enough."""
        return max(self._silent_since + self.needed_silence_ns(), self._held_until, self._handing_over_until) + 1

    def _consider(self) -> None:
        """Whether it is time to ask the wire."""
        if self.state is not State.BACKUP or self._now < max(self._held_until, self._handing_over_until):
            return
        dead_ns = self.settings.timing.dead_ns
        if self.peer.is_active(self._now, dead_ns) and not self.settings.alone:
            return
        needed_ns = self.needed_silence_ns()
        silence_ns = self._now - self._silent_since
        self._show_flapping(needed_ns)
        reason = self.reason_not_to_serve()
        if reason:
            if silence_ns > needed_ns:
                self._alarm(AlarmCode.NO_TAKEOVER, f"nobody is active, and this director must not be: {reason}")
            return
        if self._peer_is_fresh() and not self.settings.alone:
            patience_ns = 2 * self.settings.timing.heartbeat_ns if self.settings.original else 2 * needed_ns
            if self._is_better() or silence_ns > patience_ns:
                self._begin_probe("the other director is not active either")
        elif silence_ns > needed_ns:
            self._begin_probe("no active director is heard")

    def _show_flapping(self, needed_ns: int) -> None:
        if needed_ns > self.settings.timing.dead_ns:
            text = f"the role went to and fro: a takeover now needs {needed_ns // MILLISECOND} ms of silence"
            self._alarm(AlarmCode.FLAPPING, text)
        else:
            self._alarm_over(AlarmCode.FLAPPING)

    # ---- the probe ----

    def _begin_probe(self, cause: str) -> None:
        self._enter(State.PROBING, cause)
        self._probe = ProbeWindow(self._now)
        self._tick_probe()

    def _tick_probe(self) -> None:
        probe = self._probe
        if probe is None:
            return
        if probe.is_due(self._now):
            self._ask_wire()
        elif probe.is_over(self._now):
            if self.reason_not_to_serve():
                self._listen("not able to serve any more")
            else:
                self._claim(f"{self.cause}, and nobody answers for the VIP")

    def _hold(self, address: str) -> None:
        """The peer answers for the VIP: it is alive, and only its heartbeats are lost."""
        self._listen("the other director answers for the VIP")
        self._held_until = self._now + 2 * self.settings.timing.heartbeat_ns
        text = (
            f"the other director is silent, but answers for {address}: the data path works, the heartbeats do not: "
            "look at the links, firewalls, and the pair's keys"
        )
        self._alarm(AlarmCode.HEARTBEATS_LOST, text)

    def _on_late(self, event: Woke) -> None:
        """We were held up: what we did not hear meanwhile, nobody may be blamed for."""
        if self._probe is not None and event.lag_ns > STALL_NS:
            self._probe.extend(event.lag_ns)
        timing = self.settings.timing
        if event.lag_ns > timing.heartbeat_ns and self._graces < GRACES:
            self._graces += 1
            self._silent_since = max(self._silent_since, self._now - self.needed_silence_ns() + 2 * timing.heartbeat_ns)

    # ---- failback ----

    def _tick_failback(self) -> None:
        """The primary takes its place again, when it has been fit for it for long enough."""
        if not self._may_fail_back():
            self._failback_since = NEVER
        elif self._failback_since == NEVER:
            self._failback_since = self._now
        elif self._now - self._failback_since >= self.settings.failback_delay_ns:
            self._failback_since = self._now
            self._want("the primary takes its place again (failback)")

    def _may_fail_back(self) -> bool:
        settings = self.settings
        return (
            settings.failback
            and settings.place is Place.PRIMARY
            and self.state is State.BACKUP
            and self.peer.place is not Place.PRIMARY
            and not self._reason_not_to_want()
            and self.own_fitness() >= fitness(self.peer.flags)
            and self.needed_silence_ns() == settings.timing.dead_ns
        )

    def _first_silence(self) -> int:
        """Since when a starting director counts: the backup gives the primary a little time to be first."""
        if self.settings.place is Place.PRIMARY:
            return self._now
        return self._now + PROBE_NS + self.settings.timing.heartbeat_ns
