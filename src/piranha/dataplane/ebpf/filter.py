"""The address filter's writer: which addresses concern us, two bits each (see bpf/filter.h)."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from piranha.dataplane.ebpf.abi import FilterBit, filter_position
from piranha.model.address import IPAddress


class AddressFilter:
    """Counts who uses each bit, so that removing one address never hides another that shares its place."""

    def __init__(self, lines: NDArray[np.void]) -> None:
        self._words: NDArray[np.uint64] = lines["word"].reshape(-1)
        self._users: Counter[tuple[int, FilterBit]] = Counter()

    def add(self, address: IPAddress, bit: FilterBit) -> None:
        position = filter_position(address)
        self._users[position, bit] += 1
        self._set(position, bit, True)

    def remove(self, address: IPAddress, bit: FilterBit) -> None:
        position = filter_position(address)
        self._users[position, bit] -= 1
        if self._users[position, bit] <= 0:
            del self._users[position, bit]
            self._set(position, bit, False)

    def settle(self) -> None:
        """Clear bits of an earlier life that nobody uses now."""
        words = np.zeros_like(self._words)
        for position, bit in self._users:
            words[position * 2 // 64] |= np.uint64(int(bit) << position * 2 % 64)
        self._words[:] = words

    def _set(self, position: int, bit: FilterBit, on: bool) -> None:
        word, shift = position * 2 // 64, position * 2 % 64
        mask = int(bit) << shift
        old = int(self._words[word])
        new = old | mask if on else old & ~mask
        if new != old:
            self._words[word] = new
