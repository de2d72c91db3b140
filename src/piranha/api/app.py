"""The API of lvsd: resources under `/api/v1`, each answered by one call of the director."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from piranha.api.problems import on_crash, on_http_error, on_refusal
from piranha.api.question import body_of, connection_filter
from piranha.api.render import Document
from piranha.base.errors import PiranhaError
from piranha.dataplane.wire import operations_from_json
from piranha.director.director import Director


def create_app(director: Director) -> Starlette:
    """The ASGI application over a director that was started."""

    async def status(request: Request) -> Response:
        return Document(director.status())

    async def services(request: Request) -> Response:
        return Document(director.services())

    async def connections(request: Request) -> Response:
        return Document(director.connections(connection_filter(request.query_params)))

    async def configuration(request: Request) -> Response:
        return Document(director.configuration())

    async def reload(request: Request) -> Response:
        return Document(await director.reload())

    async def table(request: Request) -> Response:
        if request.method == "POST":
            return Document(director.apply_by_hand(operations_from_json(await body_of(request))))
        return Document(director.table())

    async def table_state(request: Request) -> Response:
        return Document(director.table_state())

    async def table_connections(request: Request) -> Response:
        return Document(director.table_connections())

    async def healthz(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    return Starlette(
        routes=[
            Route("/api/v1/status", status),
            Route("/api/v1/services", services),
            Route("/api/v1/connections", connections),
            Route("/api/v1/config", configuration),
            Route("/api/v1/reload", reload, methods=["POST"]),
            Route("/api/v1/table", table, methods=["GET", "POST"]),
            Route("/api/v1/table/state", table_state),
            Route("/api/v1/table/connections", table_connections),
            Route("/healthz", healthz),
        ],
        exception_handlers={PiranhaError: on_refusal, HTTPException: on_http_error, Exception: on_crash},
    )
