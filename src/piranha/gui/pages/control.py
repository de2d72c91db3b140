"""CONTROL/MONITORING: the pair, problems first, totals, every virtual server; failover."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from piranha.base.errors import PiranhaError, UsageError
from piranha.gui.context import Context
from piranha.gui.lvsd import ProblemError
from piranha.gui.page import Page, Who
from piranha.gui.pages.live import letter_of, row_of
from piranha.gui.render import moved, page
from piranha.gui.role import Role

_EVENTS_SHOWN = 10
_CONFIRMATION = {"switch": "failover", "maintenance_on": "maintenance", "maintenance_off": "back"}
"""What a person types before each act on the pair."""


async def show_control(context: Context, request: Request, who: Who) -> Response:
    status, services, pair, events = await asyncio.gather(
        context.lvsd.get("status", who),
        context.lvsd.get("services", who),
        pair_or_none(context, who),
        _events(context, who),
    )
    if not status["summary"]["services"] and who.role >= Role.ADMIN:
        return moved(request, "/wizard")
    return page(
        context,
        request,
        who,
        "control.html",
        title="Control / Monitoring",
        director=status,
        pair=pair,
        events=events,
        **rows_of(services["services"]),
    )


def rows_of(services: list[dict[str, Any]]) -> dict[str, Any]:
    """Rows of the table of services, with the same values as a live frame has, and what they add up to."""
    rows = []
    for service in services:
        state, letters, active, cps, in_bps, out_bps = row_of(service)
        rows.append(
            {
                "service": service,
                "state": state,
                "letters": letters,
                "active": active,
                "cps": cps,
                "in_bps": in_bps,
                "out_bps": out_bps,
                "troubles": [
                    server
                    for server in service["servers"]
                    if letter_of(server) == "d" or (server["forced"] and server["health"] != "up")
                ],
            }
        )
    return {
        "rows": rows,
        "total": {
            "cps": sum(row["cps"] for row in rows),
            "active": sum(row["active"] for row in rows),
            "in_bps": sum(row["in_bps"] for row in rows),
            "out_bps": sum(row["out_bps"] or 0 for row in rows),
        },
    }


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
