"""The panic rule: when most servers fall silent together, it is our own link (reliability fault F9)."""

from __future__ import annotations

from collections.abc import Hashable, Set
from dataclasses import dataclass
from enum import StrEnum

FEWEST_SERVERS = 3
"""With one or two servers a majority is a single server, and its failure is an ordinary one."""
FROZEN_WINDOWS = 3
"""How long a freeze lasts, in windows (interval + timeout) of the slowest check among the silent servers."""
SPENT_WINDOWS = 2
"""How long after a freeze that did not help no new one begins."""


class Phase(StrEnum):
    """CALM -> FROZEN when most fell silent; FROZEN -> CALM when they answer again; FROZEN -> SPENT -> CALM by time."""

    CALM = "calm"
    FROZEN = "frozen"
    SPENT = "spent"


class Ruling(StrEnum):
    """What becomes of a server that would go out for silence. FREEZE is the first HOLD of a storm."""

    LET_GO = "let go"
    FREEZE = "freeze"
    HOLD = "hold"


@dataclass(slots=True)
class _Silence:
    since_at: float
    window_s: float


class PanicRule:
    """Decides whether a server that fell silent may be taken out.

    `server` is a machine (its address), not a service: one dead machine is one, however many ports were checked. Only
    silence counts: a refusal or a wrong answer has come over our link, so the link is not to blame.
    """

    def __init__(self) -> None:
        self.phase = Phase.CALM
        self.since_at: float | None = None
        self.until_at: float | None = None
        self.reason = ""
        self._silent: dict[Hashable, _Silence] = {}

    def silent(self, server: Hashable, window_s: float, up: Set[Hashable], now: float) -> Ruling:
        """A server that is up would go out because it was silent. `up` are all servers that are up, this one included.

        `window_s` is the time within which every check has run and ended once: interval plus timeout.
        """
        self.look(up, now)
        if server not in self._silent:
            self._silent[server] = _Silence(since_at=now, window_s=window_s)
        if self.phase is Phase.FROZEN:
            return Ruling.HOLD
        if self.phase is Phase.SPENT:
            return Ruling.LET_GO
        population = up | self._silent.keys()
        if len(population) < FEWEST_SERVERS or len(self._silent) * 2 <= len(population):
            return Ruling.LET_GO
        longest_s = max(silence.window_s for silence in self._silent.values())
        self.phase = Phase.FROZEN
        self.since_at = now
        self.until_at = now + FROZEN_WINDOWS * longest_s
        self.reason = f"{len(self._silent)} of {len(population)} servers fell silent within {longest_s:g} s"
        return Ruling.FREEZE

    def answered(self, server: Hashable, up: Set[Hashable], now: float) -> None:
        """A server has answered a check, rightly or wrongly."""
        if self._silent.pop(server, None) is not None:
            self.look(up, now)

    def forget(self, servers: Set[Hashable]) -> None:
        """Only `servers` are watched from now on."""
        for server in self._silent.keys() - servers:
            del self._silent[server]

    def is_silent(self, server: Hashable) -> bool:
        """Whether the server belongs to the storm that is judged at the moment."""
        return server in self._silent

    def look(self, up: Set[Hashable], now: float) -> None:
        """Move on by time and by what has been answered."""
        if self.phase is Phase.FROZEN:
            assert self.until_at is not None
            assert self.since_at is not None
            if len(self._silent) * 2 <= len(up | self._silent.keys()):
                self._calm()
            elif now >= self.until_at:
                self.phase = Phase.SPENT
                self.until_at = now + (self.until_at - self.since_at) / FROZEN_WINDOWS * SPENT_WINDOWS
        elif self.phase is Phase.SPENT:
            assert self.until_at is not None
            if now >= self.until_at:
                self._calm()
                self._silent.clear()
        if self.phase is Phase.CALM:
            for server, silence in list(self._silent.items()):
                if now - silence.since_at > silence.window_s:
                    del self._silent[server]

    def _calm(self) -> None:
        self.phase = Phase.CALM
        self.since_at = self.until_at = None
        self.reason = ""
