"""When an active director announces its VIPs: in a burst after each claim and each conflict, then every minute."""

from __future__ import annotations

from piranha.cluster.timing import MILLISECOND, SECOND

BURST_NS = (0, 100 * MILLISECOND, 300 * MILLISECOND, 1000 * MILLISECOND)
EVERY_NS = 60 * SECOND


class Announcements:
    """The times of the announcements. Empty while not active: what was planned is cancelled, not sent late."""

    __slots__ = ("_began_at", "_step", "next_at")

    def __init__(self) -> None:
        self.next_at: int | None = None
        self._began_at = 0
        self._step = 0

    def begin(self, now: int) -> None:
        """A burst from now on; begins anew where one is under way."""
        self._began_at, self._step, self.next_at = now, 0, now

    def cancel(self) -> None:
        self.next_at = None

    def hasten(self, at: int) -> None:
        """The next one not later than that."""
        if self.next_at is not None:
            self.next_at = min(self.next_at, at)

    def is_due(self, now: int) -> bool:
        """Whether to announce now; then the next time is set. Missed ones are skipped."""
        if self.next_at is None or now < self.next_at:
            return False
        while self._step + 1 < len(BURST_NS):
            self._step += 1
            self.next_at = self._began_at + BURST_NS[self._step]
            if self.next_at > now:
                return True
        self.next_at = now + EVERY_NS
        return True
