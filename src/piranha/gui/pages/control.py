"""CONTROL/MONITORING: the pair, problems first, totals, every virtual server; failover."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from piranha.base.errors import PiranhaError, UsageError
from piranha.gui.context import Context
from piranha.gui.lvsd import ProblemError
from piranha.gui.page import Page, Who
from piranha.gui.pages.live import row_of, totals_of
from piranha.gui.render import moved, page
from piranha.gui.role import Role

ROWS = 200
"""Of the table of services on one page: more than that nobody reads, and browsers slow down."""
_EVENTS_SHOWN = 10
_HISTORY_S = 300
_MOST_SERVERS, _DOWN_SHOWN = 2000, 20
_QUIET = ("up", "foreign")
"""States that ask for nobody."""
_CONFIRMATION = {"switch": "failover", "maintenance_on": "maintenance", "maintenance_off": "back"}
"""What a person types before each act on the pair."""


async def show_control(context: Context, request: Request, who: Who) -> Response:
    status, pair, events, history = await asyncio.gather(
        context.lvsd.get("status", who),
        pair_or_none(context, who),
        _events(context, who),
        context.lvsd.get("statistics", who, {"seconds": str(_HISTORY_S)}),
    )
    if not status["summary"]["services"] and who.role >= Role.ADMIN:
        return moved(request, "/wizard")
    lines = sorted(status["services"], key=lambda line: line["state"] in _QUIET)
    return page(
        context,
        request,
        who,
        "control.html",
        title="Control / Monitoring",
        director=status,
        pair=pair,
        events=events,
        down=await _down(context, who, status["summary"]),
        history=json.dumps(list(zip(history["times"], history["connections_per_s"], strict=True))),
        total=totals_of(status["services"]),
        **rows_of(lines, request),
    )


def rows_of(lines: Sequence[Mapping[str, Any]], request: Request) -> dict[str, Any]:
    """One page of the table of services, by `words` and `page` of the query where they do not fit into one."""
    words = request.query_params.get("words", "").casefold().split()
    found = [line for line in lines if all(word in words_of(line) for word in words)]
    pages = max(1, -(-len(found) // ROWS))
    asked = request.query_params.get("page", "1")
    number = min(pages, max(1, int(asked))) if asked.isascii() and asked.isdigit() and len(asked) < 7 else 1
    shown = found[(number - 1) * ROWS : number * ROWS]
    return {
        "rows": [{"service": line, "words": words_of(line), "out_bps": row_of(line)[-1]} for line in shown],
        "count": len(lines),
        "found": len(found),
        "pages": pages,
        "page_no": number,
        "words": request.query_params.get("words", ""),
    }


def words_of(line: Mapping[str, Any]) -> str:
    """What the filter looks in."""
    return f"{line['name']} {line['key']} {line['scheduler']}".casefold()


async def _down(context: Context, who: Who, summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The real servers that do not answer, some of them; their services' states say the rest of a large farm."""
    if summary["servers"] == summary["servers_up"] or summary["servers"] > _MOST_SERVERS:
        return []
    servers = (await context.lvsd.get("servers", who))["servers"]
    return [server for server in servers if server["health"] == "down"][:_DOWN_SHOWN]


async def act(context: Context, request: Request, who: Who) -> Response:
    verb = request.path_params["verb"]
    if verb not in _CONFIRMATION:
        raise UsageError("there is no such act")
    form = await request.form(max_files=0, max_fields=10)
    if form.get("typed") != _CONFIRMATION[verb]:
        raise UsageError(f"nothing was done: type {_CONFIRMATION[verb]} to confirm")
    answer = await context.lvsd.send("POST", f"cluster/{verb}", who)
    request.state.detail = str(answer.get("text", ""))
    return moved(request, f"{'/redundancy' if form.get('back') == 'redundancy' else '/'}?done={verb}")


async def pair_or_none(context: Context, who: Who) -> dict[str, Any] | None:
    """What pulse says; None on a director without one."""
    try:
        document: dict[str, Any] = await context.lvsd.get("cluster", who)
    except (ProblemError, PiranhaError):
        return None
    return document


async def _events(context: Context, who: Who) -> list[dict[str, Any]]:
    document = await context.lvsd.get("events", who, {"limit": str(_EVENTS_SHOWN)})
    return list(reversed(document["events"]))


PAGES = (
    Page(path="/", methods={"GET": (Role.VIEWER, show_control)}),
    Page(path="/cluster/{verb:str}", methods={"POST": (Role.OPERATOR, act)}),
)
