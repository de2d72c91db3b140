"""What it takes to own the VIPs and to give them up; how the rules that follow in `handover.py`, `takeover.py` and `conflict.py` act.

| state | gate | the director |
|---|---|---|
| BACKUP | shut | listens |
| PROBING | shut | asks the wire who has the VIPs, before it takes over |
| WILLING | shut | has raised the addresses and waits for the peer's word to take over |
| ACTIVE | open | serves; its heartbeats renew the lease |
| OFFERING | open | serves, and asks the peer whether it is willing |
| RELEASING | open for `GRACE_NS` at most | has told the peer to take over |
| STANDALONE | open for ever | serves; there is no peer |
| STOPPED | shut | is gone |
"""

from __future__ import annotations

from enum import StrEnum

from piranha.cluster.alarm import AlarmCode, Alarms
from piranha.cluster.announcing import Announcements
from piranha.cluster.commands import (
    FOREVER,
    Alarm,
    AlarmOver,
    Announce,
    ClaimLease,
    Command,
    DropLease,
    LowerAddresses,
    RaiseAddresses,
    Role,
    RunCommand,
    SendHeartbeats,
    SendProbe,
    StopAnnouncing,
    TellLvsd,
)
from piranha.cluster.flapping import Flapping
from piranha.cluster.heartbeat import Flag, Place
from piranha.cluster.peer import NEVER, Peer, fitness
from piranha.cluster.probing import ProbeWindow
from piranha.cluster.settings import Settings
from piranha.cluster.timing import MILLISECOND

GRACE_NS = 5 * MILLISECOND
"""How long the old active goes on forwarding in a planned switch, while the clients learn the new one's MAC."""


class State(StrEnum):
    BACKUP = "backup"
    PROBING = "probing"
    WILLING = "willing"
    ACTIVE = "active"
    OFFERING = "offering"
    RELEASING = "releasing"
    STANDALONE = "standalone"
    STOPPED = "stopped"


SERVING = frozenset({State.ACTIVE, State.OFFERING, State.STANDALONE})
LEASED = frozenset({State.ACTIVE, State.OFFERING})


class Ownership:
    """The state of a director, and the acts that change who owns the VIPs. Acts append to `_commands`."""

    def __init__(self, settings: Settings, now: int) -> None:
        self.settings = settings
        self.state = State.BACKUP
        self.cause = "started"
        self.since = now
        self.term = 0
        self.lease_until = 0
        self.peer = Peer()
        self.flapping = Flapping()
        self.alarms = Alarms()
        self._now = now
        self._commands: list[Command] = []
        self._announcements = Announcements()
        self._probe: ProbeWindow | None = None
        self._started_at = now
        self._next_heartbeat_at = now
        self._last_sent_at = NEVER
        self._silent_since = now
        """Since when nobody is known to be active: what the dead time is counted from."""
        self._ready = False
        self._synced = False
        self._maintenance = False
        self._down: set[str] = set()
        self._handing_over_until = NEVER
        """Until then our heartbeats tell the peer to take over, and we leave the VIPs to it."""
        self._clone_until = NEVER
        self._flags_sent = Flag(0)
        self._asked_at = NEVER

    # ---- what we can do ----

    @property
    def role(self) -> Role:
        if self.state is State.STANDALONE:
            return Role.STANDALONE
        return Role.ACTIVE if self.state in LEASED else Role.BACKUP

    @property
    def is_synced(self) -> bool:
        """Whether we have the peer's connections, or have waited for them long enough."""
        return self._synced or self._now - self._started_at >= self.settings.sync_wait_ns

    @property
    def has_link(self) -> bool:
        """Whether any watched interface has a carrier. Without one nothing can be served."""
        links = self.settings.links
        return not links or bool(links - self._down)

    @property
    def can_ask(self) -> bool:
        """Whether a question for the VIP can leave: an answer that cannot come proves nobody dead."""
        vip_links = self.settings.vip_links
        return not vip_links or bool(vip_links - self._down)

    def own_flags(self) -> Flag:
        """What our heartbeats say of us."""
        flags = Flag(0)
        if self._maintenance:
            flags |= Flag.MAINTENANCE
        elif not self.reason_not_to_serve():
            flags |= Flag.READY
        if self.is_synced:
            flags |= Flag.SYNCED
        if self.settings.monitor_links and self._down & self.settings.links:
            flags |= Flag.LINK_DOWN
        if not self._peer_is_fresh():
            flags |= Flag.DEAF
        if self.state is State.OFFERING:
            flags |= Flag.OFFER
        elif self.state is State.WILLING:
            flags |= Flag.WILLING
        elif self.state is State.STOPPED:
            flags |= Flag.FAREWELL
        elif self._now < self._handing_over_until:
            flags |= Flag.TAKE_OVER
        return flags

    def reason_not_to_serve(self) -> str:
        """Why we must not take over now; empty where we may."""
        if self.state is State.STOPPED:
            return "pulse is stopping"
        if self.settings.alone:
            # Whatever is wrong with it, nobody else could do better.
            return ""
        if self._maintenance:
            return "it is in maintenance: end it with `piranha maintenance off`"
        if self._now < self._clone_until:
            return (
                "another host has the same node id: remove /var/lib/piranha/node-id on the copy and restart pulse there"
            )
        if not self._ready:
            return "lvsd is not ready: see its log"
        if not self.has_link:
            return "no watched interface has a carrier"
        if not self.can_ask:
            return "no interface with a VIP has a carrier"
        if self._now - self._started_at < self.settings.start_delay_ns:
            return "the start delay is not over"
        return ""

    def own_fitness(self) -> int:
        return 0 if self.reason_not_to_serve() else fitness(self.own_flags())

    def _peer_is_fresh(self) -> bool:
        return self.peer.is_fresh(self._now, self.settings.timing.dead_ns)

    def _is_better(self) -> bool:
        """Whether we, not the peer, should be active where nobody is."""
        peer, settings = self.peer, self.settings
        ours = (self.own_fitness(), self.is_synced, settings.place is Place.PRIMARY, settings.node)
        theirs = (fitness(peer.flags), Flag.SYNCED in peer.flags, peer.place is Place.PRIMARY, peer.node)
        return ours > theirs

    # ---- acts ----

    def _do(self, *commands: Command) -> None:
        self._commands.extend(commands)

    def _alarm(self, code: AlarmCode, text: str, until: int | None = None) -> None:
        if self.alarms.start(code, text, until):
            self._do(Alarm(code=code, text=text))

    def _alarm_over(self, code: AlarmCode) -> None:
        if code in self.alarms.texts and self.alarms.end(code):
            self._do(AlarmOver(code=code))

    def _send(self) -> None:
        """A heartbeat now, outside of the beat."""
        flags = self.own_flags()
        self._flags_sent = flags
        self._last_sent_at = self._now
        self._do(SendHeartbeats(active=self.state in LEASED, term=self.term, flags=flags))

    def _send_soon(self) -> None:
        """A heartbeat now, unless one has just left: an answer must not become a storm."""
        if self._now - self._last_sent_at >= self.settings.timing.heartbeat_ns // 4:
            self._send()

    def _ask_wire(self) -> None:
        self._asked_at = self._now
        self._do(SendProbe())

    def _announce(self) -> None:
        """Begin a burst of announcements."""
        self._announcements.begin(self._now)
        if self._announcements.is_due(self._now):
            self._do(Announce())

    def _enter(self, state: State, cause: str) -> None:
        self.state = state
        self.cause = cause
        self.since = self._now

    def _claim(self, cause: str) -> None:
        """Become active. Nothing here asks whether that is wise."""
        self.term = max(self.term, self.peer.term) + 1
        self._probe = None
        self._handing_over_until = NEVER
        if self.settings.alone:
            self._enter(State.STANDALONE, cause)
            self.lease_until = FOREVER
            self._do(ClaimLease(until=self.lease_until))
        else:
            self._enter(State.ACTIVE, cause)
            self.lease_until = self._now + self.settings.timing.lease_ns
            self._do(ClaimLease(until=self.lease_until))
            self._send()
            self._next_heartbeat_at = self._now + self.settings.timing.heartbeat_ns
        self._do(RaiseAddresses())
        self._announce()
        self._do(TellLvsd(role=self.role, term=self.term, cause=cause), RunCommand(active=True))
        for code in (AlarmCode.NO_TAKEOVER, AlarmCode.HEARTBEATS_LOST):
            self._alarm_over(code)

    def _give_up(self, cause: str, state: State = State.BACKUP) -> None:
        """Stop being active, gate first. The peer learns of it at once."""
        self._do(DropLease(), StopAnnouncing())
        self._announcements.cancel()
        self._enter(state, cause)
        self.lease_until = 0
        self._silent_since = self._now
        if not self.settings.alone:
            self._send()
        self._do(
            LowerAddresses(),
            TellLvsd(role=self.role, term=self.term, cause=cause),
            RunCommand(active=False),
        )
        for code in (AlarmCode.PEER_LOST, AlarmCode.NOT_READY):
            self._alarm_over(code)

    def _listen(self, cause: str) -> None:
        """Back to listening, from a state in which we were not active."""
        if self.state is State.WILLING:
            self._do(LowerAddresses())
        self._probe = None
        self._enter(State.BACKUP, cause)
