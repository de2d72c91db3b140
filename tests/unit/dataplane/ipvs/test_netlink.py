"""Attributes as bytes: lengths, padding, nesting, and what a damaged message may do."""

from __future__ import annotations

import errno

from hypothesis import given
from hypothesis import strategies as st

from piranha.dataplane.ipvs.netlink import NetlinkError, attribute, attributes, nested, packed, text_of


def test_an_attribute_is_padded_but_its_length_is_not() -> None:
    assert attribute(6, b"rr\0") == b"\x07\x00\x06\x00rr\x00\x00"
    assert attribute(5, b"\x01\x00\x00\x00") == b"\x08\x00\x05\x00\x01\x00\x00\x00"


def test_a_nest_carries_its_flag() -> None:
    assert nested(1, attribute(5, b"\1\0\0\0")) == b"\x0c\x00\x01\x80\x08\x00\x05\x00\x01\x00\x00\x00"
    assert attributes(nested(1, b"")) == {1: b""}


@given(st.dictionaries(st.integers(1, 200), st.binary(max_size=40), max_size=12))
def test_attributes_come_back(values: dict[int, bytes]) -> None:
    assert attributes(packed(values)) == values


@given(st.binary(max_size=80))
def test_any_bytes_are_read_without_failing(data: bytes) -> None:
    assert all(len(payload) <= len(data) for payload in attributes(data).values())


def test_reading_stops_at_an_impossible_length() -> None:
    good = attribute(1, b"abcd")
    assert attributes(good + b"\x03\x00\x02\x00") == {1: b"abcd"}
    assert attributes(good + b"\xff\x00\x02\x00abcd") == {1: b"abcd"}


def test_a_name_ends_at_its_nul() -> None:
    assert text_of(b"wlc\0\0\0") == "wlc"
    assert text_of(b"wlc") == "wlc"


def test_only_missing_rights_have_a_mend() -> None:
    assert "CAP_NET_ADMIN" in NetlinkError("IPVS", errno.EPERM).mend
    assert NetlinkError("IPVS", errno.EINVAL).mend == ""
