"""The demonstration as a story in acts, decided from what clients get and what the directors say. Pure: `(event, now) -> commands`.

1. *balance*: every web server answers, in turn where the scheduler is rr.
2. *failure*: a web server is stopped; soon nobody asks it any more and no request fails.
3. *return*: it is started again and takes part again.

With two directors the article's other scenarios follow:

4. *downloads*: clients open downloads that do not end.
5. *takeover*: the active director loses its power; the other one takes over, and the downloads go on.
6. *comeback*: it boots; it becomes the backup, has the connections, and nobody notices anything.
7. *switch*: a person gives it the active role again; nothing is lost.

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """How the pair stood after a request: who is active, whether the other one is fit to take over, what the client saw.

    The client's figures count from the beginning of the act: the longest `gap_ms` without service, the probes that were `lost`, the
    downloads that are open and those of them that went on.
    """

    active: tuple[str, ...]
    backup_fit: bool
    gap_ms: float
    lost: int
    downloads: int
    moving: int
    broken: tuple[str, ...] = ()


Event = Answered | Failed | Looked


@dataclass(frozen=True, slots=True)
class StopServer:
    server: str


@dataclass(frozen=True, slots=True)
class StartServer:
    server: str


@dataclass(frozen=True, slots=True)
class OpenDownloads:
    """They stay open to the end."""


@dataclass(frozen=True, slots=True)
class PowerOff:
    director: str


@dataclass(frozen=True, slots=True)
class PowerOn:
    director: str


@dataclass(frozen=True, slots=True)
class SwitchTo:
    """The planned change-over, to this director."""

    director: str


Command = StopServer | StartServer | OpenDownloads | PowerOff | PowerOn | SwitchTo


class Act(StrEnum):
    """Where the story stands."""

    BALANCE = "balance"
    FAILURE = "failure"
    RETURN = "return"
    DOWNLOADS = "downloads"
    TAKEOVER = "takeover"
    COMEBACK = "comeback"
    SWITCH = "switch"
    DONE = "done"


TITLES = {
    Act.BALANCE: "requests are balanced over the web servers",
    Act.FAILURE: "a web server fails, its requests go to the others",
    Act.RETURN: "the web server returns and takes part again",
    Act.DOWNLOADS: "clients open downloads that do not end",
    Act.TAKEOVER: "the active director loses its power, the downloads go on through the other",
    Act.COMEBACK: "the director boots, has the connections, and is the backup",
    Act.SWITCH: "it is given the active role again, and nothing is lost",
}
ONE_DIRECTOR = (Act.BALANCE, Act.FAILURE, Act.RETURN)
TWO_DIRECTORS = (*ONE_DIRECTOR, Act.DOWNLOADS, Act.TAKEOVER, Act.COMEBACK, Act.SWITCH)

TIME_LIMITS_S = {
    Act.BALANCE: 40.0,
    Act.FAILURE: 60.0,
    Act.RETURN: 90.0,
    Act.DOWNLOADS: 30.0,
    Act.TAKEOVER: 60.0,
    Act.COMEBACK: 90.0,
    Act.SWITCH: 30.0,
}
"""The article's `timeout = 6` and `reentry = 15` need up to about 20 seconds each to notice a failure and a return, its `deadtime`
18 for a takeover."""

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
    """Feed it every answer, with two directors a `Looked` after each; do what it says.

    `victim` is the server that is stopped and started, `fallen` the director that loses its power.
    """

    def __init__(
        self, servers: tuple[str, ...], *, in_turn: bool, now: float, directors: tuple[str, ...] = ("lb1",)
    ) -> None:
        if len(servers) < 2:
            raise ValueError("a story needs two servers")
        self.servers = servers
        self.directors = directors
        self.acts = TWO_DIRECTORS if len(directors) == 2 else ONE_DIRECTOR
        self.victim = servers[0]
        self.fallen = directors[0]
        self.counts: Counter[str] = Counter()
        self.failures = 0
        self.last_failure = ""
        self.finished: list[Finished] = []
        self.act = Act.BALANCE
        self.look: Looked | None = None
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

    @property
    def downloads_are_open(self) -> bool:
        """Whether the client keeps downloads open now."""
        return len(self.directors) == 2 and self.act not in ONE_DIRECTOR

    def in_act_s(self, now: float) -> float:
        """How long the present act has been going on."""
        return now - self._began_at

    def receive(self, event: Event, now: float) -> list[Command]:
        """Take one answer and say what is to be done; nothing once the story is over."""
        if isinstance(event, Looked):
            self.look = event
        elif isinstance(event, Answered):
            self.counts[event.server] += 1
            self._recent.append(_Outcome(now, event.server))
        else:
            self.failures += 1
            self.last_failure = event.reason
            self._recent.append(_Outcome(now, None))
        if self.over:
            return []
        if self._act_is_true():
            return self._close(now, came_true=True)
        if self.in_act_s(now) > TIME_LIMITS_S[self.act]:
            return self._close(now, came_true=False)
        return []

    # ---- whether it is true ----

    def _expected(self) -> tuple[str, ...]:
        return tuple(s for s in self.servers if s != self.victim) if self.act is Act.FAILURE else self.servers

    def _act_is_true(self) -> bool:
        return self._service_is_right() and self._pair_is_right()

    def _service_is_right(self) -> bool:
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

    def _pair_is_right(self) -> bool:
        if len(self.directors) < 2:
            return True
        look = self.look
        if look is None:
            return False
        if self.downloads_are_open and (look.broken or not 0 < look.downloads == look.moving):
            return False
        if self.act in (*ONE_DIRECTOR, Act.DOWNLOADS):
            return look.backup_fit and len(look.active) == 1
        others = tuple(name for name in self.directors if name != self.fallen)
        if self.act is Act.SWITCH:
            return look.active == (self.fallen,) and look.lost == 0
        return look.active == others and (self.act is Act.TAKEOVER or look.backup_fit)

    # ---- what is said of it ----

    def _noticed_s(self) -> float | None:
        """From the beginning of the act to the first answer that is as it should be from then on."""
        if self.act not in (Act.FAILURE, Act.RETURN):
            return None
        size = ROUNDS * len(self._expected())
        return list(self._recent)[-size].at - self._began_at

    def _what_was_seen(self) -> str:
        seen = Counter(outcome.server or "no answer" for outcome in self._recent)
        requests = f"the last {len(self._recent)}: " + ", ".join(f"{name} {n}" for name, n in sorted(seen.items()))
        look = self.look
        if not self.downloads_are_open or look is None:
            return requests
        active = " and ".join(look.active) or "nobody"
        broken = f" ({'; '.join(look.broken)})" if look.broken else ""
        return (
            f"{active} active, {look.moving} of {look.downloads + len(look.broken)} downloads went on{broken}, "
            f"without service {look.gap_ms:.0f} ms, {look.lost} probes lost; {requests}"
        )

    def _close(self, now: float, *, came_true: bool) -> list[Command]:
        self.finished.append(
            Finished(
                act=self.act,
                came_true=came_true,
                took_s=now - self._began_at,
                noticed_s=self._noticed_s() if came_true else None,
                why=self._what_was_seen(),
            )
        )
        if not came_true:
            return []
        place = self.acts.index(self.act) + 1
        self.act = self.acts[place] if place < len(self.acts) else Act.DONE
        self._recent.clear()
        self._began_at = now
        commands = self._opening()
        self.look = None
        return commands

    def _opening(self) -> list[Command]:
        """What an act begins with."""
        match self.act:
            case Act.FAILURE:
                return [StopServer(self.victim)]
            case Act.RETURN:
                return [StartServer(self.victim)]
            case Act.DOWNLOADS:
                return [OpenDownloads()]
            case Act.TAKEOVER:
                if self.look is not None and self.look.active:
                    self.fallen = self.look.active[0]
                return [PowerOff(self.fallen)]
            case Act.COMEBACK:
                return [PowerOn(self.fallen)]
            case Act.SWITCH:
                return [SwitchTo(self.fallen)]
            case _:
                return []
