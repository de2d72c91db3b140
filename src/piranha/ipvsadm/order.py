"""The order of listings: IPVS's keys as signed 32-bit differences, merged as the C library's qsort does.

The difference of two addresses wraps: 192.168.0.1 comes before 10.0.0.1 but after 100.0.0.1. Such an order is no order,
and where it has a circle the outcome depends on the algorithm; therefore this one is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from piranha.model.address import IPAddress
from piranha.model.service import DestinationKey, ServiceKey

T = TypeVar("T")
Key = tuple[int, ...]

_FAMILY = {4: 2, 6: 10}
_HALF = 2**31


def service_order(key: ServiceKey) -> Key:
    return (key.mark, _FAMILY[key.address.version], key.protocol, *_words(key.address), key.port)


def destination_order(key: DestinationKey) -> Key:
    return (*_words(key.address), key.port)


def in_order(items: Sequence[T], key_of: Callable[[T], Key]) -> list[T]:
    """`items` sorted by the keys."""
    if len(items) < 2:
        return list(items)
    keyed = [(key_of(item), item) for item in items]
    if all(max(column) - min(column) < _HALF for column in zip(*(key for key, _ in keyed), strict=True)):
        # Nothing wraps: any stable sort gives the same.
        return [item for _, item in sorted(keyed, key=lambda pair: pair[0])]
    return [item for _, item in _merge_sort(keyed)]


def _words(address: IPAddress) -> tuple[int, int, int, int]:
    number = int(address)
    if address.version == 4:
        return number, 0, 0, 0
    return number >> 96, number >> 64 & 0xFFFFFFFF, number >> 32 & 0xFFFFFFFF, number & 0xFFFFFFFF


def _merge_sort(items: list[tuple[Key, T]]) -> list[tuple[Key, T]]:
    if len(items) < 2:
        return items
    middle = len(items) // 2
    left, right = _merge_sort(items[:middle]), _merge_sort(items[middle:])
    merged, i, j = [], 0, 0
    while i < len(left) and j < len(right):
        if _comes_after(left[i][0], right[j][0]):
            merged.append(right[j])
            j += 1
        else:
            merged.append(left[i])
            i += 1
    return merged + left[i:] + right[j:]


def _comes_after(one: Key, other: Key) -> bool:
    for mine, theirs in zip(one, other, strict=True):
        if mine != theirs:
            return 0 < (mine - theirs) % 2**32 < _HALF
    return False
