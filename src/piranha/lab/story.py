"""The demonstration as a story in acts, decided from the answers that clients get. Pure: `(event, now) -> commands`.

1. *balance*: every web server answers, in turn where the scheduler is rr.
2. *failure*: a web server is stopped; soon nobody asks it any more and no request fails.
3. *return*: it is started again and takes part again.

An act ends when it came true or when its time is over; the first act that does not come true ends the story.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Answered:
    """A request through the VIP was answered by this server."""

    server: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A request through the VIP got no answer."""

    reason: str


Event = Answered | Failed


@dataclass(frozen=True, slots=True)
class StopServer:
    server: str


@dataclass(frozen=True, slots=True)
class StartServer:
    server: str


Command = StopServer | StartServer


class Act(StrEnum):
    """Where the story stands."""

    BALANCE = "balance"
    FAILURE = "failure"
    RETURN = "return"
    DONE = "done"


_NEXT = {Act.BALANCE: Act.FAILURE, Act.FAILURE: Act.RETURN, Act.RETURN: Act.DONE}

TITLES = {
    Act.BALANCE: "requests are balanced over the web servers",
    Act.FAILURE: "a web server fails, its requests go to the others",
    Act.RETURN: "the web server returns and takes part again",
}

TIME_LIMITS_S = {Act.BALANCE: 40.0, Act.FAILURE: 60.0, Act.RETURN: 90.0}
"""The article's `timeout = 6` and `reentry = 15` need up to about 20 seconds each to notice a failure and a return."""

ROUNDS = 5
"""An act has come true when this many answers for every server that should answer went as they should."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """An act that is over. `noticed_s` is how long the pool took from the stop or start until it acted on it."""

    act: Act
    came_true: bool
    took_s: float
    noticed_s: float | None
    why: str


@dataclass(frozen=True, slots=True)
class _Outcome:
    at: float
    server: str | None


class Story:
    """Feed it every answer; do what it says. `victim` is the server that is stopped and started."""

    def __init__(self, servers: tuple[str, ...], *, in_turn: bool, now: float) -> None:
        if len(servers) < 2:
            raise ValueError("a story needs two servers")
        self.servers = servers
        self.victim = servers[0]
        self.counts: Counter[str] = Counter()
        self.failures = 0
        self.last_failure = ""
        self.finished: list[Finished] = []
        self.act = Act.BALANCE
        self._in_turn = in_turn
        self._began_at = now
        self._recent: deque[_Outcome] = deque(maxlen=ROUNDS * len(servers))

    @property
    def over(self) -> bool:
        """Whether all acts came true, or one did not."""
        return self.act is Act.DONE or any(not act.came_true for act in self.finished)

    @property
    def came_true(self) -> bool:
        return self.act is Act.DONE

    def in_act_s(self, now: float) -> float:
        """How long the present act has been going on."""
        return now - self._began_at

    def receive(self, event: Event, now: float) -> list[Command]:
        """Take one answer and say what is to be done; nothing once the story is over."""
        if isinstance(event, Answered):
            self.counts[event.server] += 1
            self._recent.append(_Outcome(now, event.server))
        else:
            self.failures += 1
            self.last_failure = event.reason
            self._recent.append(_Outcome(now, None))
        if self.over:
            return []
        if self._act_is_true():
            return self._close(now, came_true=True, why=self._what_was_seen())
        if self.in_act_s(now) > TIME_LIMITS_S[self.act]:
            return self._close(now, came_true=False, why=self._what_was_seen())
        return []

    def _expected(self) -> tuple[str, ...]:
        return tuple(s for s in self.servers if s != self.victim) if self.act is Act.FAILURE else self.servers

    def _act_is_true(self) -> bool:
        expected = self._expected()
        size = ROUNDS * len(expected)
        latest = list(self._recent)[-size:]
        if len(latest) < size or any(outcome.server is None for outcome in latest):
            return False
        names = [outcome.server for outcome in latest]
        if set(names) != set(expected):
            return False
        if self._in_turn and len(expected) > 1:
            return all(len(set(names[i : i + len(expected)])) == len(expected) for i in range(size - len(expected) + 1))
        return True

    def _noticed_s(self) -> float | None:
        """From the beginning of the act to the first answer that is as it should be from then on."""
        if self.act is Act.BALANCE:
            return None
        size = ROUNDS * len(self._expected())
        return list(self._recent)[-size].at - self._began_at

    def _what_was_seen(self) -> str:
        seen = Counter(outcome.server or "no answer" for outcome in self._recent)
        return f"the last {len(self._recent)}: " + ", ".join(f"{name} {n}" for name, n in sorted(seen.items()))

    def _close(self, now: float, *, came_true: bool, why: str) -> list[Command]:
        self.finished.append(
            Finished(
                act=self.act,
                came_true=came_true,
                took_s=now - self._began_at,
                noticed_s=self._noticed_s() if came_true else None,
                why=why,
            )
        )
        if not came_true:
            return []
        self.act = _NEXT[self.act]
        self._recent.clear()
        self._began_at = now
        if self.act is Act.FAILURE:
            return [StopServer(self.victim)]
        if self.act is Act.RETURN:
            return [StartServer(self.victim)]
        return []
