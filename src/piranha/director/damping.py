"""Flap damping: a server that keeps failing must stay good for a while before it gets connections. Pure."""

from __future__ import annotations

from collections import deque

MOST_FACTOR = 8
"""The hold doubles with each further failure, up to this many times its length."""
_KEPT = 32


class Damping:
    """The failures of one server in one service."""

    def __init__(self) -> None:
        self._failures: deque[float] = deque(maxlen=_KEPT)

    def failed(self, now: float) -> None:
        """It went from up to down."""
        self._failures.append(now)

    def count(self, now: float, window_s: float) -> int:
        """How often it failed within the last `window_s`."""
        return sum(at > now - window_s for at in self._failures)

    def held_until(self, up_since: float, *, limit: int, window_s: float, hold_s: float) -> float:
        """When a server that is good since `up_since` may come in; `up_since` itself where nothing holds it.

        Fewer than `limit` failures in the window before do no harm; each one above `limit` doubles the hold.
        """
        if limit <= 0:
            return up_since
        above = self.count(up_since, window_s) - limit
        return up_since if above < 0 else up_since + hold_s * min(2**above, MOST_FACTOR)
