"""What happened on this director."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from piranha.gui.context import Context
from piranha.gui.page import Page, Who
from piranha.gui.render import page
from piranha.gui.role import Role

KINDS = ("health", "role", "alarm", "table", "configuration", "operator", "daemon")
_READ, _SHOWN = 2000, 300


async def show_events(context: Context, request: Request, who: Who) -> Response:
    kind = request.query_params.get("kind", "")
    words = request.query_params.get("words", "").strip().casefold()
    warnings = request.query_params.get("warnings") == "1"
    query = {"limit": str(_READ)}
    if kind in KINDS:
        query["kind"] = kind
    events = (await context.lvsd.get("events", who, query))["events"]
    found = [
        event
        for event in reversed(events)
        if (not warnings or event["severity"] == "warning")
        and all(word in f"{event['subject']} {event['text']} {event['who']}".casefold() for word in words.split())
    ]
    return page(
        context,
        request,
        who,
        "events.html",
        title="Events",
        events=found[:_SHOWN],
        total=len(found),
        kinds=KINDS,
        kind=kind,
        words=request.query_params.get("words", ""),
        warnings=warnings,
    )


PAGES = (Page(path="/events", methods={"GET": (Role.VIEWER, show_events)}),)
