"""Single values: C's number and address forms, times, masks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piranha.config.values import (
    format_time,
    is_host_name,
    parse_inet_aton,
    parse_integer,
    parse_ip,
    parse_time,
)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("10", 10),
        ("-3", -3),
        ("+3", 3),
        ("  7", 7),
        ("0x1F", 31),
        ("010", 8),
        ("00", 0),
        ("", 0),
        ("9" * 30, 2**63 - 1),
        ("-" + "9" * 5000, -(2**63)),
        ("7 ", None),
        ("  ", None),
        ("0x", None),
        ("08", None),
        ("1_000", None),
        ("1e3", None),
        ("-", None),
        ("٣", None),
    ],
)
def test_integers_are_those_of_strtol(text: str, number: int | None) -> None:
    assert parse_integer(text) == number


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6", 6),
        ("010", 8),
        ("250ms", 0.25),
        ("6s", 6),
        ("2m", 120),
        ("1h", 3600),
        ("1.5", 1.5),
        (".5s", 0.5),
        ("08", None),
        ("6 s", None),
        ("6d", None),
        ("s", None),
        (".", None),
        ("1e3", None),
        ("-1s", None),
        ("1" * 70 + "s", None),
    ],
)
def test_times(text: str, seconds: float | None) -> None:
    assert parse_time(text) == seconds


@given(st.one_of(st.integers(0, 2**53), st.floats(1e-9, 1e9)))
def test_times_are_read_as_they_were_written(seconds: float) -> None:
    assert parse_time(format_time(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"), [(6, "6"), (6.0, "6"), (0.25, "250ms"), (1.5, "1500ms"), (1e-7, "0.0000001s")]
)
def test_times_are_written_short(seconds: float, text: str) -> None:
    assert format_time(seconds) == text


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("10.1", "10.0.0.1"),
        ("10.1.2", "10.1.0.2"),
        ("1", "0.0.0.1"),
        ("0x0a000001", "10.0.0.1"),
        ("010.0.0.1", "8.0.0.1"),
        ("10.0.0.256", None),
        ("10.16777216", None),
        ("1.2.3.4.5", None),
        ("1..2", None),
        ("1.-2", None),
        ("a", None),
        ("", None),
        ("1." * 5000, None),
    ],
)
def test_short_addresses_are_those_of_inet_aton(text: str, address: str | None) -> None:
    found = parse_inet_aton(text)
    assert (str(found) if found else None) == address


@given(st.ip_addresses(v=4))
def test_every_dotted_address_is_itself(address: object) -> None:
    assert parse_inet_aton(str(address)) == address == parse_ip(str(address))


def test_host_names() -> None:
    assert all(is_host_name(name) for name in ("lb1", "lb1.example.net", "a-b", "x_y", "1a", "lb1."))
    assert not any(is_host_name(name) for name in ("", "10.0.0.300", "123", "-a", "a b", "eth0:0", "a..b", "a" * 64))
    assert not is_host_name("a." * 200 + "a")
