"""The probe before a takeover: who has the VIP? A live active answers, a frozen one cannot, because its gate is shut."""

from __future__ import annotations

from piranha.cluster.timing import PROBE_EVERY_NS, PROBE_NS, PROBES


class ProbeWindow:
    """One round of questions: `PROBES` of them, over at least `PROBE_NS`, and longer by what we ourselves were held up.

    The last question leaves its answer the same time in any case.
    """

    __slots__ = ("_next_at", "_sent", "ends_at")

    def __init__(self, now: int) -> None:
        self._sent = 0
        self._next_at = now
        self.ends_at = now + PROBE_NS

    def is_due(self, now: int) -> bool:
        """Whether a question is to be sent now; counts it."""
        if self._sent >= PROBES or now < self._next_at:
            return False
        self._sent += 1
        self._next_at = now + PROBE_EVERY_NS
        answer_time_ns = PROBE_NS - (PROBES - 1) * PROBE_EVERY_NS
        left_ns = (PROBES - self._sent) * PROBE_EVERY_NS + answer_time_ns
        self.ends_at = max(self.ends_at, now + left_ns)
        return True

    def extend(self, lag_ns: int) -> None:
        self.ends_at += lag_ns

    def is_over(self, now: int) -> bool:
        return self._sent >= PROBES and now >= self.ends_at

    @property
    def next_at(self) -> int:
        return self._next_at if self._sent < PROBES else self.ends_at
