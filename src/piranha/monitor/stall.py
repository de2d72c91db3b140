"""Our own lateness: a check that was waiting while we were not running proves nothing about its server."""

from __future__ import annotations

TICK_S = 0.02
TOLERANCE_S = 0.05


class StallWatch:
    """Knows when this process was not running, from ticks that should come every `TICK_S`.

    A tick that is more than `TOLERANCE_S` late marks the time up to it as a stall. Silence of up to
    `TOLERANCE_S + TICK_S` is normal.
    """

    def __init__(self) -> None:
        self._expected_at: float | None = None
        self._last_stall_at = float("-inf")
        self.count = 0
        self.longest_s = 0.0

    def tick(self, now: float) -> bool:
        """A tick has come; the next is expected `TICK_S` later. True when this one ends a stall."""
        late_s = 0.0 if self._expected_at is None else now - self._expected_at
        stalled = late_s > TOLERANCE_S
        if stalled:
            self._last_stall_at = now
            self.count += 1
            self.longest_s = max(self.longest_s, late_s)
        self._expected_at = now + TICK_S
        return stalled

    def rest(self) -> None:
        """No more ticks for now: nothing is in flight."""
        self._expected_at = None

    def overlaps(self, started_at: float, now: float) -> bool:
        """Whether a stall fell into the time from `started_at` to `now`; also one whose late tick is still to come."""
        if self._last_stall_at > started_at:
            return True
        return self._expected_at is not None and now - self._expected_at > TOLERANCE_S
