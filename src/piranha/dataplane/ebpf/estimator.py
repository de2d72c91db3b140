"""IPVS's estimator: every two seconds a quarter of the difference between sample and rate is added (ip_vs_est.c).

Fixed point as there: connections and packets in 1/1024, bytes in 1/32; shown rounded.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from piranha.model.service import Rates

PERIOD_S = 2.0
_FIELDS = ("conns", "in_packets", "out_packets", "in_bytes", "out_bytes")
_SHIFT = np.array([10, 10, 10, 5, 5])


class Estimator:
    """Rates of rows of counters, kept by row number; a row that was never sampled has rate 0."""

    def __init__(self) -> None:
        self._last: NDArray[np.int64] = np.zeros((0, len(_FIELDS)), np.int64)
        self._rate: NDArray[np.int64] = np.zeros((0, len(_FIELDS)), np.int64)

    def sample(self, counters: Mapping[str, NDArray[np.int64]] | NDArray[np.void]) -> None:
        """Take the counters of this moment; to be called every PERIOD_S."""
        now = np.stack([np.asarray(counters[name], np.int64) for name in _FIELDS], axis=1)
        known = min(len(now), len(self._last))
        rate = np.zeros_like(now)
        delta = np.zeros_like(now)
        delta[:known] = np.maximum(now[:known] - self._last[:known], 0)
        rate[:known] = self._rate[:known]
        # A sample of two seconds: its rate a second in fixed point is delta << (shift - 1).
        rate += ((delta << (_SHIFT - 1)) - rate) >> 2
        self._last, self._rate = now, rate

    def forget(self, row: int) -> None:
        """The row begins anew."""
        if row < len(self._rate):
            self._rate[row] = self._last[row] = 0

    def of(self, row: int) -> Rates:
        if row >= len(self._rate):
            return Rates()
        half = 1 << (_SHIFT - 1)
        return Rates(*((self._rate[row] + half) >> _SHIFT).tolist())

    def total(self, rows: list[int]) -> Rates:
        """The rate of several rows together."""
        known = [row for row in rows if row < len(self._rate)]
        half = 1 << (_SHIFT - 1)
        return Rates(*((self._rate[known].sum(axis=0) + half) >> _SHIFT).tolist()) if known else Rates()
