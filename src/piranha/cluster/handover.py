"""Planned changes of the active role: switch, maintenance, stop, failback. Nothing is lost, because each step waits for the other director.

    active                                   backup
    OFFERING   -- OFFER ------------------>  raises the addresses, gate shut
               <------------------ WILLING --  WILLING
    RELEASING  -- TAKE OVER -------------->  claims, announces           ACTIVE
    forwards for at most GRACE_NS more,
    shuts the gate   <----------- active --
    BACKUP

A backup that wants the role begins at WILLING, with GIVE UP. What gets lost is said again; each wait is bounded. An original Piranha
knows none of these words: it takes over when it hears that we have stopped.
"""

from __future__ import annotations

from piranha.cluster.commands import (
    Answer,
    ClaimLease,
    DropLease,
    LowerAddresses,
    RaiseAddresses,
    RunCommand,
    StopAnnouncing,
    Stopped,
    TellLvsd,
)
from piranha.cluster.events import Ask, Question
from piranha.cluster.heartbeat import Flag
from piranha.cluster.ownership import GRACE_NS, LEASED, Ownership, State
from piranha.cluster.peer import NEVER
from piranha.cluster.settings import Settings
from piranha.cluster.timing import MILLISECOND, SECOND

REPEAT_NS = 20 * MILLISECOND
"""How often a word of a planned change is said again; TAKE OVER at first after 1 ms, within the grace."""
OFFER_AGAIN_NS = 2 * SECOND
"""An offer that we make by ourselves, and that failed, is made again after this."""


class Handover(Ownership):
    """Both sides of a planned change."""

    def __init__(self, settings: Settings, now: int) -> None:
        super().__init__(settings, now)
        self._asked: Ask | None = None
        """The question that the change under way answers."""
        self._stopping = False
        self._deadline = NEVER
        """When an OFFERING or WILLING director stops waiting."""
        self._repeat_at = NEVER
        self._offered_at = NEVER
        self._wants = False
        """A WILLING director that began by itself."""
        self._lvsd_gone_at = now

    # ---- what may be done ----

    def _reason_not_to_hand_over(self, *, urgent: bool = False) -> str:
        """Why the peer cannot have the role; empty where it can. Urgently also without our connections."""
        peer = self.peer
        if self.settings.alone:
            return "there is no other director"
        if not self._peer_is_fresh():
            return "the other director is not heard"
        if Flag.MAINTENANCE in peer.flags:
            return "the other director is in maintenance: end it there with `piranha maintenance off`"
        if not peer.can_serve:
            return "the other director is not ready: see `piranha status` there"
        if Flag.SYNCED not in peer.flags and not urgent:
            return "the other director has not got the connections yet: try again in a minute"
        return ""

    def _reason_not_to_want(self) -> str:
        if self.settings.original:
            return "the other director is an original Piranha, which cannot be asked: stop pulse there"
        if self.settings.alone:
            return "there is no other director"
        if not self.peer.is_active(self._now, self.settings.timing.dead_ns):
            return "the other director is not active"
        if not self.is_synced:
            return "this director has not got the connections yet: try again in a minute"
        return self.reason_not_to_serve()

    # ---- questions ----

    def _on_ask(self, ask: Ask) -> None:
        if ask.question is Question.STOP:
            self._stop(ask)
        elif self.state in (State.OFFERING, State.RELEASING, State.WILLING) or self._asked is not None:
            self._answer(ask, done=False, text="a change of the active director is under way: try again in a second")
        elif ask.question is Question.MAINTENANCE_OFF:
            self._maintenance = False
            self._answer(ask, done=True, text="maintenance has ended")
            self._send_soon()
        elif self.state is State.STOPPED:
            self._answer(ask, done=False, text="pulse is stopping")
        elif self.state in (State.ACTIVE, State.STANDALONE):
            reason = self._reason_not_to_hand_over()
            if reason:
                self._answer(ask, done=False, text=f"not done: {reason}")
            else:
                self._offer(f"{ask.question} was asked for", ask)
        elif ask.question is Question.MAINTENANCE_ON:
            self._maintenance = True
            self._listen("in maintenance")
            self._answer(ask, done=True, text="in maintenance: this director does not take over")
            self._send_soon()
        else:
            reason = self._reason_not_to_want()
            if reason:
                self._answer(ask, done=False, text=f"not done: {reason}")
            else:
                self._want("switch was asked for", ask)

    def _answer(self, ask: Ask, *, done: bool, text: str) -> None:
        self._do(Answer(number=ask.number, done=done, text=text))

    def _settle(self, text: str, *, done: bool) -> None:
        """The change that was asked for has come to its end."""
        asked, self._asked = self._asked, None
        if asked is not None:
            self._answer(asked, done=done, text=text)

    # ---- the active side ----

    def _offer(self, cause: str, ask: Ask | None = None) -> None:
        self._asked = ask
        self._offered_at = self._now
        if self.settings.original:
            self._release_to_original(cause)
            return
        self._enter(State.OFFERING, cause)
        self._deadline = self._now + self.settings.handover_ns
        self._repeat_at = self._now + REPEAT_NS
        self._send()

    def _end_offer(self, text: str, *, done: bool) -> None:
        """The offer led to nothing; we go on as we are."""
        if self.state is State.OFFERING:
            self._enter(State.ACTIVE, text)
        if self._stopping:
            self._leave()
        else:
            self._settle(text if done else f"not done: {text}", done=done)

    def _release_to_original(self, cause: str) -> None:
        """It takes over as soon as it hears that we have stopped."""
        self._into_maintenance()
        self._give_up(cause)
        self._handing_over_until = self._now + 2 * self.settings.timing.dead_ns

    def _release(self, cause: str) -> None:
        """The peer is willing: its turn. We forward for the grace, so that no packet meets two shut gates."""
        self._into_maintenance()
        self._announcements.cancel()
        self._enter(State.RELEASING, cause)
        self.lease_until = self._now + GRACE_NS
        self._handing_over_until = self._now + self.settings.timing.dead_ns
        self._silent_since = self._now
        self._repeat_at = self._now + MILLISECOND
        self._do(ClaimLease(until=self.lease_until), StopAnnouncing())
        self._send()

    def _into_maintenance(self) -> None:
        if self._asked is not None and self._asked.question is Question.MAINTENANCE_ON:
            self._maintenance = True

    def _end_release(self) -> None:
        """The grace is over, or the peer has taken over."""
        self._enter(State.BACKUP, self.cause)
        self.lease_until = 0
        self._do(
            DropLease(),
            LowerAddresses(),
            TellLvsd(role=self.role, term=self.term, cause=self.cause),
            RunCommand(active=False),
        )
        if self._stopping:
            self._leave()

    def _peer_took_over(self) -> None:
        """The peer is active: whatever we were handing over has arrived."""
        if self.state is State.RELEASING:
            self._end_release()
        self._handing_over_until = NEVER
        if self._asked is not None and self.state is State.BACKUP:
            text = (
                "in maintenance: the other director is active" if self._maintenance else "the other director is active"
            )
            self._settle(text, done=True)

    # ---- the backup's side ----

    def _be_willing(self) -> None:
        """The active one offers the role."""
        if self.state is State.WILLING:
            self._send_soon()
        elif self.state in (State.BACKUP, State.PROBING) and not self.reason_not_to_serve():
            self._wait_for_the_word("the other director offers the active role")

    def _want(self, cause: str, ask: Ask | None = None) -> None:
        """Ask the active one for the role."""
        self._asked = ask
        self._wants = True
        self._wait_for_the_word(cause)

    def _wait_for_the_word(self, cause: str) -> None:
        self._probe = None
        self._enter(State.WILLING, cause)
        self._deadline = self._now + self.settings.handover_ns
        self._repeat_at = self._now + REPEAT_NS
        self._do(RaiseAddresses())
        self._send()

    def own_flags(self) -> Flag:
        flags = super().own_flags()
        return flags | Flag.GIVE_UP if self.state is State.WILLING and self._wants else flags

    def _take_over_at_the_word(self) -> None:
        self._wants = False
        self._claim(f"the other director handed over: {self.cause}" if self.state is State.WILLING else "handed over")
        self._settle("this director is active", done=True)

    # ---- the end ----

    def _stop(self, ask: Ask) -> None:
        self._settle("not done: pulse is stopping", done=False)
        self._asked = ask
        self._stopping = True
        can_offer = not self.settings.original and not self._reason_not_to_hand_over(urgent=True)
        if self.state is State.ACTIVE and can_offer:
            self._offer("pulse is stopping", ask)
        elif self.state not in (State.OFFERING, State.RELEASING):
            self._leave()

    def _leave(self) -> None:
        """Say farewell, whatever the state. Said twice, because nobody repeats it."""
        if self.state in LEASED or self.state in (State.STANDALONE, State.RELEASING):
            self._give_up("pulse is stopping", State.STOPPED)
        elif self.state is not State.STOPPED:
            self._listen("pulse is stopping")
            self._enter(State.STOPPED, "pulse is stopping")
        if not self.settings.alone:
            self._send()
            self._send()
        self._settle("stopped", done=True)
        self._do(Stopped())

    # ---- time ----

    def _tick_handover(self) -> None:
        now = self._now
        if self.state is State.RELEASING and now >= self.lease_until:
            self._end_release()
        elif self.state is State.OFFERING and now >= self._deadline:
            self._end_offer("the other director did not answer the offer", done=False)
        elif self.state is State.WILLING and (now >= self._deadline or not self._peer_is_fresh()):
            self._wants = False
            self._listen("the other director did not hand over")
            self._settle("not done: the other director did not hand over", done=False)
        elif self.state is State.ACTIVE:
            self._leave_the_better_one_to_it()
        if self._is_repeating() and now >= self._repeat_at:
            self._repeat_at = now + (REPEAT_NS if self.state is not State.RELEASING else 2 * MILLISECOND)
            self._send()
        if self._asked is not None and self.state is State.BACKUP and now >= self._handing_over_until:
            self._settle("not done: the other director did not take over", done=False)

    def _is_repeating(self) -> bool:
        if self.state in (State.OFFERING, State.WILLING, State.RELEASING):
            return True
        return self.state is State.BACKUP and self._now < self._handing_over_until and not self.settings.original

    def _leave_the_better_one_to_it(self) -> None:
        """Hand over without being asked, where the peer can serve better than we."""
        if self._now - self._offered_at < OFFER_AGAIN_NS or self._reason_not_to_hand_over(urgent=True):
            return
        gone = not self._ready and self._now - self._lvsd_gone_at >= self.settings.lvsd_wait_ns
        lacks_link = Flag.LINK_DOWN in self.own_flags() and Flag.LINK_DOWN not in self.peer.flags
        if self.settings.original:
            return
        if not self.can_ask or lacks_link:
            # Whether lvsd runs does not matter here: nobody can be served.
            self._offer("a watched interface has no carrier here")
        elif gone:
            self._offer("lvsd has been gone for too long here")
