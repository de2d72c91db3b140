"""The ASGI application: the route table behind its guard, the live stream, security headers on everything."""

from __future__ import annotations

from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute

from piranha.gui.context import Context
from piranha.gui.guard import GuardedPage
from piranha.gui.headers import SecurityHeaders
from piranha.gui.page import Page, Who
from piranha.gui.pages import live
from piranha.gui.pages.all_pages import PAGES
from piranha.gui.render import failure
from piranha.gui.role import Role


def create_app(context: Context) -> Starlette:
    """Every path that no page has is judged as one that needs a login, and is not there for those who have one."""
    nowhere = Page(path="/{path:path}", methods={"GET": (Role.VIEWER, _not_found)}, audited=False)
    app = Starlette(
        routes=[
            WebSocketRoute(live.PATH, live.live),
            *(Route(page.path, GuardedPage(page, context)) for page in (*PAGES, nowhere)),
        ],
        middleware=[Middleware(SecurityHeaders)],
        exception_handlers={Exception: _on_crash},
    )
    app.state.context = context
    # A path with a slash too many is no page; the default would redirect before anybody was asked who they are.
    app.router.redirect_slashes = False
    return app


async def _not_found(context: Context, request: Request, who: Who) -> Response:
    return failure(context, request, who, HTTPStatus.NOT_FOUND, "there is no such page")


async def _on_crash(request: Request, error: Exception) -> Response:
    """A programmer's error: the log has it whole."""
    assert not isinstance(error, HTTPException)
    return PlainTextResponse("internal error, see the log of piranha-gui\n", 500)
