"""What commands write: tables, colours, JSON; data to stdout, messages to stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from piranha.director.overview import BriefService
    from piranha.director.services import ServiceView

GOOD, WARN, BAD, DIM = "green", "yellow", "red", "bright_black"
_STATE_COLOURS = {"up": GOOD, "degraded": WARN, "sorry": WARN, "unknown": WARN, "down": BAD, "conflict": BAD}


def set_colour(*, no_colour: bool) -> None:
    """Colour only where somebody looks: not by --no-color, not by NO_COLOR, not into a pipe."""
    context = click.get_current_context()
    if no_colour or os.environ.get("NO_COLOR"):
        context.color = False


def paint(text: str, colour: str) -> str:
    return click.style(text, fg=colour)


def paint_state(word: str, width: int = 0) -> str:
    """A state or health word in its colour, padded to `width` before the colour codes."""
    return paint(word.ljust(width), _STATE_COLOURS.get(word, DIM))


def write_json(document: Any) -> None:
    """The API's document, indented for people and stable for programs."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def write_lines(lines: Iterable[str]) -> None:
    """Many lines in few writes."""
    click.echo("\n".join(lines))


def note(text: str) -> None:
    """A message beside the data."""
    click.echo(text, err=True)


def columns(rows: Sequence[Sequence[str]], *, right: Iterable[int] = ()) -> list[str]:
    """Rows of plain text in aligned columns, two blanks between; those in `right` aligned to the right."""
    if not rows:
        return []
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    to_right = frozenset(right)
    return [
        "  ".join(
            c.rjust(w) if n in to_right else c.ljust(w) for n, (c, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def duration(seconds: float | None) -> str:
    """`4s`, `3m20s`, `2h05m`, `9d03h`; a dash for never."""
    if seconds is None:
        return "-"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02}h"


def scaled(number: float) -> str:
    """As ipvsadm scales: exact below a hundred million, then K, M, G, T."""
    value = round(number)
    if value < 100_000_000:
        return str(value)
    for unit in "KMGT":
        value = round(value / 1000)
        if value < 100_000_000 or unit == "T":
            return f"{value}{unit}"
    raise AssertionError("T takes every number")


def plural(count: int, word: str) -> str:
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def endpoint(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def service_words(service: ServiceView | BriefService) -> tuple[str, str]:
    """What names a service: `tcp` and `10.0.0.100:80`; of a firewall mark `fwm` and `5` or `5 IPv6`, as ipvsadm has it."""
    if service["mark"]:
        return "fwm", f"{service['mark']}" + (" IPv6" if ":" in service["address"] else "")
    return service["protocol"], endpoint(service["address"], service["port"])


def silence_broken_pipe() -> None:
    """Whoever read us has gone; Python would complain once more when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
