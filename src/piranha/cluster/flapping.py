"""Hold-down: a pair whose link comes and goes must not hand the role to and fro with it (F29)."""

from __future__ import annotations

from collections import deque

from piranha.cluster.timing import SECOND

CONFLICTS = 3
WINDOW_NS = 60 * SECOND
LONGEST_NS = 30 * SECOND


class Flapping:
    """Remembers silences that turned out to be no death: the peer came back, and both were active.

    From the third within a minute on, a takeover needs twice the longest of these silences. A single split is not punished,
    and a peer that really dies meanwhile is missed for half a minute at most.
    """

    __slots__ = ("_conflicts",)

    def __init__(self) -> None:
        self._conflicts: deque[tuple[int, int]] = deque(maxlen=16)

    def note(self, now: int, silence_ns: int) -> None:
        """Both were active; the peer had been silent for so long."""
        self._conflicts.append((now, silence_ns))

    def needed_ns(self, now: int, dead_ns: int) -> int:
        """The silence that a takeover needs now."""
        if not self._conflicts:
            return dead_ns
        while self._conflicts and now - self._conflicts[0][0] > WINDOW_NS:
            self._conflicts.popleft()
        if len(self._conflicts) < CONFLICTS:
            return dead_ns
        longest_ns = max(silence_ns for _, silence_ns in self._conflicts)
        return max(dead_ns, min(2 * longest_ns, LONGEST_NS))
