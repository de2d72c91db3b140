"""The screen of `piranha top` as lines, and what keys do to it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from piranha.cli.output import duration, endpoint
from piranha.cli.problem_report import printable

Line = tuple[str, "Style"]
_OLD_S = 3.0
_ENTER, _ESCAPE = (10, 13), 27
_BACKSPACE = (8, 127, 263)
_DOWN, _UP, _PAGE_DOWN, _PAGE_UP, _HOME = 258, 259, 338, 339, 262
_LONGEST_FILTER = 60
_BAD_STATES = frozenset(("down", "conflict", "degraded", "sorry"))
_HELP = (
    "q      leave",
    "s S    sort by the next, the last column",
    "r      turn the order round",
    "/      filter by name or address; Escape clears it",
    "p      only what has a problem",
    "arrows, page keys, Home: move",
    "?      this, and back",
)


class Style(Enum):
    PLAIN = "plain"
    DIM = "dim"
    HEAD = "head"
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"


COLUMNS: tuple[tuple[str, str, int], ...] = (
    ("NAME", "name", 20),
    ("STATE", "state", 9),
    ("SERVERS", "servers_up", 8),
    ("CONN/S", "connections_per_s", 9),
    ("CONNS", "connections", 9),
    ("PKTS/S", "packets_per_s", 9),
    ("IN BIT/S", "in_bits_per_s", 9),
    ("OUT BIT/S", "out_bits_per_s", 9),
)
"""Head, field and width; the service's address comes last, as wide as there is room."""
_STATES = {"up": Style.PLAIN, "degraded": Style.WARN, "sorry": Style.WARN, "foreign": Style.DIM}


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the keys have chosen. `sorted_by` is a place in `COLUMNS`, None the file's order."""

    sorted_by: int | None = None
    backwards: bool = False
    filter: str = ""
    typing: bool = False
    problems_only: bool = False
    helps: bool = False
    offset: int = 0
    is_over: bool = False


def keyed(view: View, key: int) -> View:
    """The view after a key, as curses numbers them."""
    if view.typing:
        return _typed(view, key)
    letter = chr(key) if 32 <= key < 127 else ""
    match letter:
        case "q":
            return replace(view, is_over=True)
        case "?":
            return replace(view, helps=not view.helps)
        case "/":
            return replace(view, typing=True, helps=False)
        case "p":
            return replace(view, problems_only=not view.problems_only, offset=0)
        case "r":
            return replace(view, backwards=not view.backwards)
        case "s" | "S":
            places: list[int | None] = [None, *range(len(COLUMNS))]
            step = 1 if letter == "s" else -1
            at = places[(places.index(view.sorted_by) + step) % len(places)]
            # Numbers are looked at from the largest, words from A.
            return replace(view, sorted_by=at, backwards=at is not None and at > 1)
    if key == _ESCAPE:
        return replace(view, filter="", helps=False, offset=0)
    step = {_DOWN: 1, _UP: -1, _PAGE_DOWN: 20, _PAGE_UP: -20, _HOME: -view.offset}.get(key, 0)
    return replace(view, offset=max(0, view.offset + step))


def _typed(view: View, key: int) -> View:
    if key in _ENTER:
        return replace(view, typing=False)
    if key == _ESCAPE:
        return replace(view, typing=False, filter="", offset=0)
    if key in _BACKSPACE:
        return replace(view, filter=view.filter[:-1], offset=0)
    if 32 <= key < 127 and len(view.filter) < _LONGEST_FILTER:
        return replace(view, filter=view.filter + chr(key), offset=0)
    return view


def screen(document: Any, view: View, width: int, height: int, *, age_s: float = 0.0, trouble: str = "") -> list[Line]:
    """The lines of a status document, none longer than `width`, at most `height`."""
    lines = list(_head(document, age_s, trouble))
    if view.helps:
        lines += [(text, Style.PLAIN) for text in _HELP]
        return _cut(lines, width, height)
    services = chosen(document["services"], view)
    asked = f"/{view.filter}_" if view.typing else f"filter {view.filter}" if view.filter else ""
    facts = [f"{len(services)} of {len(document['services'])} services", asked, "problems only" * view.problems_only]
    lines.append(("  ".join(fact for fact in facts if fact), Style.DIM))
    lines.append((_titles(view), Style.HEAD))
    room = max(0, height - len(lines))
    offset = min(view.offset, max(0, len(services) - room))
    lines += [_service_line(service) for service in services[offset : offset + room]]
    return _cut(lines, width, height)


def chosen(services: list[Any], view: View) -> list[Any]:
    """The services that the view shows, in its order."""
    wanted = view.filter.lower()
    found = [
        service
        for service in services
        if wanted in f"{service['name']} {service['key']}".lower()
        and (not view.problems_only or service["state"] in _BAD_STATES)
    ]
    if view.sorted_by is None:
        return found[::-1] if view.backwards else found
    field = COLUMNS[view.sorted_by][1]
    return sorted(found, key=lambda service: service[field], reverse=view.backwards)


def _head(document: Any, age_s: float, trouble: str) -> Iterator[Line]:
    cluster, plane, summary = document["cluster"], document["plane"], document["summary"]
    peer = cluster["peer"] or {}
    other = f", the other {peer.get('name') or 'director'} {peer.get('role') or 'not heard'}" if peer else ""
    # A confident screen about a director that no longer answers is worse than none.
    if trouble or age_s > _OLD_S:
        yield f"no news for {duration(age_s)}: {printable(trouble)}", Style.BAD
    yield (
        f"piranha {document['version']}  {cluster['role']}{other}  up {duration(document['uptime_s'])}  {plane['name']}",
        Style.GOOD if cluster["role"] in ("active", "standalone") else Style.PLAIN,
    )
    connections = plane["connections"]
    rate = sum(service["connections_per_s"] for service in document["services"])
    yield (
        f"servers {summary['servers_up']}/{summary['servers']} up  connections {connections['total']:,} of "
        f"{connections['capacity']:,}  {_short(rate)}/s",
        Style.PLAIN,
    )
    for alarm in list(cluster["alarms"].values())[:2]:
        yield f"alarm: {printable(str(alarm))}", Style.BAD
    for problem in document["problems"][:3]:
        yield f"problem: {printable(problem)}", Style.WARN
    if len(document["problems"]) > 3:
        yield f"and {len(document['problems']) - 3} more problems: piranha status", Style.WARN


def _titles(view: View) -> str:
    titles = []
    for at, (head, _, width) in enumerate(COLUMNS):
        shown = head + ("v" if view.backwards else "^") * (at == view.sorted_by)
        titles.append(shown.ljust(width) if at < 2 else shown.rjust(width))
    return " ".join(titles) + "  ADDRESS"


def _service_line(service: Any) -> Line:
    name = printable(service["name"]) or "-"
    cells = [f"{name[:20]:20}", f"{service['state']:9}", f"{service['servers_up']}/{service['servers']}".rjust(8)]
    cells += [_short(service[field]).rjust(width) for _, field, width in COLUMNS[3:]]
    where = f"fwmark {service['mark']}" if service["mark"] else endpoint(service["address"], service["port"])
    text = " ".join(cells) + f"  {service['protocol']} {where} {service['scheduler']}"
    return text, _STATES.get(service["state"], Style.BAD)


def _short(number: float) -> str:
    """Four digits at most: `950`, `12.3k`, `4.56M`."""
    for unit in ("", "k", "M", "G"):
        if number < 1000:
            return f"{number:.0f}" if not unit else f"{number:.3g}{unit}"
        number /= 1000
    return f"{number:.3g}T"


def _cut(lines: list[Line], width: int, height: int) -> list[Line]:
    return [(text[:width], style) for text, style in lines[:height]]
