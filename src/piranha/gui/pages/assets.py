"""What is served without a login and says nothing of this cluster."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from piranha.gui.context import Context
from piranha.gui.page import Page, Who
from piranha.gui.role import Role


async def static_file(context: Context, request: Request, who: Who) -> Response:
    return context.static.answer(request.path_params["name"], request)


async def healthz(context: Context, request: Request, who: Who) -> Response:
    return PlainTextResponse("ok\n")


PAGES = (
    Page(path="/static/{name:path}", methods={"GET": (Role.NOBODY, static_file)}),
    Page(path="/healthz", methods={"GET": (Role.NOBODY, healthz)}),
)
