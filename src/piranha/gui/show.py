"""Numbers and words as pages show them. Pure; `static/live.js` shows live values the same way."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup, escape

_UNITS = ("", "k", "M", "G", "T")
MARKS = {
    "ok": "●", "problem": "■", "up": "●", "active": "●", "standalone": "●", "in step": "●", "source": "●",
    "degraded": "◆", "sorry": "◆", "drain": "◆", "unknown": "◇", "changed": "◆", "warning": "◆", "waiting": "◆", "ahead": "◆", "behind": "◆", "alone": "◆", "apart": "■", "copying": "◆",
    "down": "■", "conflict": "■", "alarm": "■", "error": "■",
    "backup": "○", "off": "○", "foreign": "○", "info": "○", "maintenance": "◆",
}  # fmt: skip
_TONES = {"●": "good", "◆": "warn", "■": "bad", "○": "idle", "◇": "idle"}


def mark_of(state: str) -> str:
    """The shape beside the word: state is never told by colour alone."""
    return MARKS.get(state, "○")


def tone_of(state: str) -> str:
    """The class of the colour."""
    return _TONES[mark_of(state)]


def scaled(number: float | None, unit: str = "") -> str:
    """`46.2 k`, `3.32 Gb/s`; an unknown number is a dash."""
    if number is None:
        return "—"
    value, at = float(number), 0
    while abs(value) >= 1000 and at < len(_UNITS) - 1:
        value, at = value / 1000, at + 1
    is_whole = not at and value == int(value)
    text = f"{value:.0f}" if is_whole else f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
    tail = f"{_UNITS[at]}{unit}"
    return f"{text} {tail}" if tail else text


def whole(number: float | None) -> str:
    return "—" if number is None else f"{number:,.0f}"


def ago(seconds: float | None) -> str:
    """`12 s`, `3 min`, `4 h`, `2 d`."""
    if seconds is None:
        return "—"
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def clock(at: float | str | None) -> str:
    """A moment (seconds since 1970, or RFC 3339) in UTC; the browser puts it into its own time."""
    if at is None or at == "":
        return "—"
    if isinstance(at, str):
        return at.replace("T", " ").replace("Z", " UTC")
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def endpoint(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def ticks(text: str) -> Markup:
    """Text of ours in which `code` stands in backticks."""
    parts = str(escape(text)).split("`")
    if len(parts) % 2 == 0:
        return Markup("`".join(parts))
    return Markup("".join(f"<code>{part}</code>" if at % 2 else part for at, part in enumerate(parts)))


def service_key(service: Mapping[str, Any]) -> str:
    """What tells a service from every other, as lvsd writes it."""
    if service["mark"]:
        return f"fwmark {service['mark']}" + (" ipv6" if ":" in str(service["address"]) else "")
    return f"{service['protocol']} {endpoint(str(service['address']), int(service['port']))}"
