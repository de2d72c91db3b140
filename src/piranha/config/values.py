"""Single values from their text, and back: integers, times and addresses as `lvs.cf` writes them. Never raises."""

from __future__ import annotations

import re
from decimal import Decimal
from ipaddress import IPv4Address

from piranha.model.address import IPAddress, parse_address

_MAX_DIGITS = 64
_INTEGER = re.compile(r"[ \t\n\v\f\r]*([+-]?)(?:0[xX]([0-9a-fA-F]+)|(0[0-7]*)|([1-9][0-9]*))\Z", re.ASCII)
_TIME = re.compile(r"(?=.*[.a-z])([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ms|s|m|h)?\Z", re.ASCII)
_UNIT_S = {None: Decimal(1), "s": Decimal(1), "ms": Decimal("0.001"), "m": Decimal(60), "h": Decimal(3600)}
_LONG_MOST = 2**63 - 1
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?\Z", re.ASCII)
_MAX_HOST_NAME = 253


def parse_integer(text: str) -> int | None:
    """An integer by the rules of C's `strtol` with base 0: `0x1f`, `010` (8), `-3`; an empty text is 0.

    Out of range it sticks at the ends of a 64-bit long, as `strtol` does. None for anything else.
    """
    if not text:
        return 0
    match = _INTEGER.match(text)
    if match is None:
        return None
    sign, hexadecimal, octal, decimal = match.groups()
    digits, base = (hexadecimal, 16) if hexadecimal else (octal, 8) if octal else (decimal, 10)
    digits = digits.lstrip("0")
    magnitude = _LONG_MOST + 1 if len(digits) > _MAX_DIGITS else int(digits or "0", base)
    return max(-magnitude, -_LONG_MOST - 1) if sign == "-" else min(magnitude, _LONG_MOST)


def parse_time(text: str) -> float | None:
    """Seconds from a number with an optional `ms`, `s`, `m` or `h`; whole numbers by the rules of `parse_integer`."""
    whole = parse_integer(text)
    if whole is not None:
        return whole
    match = _TIME.match(text)
    if match is None or len(text) > _MAX_DIGITS:
        return None
    seconds = Decimal(match[1]) * _UNIT_S[match[2]]
    return int(seconds) if seconds == seconds.to_integral_value() else float(seconds)


def format_time(seconds: float) -> str:
    """The shortest text that `parse_time` reads back as the same number."""
    if seconds == int(seconds):
        return str(int(seconds))
    exact = Decimal(repr(seconds))
    milliseconds = exact * 1000
    if milliseconds == milliseconds.to_integral_value() and seconds > 0:
        return f"{int(milliseconds)}ms"
    return f"{exact:f}s"


def parse_inet_aton(text: str) -> IPv4Address | None:
    """An IPv4 address by the rules of C's `inet_aton`: short forms (`10.1`), octal and hexadecimal parts."""
    if len(text) > _MAX_DIGITS:
        return None
    parts = text.rstrip(" \t\n\v\f\r").split(".")
    if not 1 <= len(parts) <= 4 or not all(part and part[0] in "0123456789" for part in parts):
        return None
    numbers = [parse_integer(part) for part in parts]
    value = 0
    for place, number in enumerate(numbers):
        is_last = place == len(numbers) - 1
        bits = 8 * (5 - len(numbers)) if is_last else 8
        if number is None or not 0 <= number < 1 << bits:
            return None
        value = (value << bits) | number
    return IPv4Address(value)


def parse_ip(text: str) -> IPAddress | None:
    """An IPv4 or IPv6 address in its usual text, IPv6 with or without brackets."""
    try:
        return parse_address(text)
    except ValueError:
        return None


def is_host_name(text: str) -> bool:
    """Whether the text could name a host: letters, digits, hyphens and dots, and not only numbers."""
    last = text.rstrip(".").rpartition(".")[2]
    return len(text) <= _MAX_HOST_NAME and _HOST_NAME.match(text) is not None and not last.isdigit()
