from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piranha.cluster import original
from piranha.cluster.heartbeat import (
    ACTIVE_WORD,
    BACKUP_WORD,
    HEADER_BYTES,
    Contents,
    Echo,
    Flag,
    Header,
    HeartbeatError,
    Place,
)

contents = st.builds(
    Contents,
    term=st.integers(0, 2**64 - 1),
    place=st.sampled_from(Place),
    flags=st.sets(st.sampled_from(list(Flag))).map(lambda flags: Flag(sum(flags))),
    echo=st.none() | st.builds(Echo, boot=st.binary(min_size=16, max_size=16), sequence=st.integers(0, 2**64 - 1)),
    speaks=st.integers(0, 255),
    newest_key=st.integers(0, 65535),
    name=st.text(max_size=16),
    macs=st.lists(st.binary(min_size=6, max_size=6), max_size=32).map(tuple),
)


@given(contents)
def test_contents_come_back(value: Contents) -> None:
    assert Contents.decode(value.encode()) == value


@given(contents, st.integers(9, 255), st.binary(max_size=255))
def test_a_field_of_a_later_version_is_skipped(value: Contents, kind: int, unknown: bytes) -> None:
    field = bytes((kind, len(unknown))) + unknown
    assert Contents.decode(field + value.encode()) == value
    assert Contents.decode(value.encode() + field) == value


def test_an_earlier_version_says_less() -> None:
    assert Contents.decode(b"") == Contents()


def test_an_unknown_flag_is_left_out() -> None:
    assert Contents.decode(bytes((3, 4)) + (0x80000001).to_bytes(4, "big")).flags == Flag.READY


def test_a_long_name_is_cut_between_letters() -> None:
    name = Contents.decode(Contents(name="ä" * 40).encode()).name
    assert name == "ä" * 32


@given(st.binary(max_size=200))
def test_any_bytes_are_contents_or_an_error(fields: bytes) -> None:
    with suppress(HeartbeatError):
        Contents.decode(fields)


@given(st.binary(max_size=80))
def test_any_bytes_are_a_header_or_an_error(message: bytes) -> None:
    with suppress(HeartbeatError):
        header = Header.decode(message)
        assert message[:4] in (ACTIVE_WORD, BACKUP_WORD)
        assert len(message) >= HEADER_BYTES
        assert header.node == message[8:16]


@pytest.mark.parametrize(("active", "word"), [(True, b"PiA1"), (False, b"PiB1")])
def test_the_first_word_says_who_is_active(active: bool, word: bytes) -> None:
    header = Header(active=active, key_id=7, node=b"n" * 8, boot=b"b" * 16, sequence=9)
    assert header.encode()[:4] == word
    assert len(header.encode()) == HEADER_BYTES
    assert Header.decode(header.encode()) == header


@pytest.mark.parametrize("word", original.Word)
def test_the_original_is_understood_in_both_byte_orders(word: original.Word) -> None:
    assert original.decode(original.encode(word)) == word
    assert original.decode(original.encode(word)[::-1]) == word


def test_the_originals_bytes() -> None:
    assert original.encode(original.Word.LVS_RUNNING) == bytes.fromhex("dadbadbd")
    assert original.encode(original.Word.LVS_STOPPED) == bytes.fromhex("bddabdad")
    assert original.decode(b"abcd") is None
    assert original.decode(b"") is None
    assert original.decode(bytes.fromhex("dadbadbd00")) is None
