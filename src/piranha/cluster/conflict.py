"""Two that claim the same VIPs: who yields, and how the other one makes the wire believe it.

Two orders decide, and both directors know both, so that exactly one yields:

- where the heartbeats come through, the higher (term, place, node) wins, at the first fresh heartbeat;
- where they do not, the primary wins, at the first answer to a probe of one's own VIP. A stray announcement proves nothing (it may have
  been delayed): it is a reason to probe.

The one that stays announces again, each time: the wire may have believed the other.
"""

from __future__ import annotations

from piranha.cluster.alarm import AlarmCode
from piranha.cluster.commands import Announce
from piranha.cluster.events import ConflictSeen, HeartbeatHeard, ProbeAnswered
from piranha.cluster.heartbeat import Place
from piranha.cluster.ownership import LEASED, SERVING, State
from piranha.cluster.peer import NEVER
from piranha.cluster.takeover import Takeover
from piranha.cluster.timing import SECOND

SPLIT_SHOWN_NS = 30 * SECOND
DUPLICATE_SHOWN_NS = 60 * SECOND
DEFEND_EVERY_NS = SECOND


class Conflict(Takeover):
    """The rules for a director that is active and meets another."""

    _conflict_at = NEVER
    """The last sign that the peer is active too; NEVER once it has yielded."""
    _defended_at = NEVER
    _doubted_at = NEVER
    doubts_until = NEVER

    def _meet_active(self, event: HeartbeatHeard, *, fresh: bool) -> None:
        """We are active, and so says the peer."""
        if fresh:
            is_news = self._conflict_at == NEVER
            if is_news:
                self.flapping.note(self._now, self.peer.silence_ns)
            self._conflict_at = self._now
            self._alarm(AlarmCode.SPLIT_BRAIN, "both directors were active at once", until=self._now + SPLIT_SHOWN_NS)
            if self._loses_to(event):
                self._yield(f"the peer is active with the higher claim (term {event.term} against {self.term})")
                self.term = max(self.term, event.term)
                return
            if is_news:
                # It may not know a young message of ours yet, and must not wait for the next beat to believe us.
                self._send()
        else:
            # It does not hear us, so it cannot yield to our heartbeats: the wire must tell who stays.
            self._doubt()
        self._stand_firm()

    def _meet_yielded(self) -> None:
        """We are active, and the peer is not any more."""
        if self._conflict_at != NEVER:
            self._conflict_at = NEVER
            self._announce()

    def _loses_to(self, event: HeartbeatHeard) -> bool:
        settings = self.settings
        if settings.original:
            return settings.place is not Place.PRIMARY
        ours = (self.term, settings.place is Place.PRIMARY, settings.node, settings.boot)
        return (event.term, event.place is Place.PRIMARY, event.node, event.boot) > ours

    def _yield(self, cause: str) -> None:
        self._conflict_at = NEVER
        self._end_offer("the peer became active by itself", done=False)
        if self.state in LEASED:
            self._yielded_at = self._now
            self._give_up(cause)

    def _stand_firm(self) -> None:
        """Answer with a heartbeat, and announce: often enough to win, seldom enough not to be a storm."""
        self._send_soon()
        if self._now - self._defended_at >= self.settings.timing.heartbeat_ns:
            self._defended_at = self._now
            self._announce()

    def _on_probe_answered(self, event: ProbeAnswered) -> None:
        if not event.is_peer:
            self._duplicate(event.address, event.mac)
        elif self.state is State.PROBING:
            self._hold(event.address)
        elif self.state in LEASED:
            if self._heartbeats_decide():
                self._stand_firm()
            elif self._yields_by_place():
                self._alarm_split(event)
                self._yield("the peer answers for the VIP, and no heartbeat comes through: the primary stays active")
            else:
                self._alarm_split(event)
                self._stand_firm()

    def _alarm_split(self, event: ProbeAnswered) -> None:
        text = f"both directors were active at once: {event.mac} answered for {event.address}, and no heartbeat came through"
        self._alarm(AlarmCode.SPLIT_BRAIN, text, until=self._now + SPLIT_SHOWN_NS)

    def _yields_by_place(self) -> bool:
        """The primary stays; of two in one place the one with the higher node id, where we know the peer's."""
        settings, peer = self.settings, self.peer
        if peer.node and peer.place is settings.place:
            return settings.node < peer.node
        return settings.place is not Place.PRIMARY

    def _on_conflict_seen(self, event: ConflictSeen) -> None:
        if not event.is_peer or self.state is State.STANDALONE:
            self._duplicate(event.address, event.mac)
        elif self.state in LEASED:
            if not self._peer_is_fresh() or not self.peer.active:
                self._doubt()
            if self._peer_is_fresh() or not self._yields_by_place():
                self._stand_firm()

    def _doubt(self) -> None:
        """Ask the wire for our own VIP, now and at the next two beats."""
        if self._now >= self.doubts_until:
            self._doubted_at = self._now
            self._ask_wire()
        self.doubts_until = self._now + 2 * self.settings.timing.heartbeat_ns

    def _heartbeats_decide(self) -> bool:
        """Whether an answer for our VIP can be left to the heartbeats.

        Not where the peer is silent; nor where it last told us that it is active without knowing us; nor where what we hear has
        denied for half a beat what the wire says (an answer that crossed a heartbeat is younger than that).
        """
        peer = self.peer
        if not self._peer_is_fresh() or peer.stale_active_at > peer.fresh_at:
            return False
        if peer.active:
            return True
        self._doubt()
        return self._now - self._doubted_at < self.settings.timing.heartbeat_ns // 2

    def _duplicate(self, address: str, mac: str) -> None:
        """A stranger has the VIP. Never a reason to give up: announce, at most once a second, and tell a person."""
        text = f"{mac} answers for {address}: take the address off that host, or stop it answering ARP for it"
        self._alarm(AlarmCode.DUPLICATE_ADDRESS, text, until=self._now + DUPLICATE_SHOWN_NS)
        if self.state in SERVING and self._now - self._defended_at >= DEFEND_EVERY_NS:
            self._defended_at = self._now
            self._do(Announce())
