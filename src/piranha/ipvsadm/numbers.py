"""Numbers on the command line, read as `strtol` in base 10 does: blanks and a sign before, nothing after."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"[ \t\n\v\f\r]*[+-]?[0-9]+")
_LEADING = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+)")
_LONGEST = 64
"""Digits that are worth converting; more are out of every range."""


def number(text: str, lowest: int, highest: int) -> int | None:
    """The number, or None where `text` is none or outside of the range."""
    if len(text) > _LONGEST or _NUMBER.fullmatch(text) is None:
        return None
    value = int(text)
    return value if lowest <= value <= highest else None


def leading_number(text: str) -> int:
    """What `atoi` makes of `text`: the number at its beginning, 0 without one."""
    found = _LEADING.match(text[:_LONGEST])
    return int(found.group(1)) if found is not None else 0
