"""Regions for schedulers' tables: never two at one place, never reused while packets may read them, none lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from piranha.base.errors import PiranhaError
from piranha.dataplane.ebpf.schedulers.base import SlotTable
from piranha.dataplane.ebpf.slots import GRACE_S, SlotPool


def pool_of(words: int) -> tuple[SlotPool, np.ndarray]:
    array = np.zeros(words, "<u4")
    return SlotPool(array), array


def test_what_is_written_is_read() -> None:
    pool, words = pool_of(64)
    table = SlotTable(words=(7, 9, 7), cursor=2**32 - 1, state=5, note=8)
    published = pool.write(table, 0)
    assert pool.read(published) == table
    start, length = published & 0xFFFFFFFF, published >> 32
    assert words[start : start + length + 3].tolist() == [2**32 - 1, 7, 9, 7, 8, 5]


def test_the_cursor_is_read_as_packets_left_it() -> None:
    pool, words = pool_of(64)
    published = pool.write(SlotTable(words=(1, 2)), 0)
    words[published & 0xFFFFFFFF] += 5
    assert pool.read(published).cursor == 5


def test_nothing_published_is_an_empty_table() -> None:
    assert pool_of(64)[0].read(0) == SlotTable()


def test_even_the_first_empty_table_has_a_place() -> None:
    """0 means "no table": an empty one with a state must not look so."""
    pool, _ = pool_of(64)
    published = pool.write(SlotTable(state=3), 0)
    assert published != 0
    assert pool.read(published).state == 3


def test_a_released_region_rests_before_it_is_used_again() -> None:
    pool, words = pool_of(1 + 7)
    published = pool.write(SlotTable(words=(1, 2, 3, 4)), 10.0)
    pool.release(published, 10.0)
    with pytest.raises(PiranhaError, match="scheduler table is full"):
        pool.write(SlotTable(words=(5,)), 10.0 + GRACE_S - 0.01)
    assert words[2] == 1, "packets may still read it"
    assert pool.write(SlotTable(words=(5, 6, 7, 8)), 10.0 + GRACE_S) == published


def test_full_says_what_to_do() -> None:
    pool, _ = pool_of(16)
    with pytest.raises(PiranhaError) as caught:
        pool.write(SlotTable(words=tuple(range(1, 15))), 0)
    assert "weights" in caught.value.mend


steps = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 12), st.floats(0, 2)), max_size=60)


@given(story=steps, adopt=st.booleans())
def test_tables_never_overlap_and_none_leaks(story: list[tuple[int, int, float]], adopt: bool) -> None:
    pool, words = pool_of(128)
    everything, now = pool.free_words, 0.0
    held: dict[int, tuple[int, SlotTable]] = {}
    for number, (place, size, seconds) in enumerate(story):
        now += seconds
        if place in held:
            pool.release(held.pop(place)[0], now)
        else:
            table = SlotTable(words=(number + 1,) * size, cursor=number, state=number, note=number)
            try:
                held[place] = pool.write(table, now), table
            except PiranhaError:
                continue
        for published, table in held.values():
            assert pool.read(published) == table
    if adopt:
        pool = SlotPool(words)
        pool.adopt([published for published, _ in held.values()])
        assert pool.free_words == everything - sum(len(t.words) + 3 for _, t in held.values())
    for published, table in held.values():
        assert pool.read(published) == table
        pool.release(published, now)
    pool.write(SlotTable(words=(1,) * 124), now + GRACE_S)
    assert pool.free_words == everything - 127 == 0
