"""When a standby takes the services over, though the other director's heartbeats come: one of them has failed there.

Rules of the original (fos and nanny of Piranha 0.8.6): a service that was available and fails, or one that was never seen and
fails twice, is a failure; then the default gateway decides whose fault it is. All services move together. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

NEVER_SEEN_FAILURES = 2
QUIET_S = 60.0
"""After a takeover for a service's sake the next one waits: a service that is broken on both must not go to and fro."""


class State(StrEnum):
    """What the standby does."""

    SERVING = "serving"  # this director has the services
    WATCHING = "watching"
    ASKING_GATEWAY = "asking the gateway"
    TAKING_OVER = "taking over"
    NETWORK_FAULT = "network fault"  # our own network is broken: no verdict until the other is heard again
    QUIET = "quiet"


class Act(StrEnum):
    """What to do now."""

    ASK_GATEWAY = "ask the gateway"
    TAKE_OVER = "take over"


@dataclass(slots=True)
class _Seen:
    available: bool = False
    failures: int = 0


@dataclass(slots=True)
class Judge:
    """The standby's judgement. Times are monotonic seconds that are passed in."""

    state: State = State.WATCHING
    why: str = ""
    _services: dict[str, _Seen] = field(default_factory=dict)
    _quiet_until: float = 0.0

    def become(self, *, serving: bool, now: float) -> None:
        """The role has changed. What was known of the services is forgotten: they are somewhere else now."""
        took_over = serving and self.state is State.TAKING_OVER
        self._services.clear()
        if took_over:
            self._quiet_until = now + QUIET_S
        self.state = State.SERVING if serving else self._at_rest(now)
        self.why = ""

    def checked(self, service: str, ok: bool, reason: str, now: float) -> Act | None:
        """A check of one service through its VIP has ended."""
        self.tick(now)
        seen = self._services.setdefault(service, _Seen())
        if ok:
            seen.available, seen.failures = True, 0
            return None
        seen.failures += 1
        if self.state is not State.WATCHING:
            return None
        if not seen.available and seen.failures < NEVER_SEEN_FAILURES:
            return None
        self.state = State.ASKING_GATEWAY
        self.why = f"{service}: {reason}"
        return Act.ASK_GATEWAY

    def gateway(self, answered: bool, now: float) -> Act | None:
        """The end of an inquiry. Without a gateway (`answered` True by the caller's choice) the partner is at fault."""
        if self.state is not State.ASKING_GATEWAY:
            return None
        if not answered:
            self.state = State.NETWORK_FAULT
            self.why = f"{self.why}; the default gateway does not answer, so the fault is ours"
            return None
        self.state = State.TAKING_OVER
        return Act.TAKE_OVER

    def refused(self, reason: str, now: float) -> None:
        """The change-over that we asked for was refused; try again after a while."""
        if self.state is State.TAKING_OVER:
            self._quiet_until = now + QUIET_S
            self.state = State.QUIET
            self.why = f"{self.why}; the change-over was refused: {reason}"

    def heard_peer(self, now: float) -> None:
        """A heartbeat has come over the public link: our network works."""
        if self.state is State.NETWORK_FAULT:
            self._services.clear()
            self.state = self._at_rest(now)
            self.why = ""

    def tick(self, now: float) -> None:
        if self.state is State.QUIET and now >= self._quiet_until:
            self._services.clear()
            self.state = State.WATCHING

    def failures(self) -> Iterable[tuple[str, int]]:
        """Services that fail, with their failures in a row."""
        return ((name, seen.failures) for name, seen in self._services.items() if seen.failures)

    def _at_rest(self, now: float) -> State:
        return State.QUIET if now < self._quiet_until else State.WATCHING
