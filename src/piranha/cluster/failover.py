"""The failover machine: events in, commands out. The same class runs in pulse and in the simulation.

`Failover(settings, now)`, then `handle(Started(), now)` and every event after it, with `now` in nanoseconds of CLOCK_BOOTTIME. It does
no I/O, reads no clock, draws no random number, and keeps no more than a few dozen values.

| rules | file |
|---|---|
| claim, give up, what the heartbeats say | `ownership.py` |
| planned changes | `handover.py` |
| takeover, probe, failback | `takeover.py` |
| two active ones, strangers with our address | `conflict.py` |
| the beat, links, lvsd, settings, clones | here |

The safety of a pair rests on three rules, whatever the rest does (docs/design/cluster.md has the proof and its limits):
a gate opens by `_claim` alone; a lease is only renewed by a heartbeat that leaves while it runs; whoever finds its lease run out gives up
before it does anything else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from piranha.cluster.alarm import AlarmCode
from piranha.cluster.commands import (
    FOREVER,
    AlarmOver,
    Announce,
    ClaimLease,
    Command,
    DropLease,
    LowerAddresses,
    Role,
    SetTimer,
    TellLvsd,
)
from piranha.cluster.conflict import Conflict
from piranha.cluster.events import (
    Ask,
    ConflictSeen,
    Event,
    GateState,
    HeartbeatHeard,
    LinkChanged,
    LvsdReady,
    ProbeAnswered,
    ReadyToServe,
    SettingsChanged,
    Started,
    Tick,
    Woke,
)
from piranha.cluster.heartbeat import VERSION, Flag, Place
from piranha.cluster.ownership import LEASED, SERVING, State
from piranha.cluster.peer import NEVER
from piranha.cluster.settings import Settings
from piranha.cluster.timing import MILLISECOND, SECOND
from piranha.model.configuration import ProfileChoice

LEASE_LOST_SHOWN_NS = 60 * SECOND
ALONE_ANNOUNCE_NS = SECOND
"""How often an active director announces while its peer is silent: the peer may have claimed and yielded unheard."""
OWN_PROBE_NS = SECOND
"""How often it asks the wire who has its own VIP while all is well: a real server may have it too, and answer for it."""
MEET_COPY_NS = 20 * MILLISECOND
"""How often at most copies of this director are answered at once: several of them must not make a storm."""


class Failover(Conflict):
    """One director's failover machine."""

    def __init__(self, settings: Settings, now: int) -> None:
        super().__init__(settings, now)
        self._timer_at = NEVER
        self._answered_at = NEVER
        self._copy_boot = b""
        self._copy_met_at = NEVER
        self._rules: dict[type, Callable[[Any], None]] = {
            Started: self._on_started,
            Woke: self._on_woke,
            Tick: self._on_tick,
            HeartbeatHeard: self._on_heartbeat,
            ProbeAnswered: self._on_probe_answered,
            ConflictSeen: self._on_conflict_seen,
            LinkChanged: self._on_link,
            LvsdReady: self._on_lvsd,
            ReadyToServe: self._on_synced,
            GateState: self._on_gate,
            Ask: self._on_ask,
            SettingsChanged: self._on_settings,
        }

    def handle(self, event: Event, now: int) -> list[Command]:
        """What to do about an event, in order. After `Stopped` nothing more."""
        self._now = now
        commands: list[Command] = []
        self._commands = commands
        kind = type(event)
        if kind is not GateState and self.state in LEASED and now >= self.lease_until:
            self._lose_lease("its lease ran out: it was held up, or no heartbeat could leave")
        self._rules[kind](event)
        if self.state is not State.STOPPED:
            at = self._next_at()
            if at != self._timer_at:
                self._timer_at = at
                commands.append(SetTimer(at=at))
        return commands

    # ---- start ----

    def _on_started(self, event: Started) -> None:
        self._silent_since = self._first_silence()
        self._show_timing()
        if self.settings.alone and (self._is_primary() or event.gate_open_until > self._now):
            self._claim("there is no other director")
            return
        # A secondary without a peer may be one of a pair whose file is wrong: it asks the wire.
        self._do(DropLease(), LowerAddresses(), TellLvsd(role=Role.BACKUP, term=self.term, cause="started"))
        if self.settings.alone:
            self._begin_probe("there is no other director")
        else:
            self._beat()

    def _is_primary(self) -> bool:
        return self.settings.place is Place.PRIMARY

    # ---- time ----

    def _on_woke(self, event: Woke) -> None:
        if self.state in LEASED:
            if event.lag_ns > self.settings.timing.lease_ns:
                self._lose_lease("its lease ran out: it was held up, or no heartbeat could leave")
        else:
            self._on_late(event)

    def _on_tick(self, event: Tick) -> None:
        if self.state is State.STOPPED:
            return
        now = self._now
        if self.alarms.next_at is not None:
            self._do(*(AlarmOver(code=code) for code in self.alarms.over(now)))
        if AlarmCode.FLAPPING in self.alarms.texts:
            self._show_flapping(self.needed_silence_ns())
        self._tick_handover()
        if self.state is State.PROBING:
            self._tick_probe()
        elif self.state is State.BACKUP:
            self._consider()
            if self.settings.failback:
                self._tick_failback()
        if now >= self._next_heartbeat_at and not self.settings.alone and not self._has_left():
            self._beat()
        if self._announcements.is_due(now):
            self._do(Announce())

    def _has_left(self) -> bool:
        return self.state is State.STOPPED

    def _beat(self) -> None:
        """The regular heartbeat; missed ones are skipped. An active one asks the wire for its own VIP: seldom, at each beat while its peer is silent."""
        period_ns = self.settings.timing.heartbeat_ns
        self._next_heartbeat_at += period_ns
        if self._next_heartbeat_at <= self._now:
            self._next_heartbeat_at = self._now + period_ns
        self._send()
        if self.state not in LEASED:
            return
        silent = not self._peer_is_fresh()
        if silent or self._now < self.doubts_until or self._now - self._asked_at >= OWN_PROBE_NS:
            self._ask_wire()
        if silent:
            self._announcements.hasten(self._now + ALONE_ANNOUNCE_NS)
            if AlarmCode.PEER_LOST not in self.alarms.texts:
                self._alarm(AlarmCode.PEER_LOST, "the other director is not heard: nobody would take over")

    def _next_at(self) -> int:
        at = self._next_heartbeat_at if not self.settings.alone else FOREVER
        state = self.state
        if state in LEASED or state is State.RELEASING:
            at = min(at, self.lease_until)
        elif state is State.BACKUP:
            silence_ends_at = self._silence_ends_at()
            if silence_ends_at > self._now:
                at = min(at, silence_ends_at)
        if self._probe is not None:
            at = min(at, self._probe.next_at)
        if state in (State.OFFERING, State.WILLING):
            at = min(at, self._deadline)
        if self._is_repeating():
            at = min(at, self._repeat_at)
        if self._announcements.next_at is not None:
            at = min(at, self._announcements.next_at)
        ends_at = self.alarms.next_at
        return at if ends_at is None else min(at, ends_at)

    # ---- the lease ----

    def _on_gate(self, event: GateState) -> None:
        if self.state in LEASED:
            self.lease_until = event.open_until
            if event.open_until <= self._now:
                self._lose_lease("no heartbeat left this director within its lease")
        elif self.state is not State.STANDALONE and self.state is not State.RELEASING and event.open_until > self._now:
            self._do(DropLease())

    def _lose_lease(self, cause: str) -> None:
        self._alarm(AlarmCode.LEASE_LOST, cause, until=self._now + LEASE_LOST_SHOWN_NS)
        self._conflict_at = NEVER
        if self.state is State.OFFERING and not self._stopping:
            self._settle(f"not done: {cause}", done=False)
        self._give_up(cause)
        if self._stopping:
            self._leave()

    # ---- heartbeats ----

    def _on_heartbeat(self, event: HeartbeatHeard) -> None:
        if self.state is State.STOPPED or self.settings.alone:
            return
        if event.is_clone:
            self._meet_clone(event)
            return
        fresh = self.peer.hear(event, self._now, self.settings.timing.dead_ns)
        if fresh and Flag.FAREWELL not in event.flags:
            self._know_the_peer(event)
            returns = self.peer.silence_ns > self.settings.timing.dead_ns
            if returns and self.state in LEASED and not event.active:
                # Whatever it did meanwhile, the clients shall believe us.
                self._announce()
        elif self._now - self._answered_at >= self.settings.timing.heartbeat_ns:
            # It has not heard of us lately: perhaps it has just come up, and should know at once.
            self._answered_at = self._now
            self._send_soon()
        if self.state not in LEASED:
            self._hear_as_backup(event, fresh=fresh)
        elif event.active:
            self._meet_active(event, fresh=fresh)
        elif fresh:
            self._hear_the_backup(event)

    def _know_the_peer(self, event: HeartbeatHeard) -> None:
        alarms = self.alarms.texts
        if AlarmCode.PEER_LOST in alarms:
            self._alarm_over(AlarmCode.PEER_LOST)
        if event.version != VERSION:
            self._alarm(
                AlarmCode.PEER_VERSION, f"the other director speaks version {event.version}, this one {VERSION}"
            )
        elif AlarmCode.PEER_VERSION in alarms:
            self._alarm_over(AlarmCode.PEER_VERSION)
        if event.place is self.settings.place:
            text = f"both directors take themselves for the {event.place.name.lower()}: set `primary` in lvs.cf"
            self._alarm(AlarmCode.SAME_PLACE, text)
        elif AlarmCode.SAME_PLACE in alarms:
            self._alarm_over(AlarmCode.SAME_PLACE)

    def _hear_the_backup(self, event: HeartbeatHeard) -> None:
        """We are active, the peer is not."""
        self._meet_yielded()
        if Flag.FAREWELL in event.flags:
            self.peer.leave()
            self._end_offer("the other director is stopping", done=False)
            self._alarm(AlarmCode.PEER_LOST, "the other director has stopped: nobody would take over")
        elif self.state is State.OFFERING and Flag.WILLING in event.flags:
            self._release(self.cause)
        elif Flag.GIVE_UP in event.flags and self.peer.can_serve:
            self._release("the other director asked for the active role")

    def _meet_clone(self, event: HeartbeatHeard) -> None:
        """Our own node id from another host. Who was here first goes on; who has just come stays passive while it hears the other."""
        timing = self.settings.timing
        until = self._now + 2 * timing.dead_ns
        text = "another host has this director's node id: one is a copy of the other; remove its node-id and restart pulse there"
        self._alarm(AlarmCode.CLONE, text, until=until)
        if event.boot != self._copy_boot and self._now - self._copy_met_at >= MEET_COPY_NS:
            # It has just come, and must know before it does anything: whatever left before was too early for it.
            self._copy_boot, self._copy_met_at = event.boot, self._now
            self._send()
        else:
            self._send_soon()
        if self.state not in LEASED:
            if self._now - self._started_at <= 2 * timing.dead_ns or self._now < self._clone_until:
                self._clone_until = until
            if self._now < self._clone_until and self.state in (State.PROBING, State.WILLING):
                self._listen("another host has the same node id")
        elif event.active and event.age_ns is not None and event.age_ns <= timing.dead_ns:
            self._meet_active(event, fresh=True)

    # ---- this host ----

    def _on_link(self, event: LinkChanged) -> None:
        had_link = self.has_link
        if event.carrier:
            self._down.discard(event.link)
        else:
            self._down.add(event.link)
        down = sorted(self._down & self.settings.links)
        if down:
            self._alarm(AlarmCode.LINK_DOWN, f"no carrier on {', '.join(down)}")
        else:
            self._alarm_over(AlarmCode.LINK_DOWN)
        if not self.has_link:
            if self.state in LEASED:
                self._end_offer("no watched interface has a carrier", done=False)
                if self.state in LEASED:
                    self._give_up("no watched interface has a carrier")
            elif self.state in (State.PROBING, State.WILLING):
                self._listen("no watched interface has a carrier")
        elif event.carrier:
            if not had_link:
                # What we did not hear while our own link was down is nobody's silence.
                self._silent_since = max(self._silent_since, self._now)
            if self.state in SERVING:
                self._announce()
        self._say_if_changed()
        self._tick_handover()

    def _on_lvsd(self, event: LvsdReady) -> None:
        if self._ready and not event.ready:
            self._lvsd_gone_at = self._now
        self._ready = event.ready
        if event.ready:
            self._alarm_over(AlarmCode.NOT_READY)
        elif self.state in SERVING:
            why = f" ({event.why})" if event.why else ""
            self._alarm(AlarmCode.NOT_READY, f"lvsd is gone{why}: the kernel forwards alone, checks and changes wait")
        self._say_if_changed()
        self._consider()

    def _on_synced(self, event: ReadyToServe) -> None:
        self._synced = event.synced
        self._say_if_changed()

    def _say_if_changed(self) -> None:
        """What the peer decides by should be known to it at once."""
        if self.state is State.STOPPED or self.settings.alone:
            return
        if self.own_flags() != self._flags_sent:
            self._send()

    # ---- settings ----

    def _on_settings(self, event: SettingsChanged) -> None:
        before, self.settings = self.settings, event.settings
        self._show_timing()
        if self.state is State.STOPPED or before.alone == self.settings.alone:
            return
        if not self.settings.alone:
            self._next_heartbeat_at = self._now
        if self.state is State.STANDALONE:
            self._claim("there is another director now")
        elif self.state in LEASED:
            self._settle("not done: there is no other director any more", done=False)
            self.state = State.STANDALONE
            self.lease_until = FOREVER
            self._do(
                ClaimLease(until=FOREVER), TellLvsd(role=self.role, term=self.term, cause="there is no peer any more")
            )
            self._alarm_over(AlarmCode.PEER_LOST)

    def _show_timing(self) -> None:
        timing = self.settings.timing
        if timing.asked is not timing.profile and timing.profile is ProfileChoice.CALM:
            self._alarm(AlarmCode.SLOW_TIMING, "; ".join(timing.notes))
        else:
            self._alarm_over(AlarmCode.SLOW_TIMING)

    # ---- what must always hold ----

    def check_invariants(self) -> None:
        """Raises AssertionError where the state contradicts itself. For tests, after any event."""
        state = self.state
        assert (self._probe is not None) == (state is State.PROBING), f"a probe while {state}"
        assert (self._announcements.next_at is not None) == (state in SERVING), f"announcements while {state}"
        assert (self.lease_until == FOREVER) == (state is State.STANDALONE), f"an endless lease while {state}"
        assert state not in LEASED or self.lease_until > self._now, f"{state} with a lease that has run out"
        assert state in LEASED or state in (State.STANDALONE, State.RELEASING) or self.lease_until == 0, (
            f"a lease while {state}"
        )
        assert state is not State.STANDALONE or self.settings.alone, "standalone beside a peer"
