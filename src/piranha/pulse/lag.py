"""How late the loop wakes: the figures that say whether this host can keep its promises."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

_KEPT = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class LagFigures:
    """Milliseconds over the latest wake-ups; `worst_ms` since the start."""

    p50_ms: float
    p99_ms: float
    max_ms: float
    worst_ms: float
    samples: int


class LagMeter:
    """Remembers the latest `_KEPT` lags."""

    def __init__(self) -> None:
        self._lags: deque[int] = deque(maxlen=_KEPT)
        self._worst = 0

    def note(self, lag_ns: int) -> None:
        self._lags.append(lag_ns)
        self._worst = max(self._worst, lag_ns)

    def figures(self) -> LagFigures:
        ordered = sorted(self._lags)
        if not ordered:
            return LagFigures(p50_ms=0, p99_ms=0, max_ms=0, worst_ms=0, samples=0)
        return LagFigures(
            p50_ms=_ms(ordered[len(ordered) // 2]),
            p99_ms=_ms(ordered[len(ordered) * 99 // 100]),
            max_ms=_ms(ordered[-1]),
            worst_ms=_ms(self._worst),
            samples=len(ordered),
        )


def _ms(nanoseconds: int) -> float:
    return round(nanoseconds / 1e6, 3)
