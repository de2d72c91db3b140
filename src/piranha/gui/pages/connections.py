"""The connections browser."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from piranha.gui.context import Context
from piranha.gui.lvsd import ProblemError
from piranha.gui.page import Page, Who
from piranha.gui.render import page
from piranha.gui.role import Role

FILTERS = ("protocol", "client", "vip", "port", "server", "state")
_SHOWN = 200


async def show_connections(context: Context, request: Request, who: Who) -> Response:
    given = {name: request.query_params.get(name, "").strip() for name in FILTERS}
    query = {name: value for name, value in given.items() if value}
    fault, document = "", {"total": 0, "connections": []}
    try:
        document = await context.lvsd.get("connections", who, {**query, "limit": str(_SHOWN)})
    except ProblemError as error:
        if error.status != 400:
            raise
        fault = str(error)
    return page(
        context,
        request,
        who,
        "connections.html",
        status=400 if fault else 200,
        title="Connections",
        given=given,
        fault=fault,
        document=document,
        shown=_SHOWN,
    )


PAGES = (Page(path="/connections", methods={"GET": (Role.VIEWER, show_connections)}),)
