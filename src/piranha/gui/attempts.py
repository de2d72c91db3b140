"""Failed logins slow their source down: by address and by name. A core: time comes in."""

from __future__ import annotations

from dataclasses import dataclass

FREE = 5
"""Failures without a wait; each one more doubles it."""
LONGEST_WAIT_S = 60.0
FORGOTTEN_S = 15 * 60.0
MOST = 10_000


@dataclass(slots=True)
class _Tally:
    failures: int = 0
    until: float = 0.0
    last_at: float = 0.0


class Attempts:
    """Counts for at most `MOST` sources; the oldest is forgotten first."""

    def __init__(self) -> None:
        self._tallies: dict[str, _Tally] = {}

    def wait_s(self, sources: tuple[str, ...], now: float) -> float:
        """How long the next attempt of these has to wait; 0 where it may come."""
        tallies = (self._tallies.get(source) for source in sources)
        return max((max(0.0, tally.until - now) for tally in tallies if tally is not None), default=0.0)

    def failed(self, sources: tuple[str, ...], now: float) -> None:
        for source in sources:
            tally = self._tallies.pop(source, None) or _Tally()
            if now - tally.last_at > FORGOTTEN_S:
                tally = _Tally()
            tally.failures += 1
            tally.last_at = now
            beyond = tally.failures - FREE
            if beyond >= 0:
                tally.until = now + min(LONGEST_WAIT_S, 2.0 ** min(beyond, 16))
            self._tallies[source] = tally
        while len(self._tallies) > MOST:
            del self._tallies[next(iter(self._tallies))]

    def succeeded(self, sources: tuple[str, ...]) -> None:
        for source in sources:
            self._tallies.pop(source, None)
