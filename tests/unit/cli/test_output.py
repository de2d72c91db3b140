"""Numbers and tables as people read them."""

from __future__ import annotations

import pytest

from piranha.cli.output import columns, duration, endpoint, plural, scaled


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0, "0s"), (59.9, "59s"), (60, "1m00s"), (3725, "1h02m"), (86400 * 9 + 3 * 3600 + 1, "9d03h")],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (99_999_999, "99999999"), (100_000_000, "100000K"), (1.5e11, "150000M"), (10**18, "1000000T")],
)
def test_numbers_scale_as_ipvsadm_scales_them(number: float, text: str) -> None:
    assert scaled(number) == text


def test_columns_align() -> None:
    rows = [["NAME", "N"], ["a", "10"], ["long name", "9"]]
    assert columns(rows, right=(1,)) == ["NAME        N", "a          10", "long name   9"]
    assert columns([]) == []


def test_plurals() -> None:
    assert [plural(1, "error"), plural(0, "error"), plural(1234, "error")] == ["1 error", "0 errors", "1,234 errors"]


def test_endpoints() -> None:
    assert [endpoint("10.0.0.1", 80), endpoint("::1", 80)] == ["10.0.0.1:80", "[::1]:80"]
