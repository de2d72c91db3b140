"""The API of lvsd: resources under `/api/v1`, each answered by one call of the director."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from piranha.api.problems import on_crash, on_http_error, on_refusal
from piranha.api.question import body_of, connection_filter
from piranha.api.render import Document
from piranha.api.replication import replication_routes
from piranha.base.errors import PiranhaError
from piranha.dataplane.wire import operations_from_json
from piranha.director.director import Director
from piranha.director.pulse_link import PulseLink
from piranha.replication.host import ReplicationHost

_CLUSTER_VERBS = {"switch", "maintenance_on", "maintenance_off"}


def create_app(
    director: Director, pulse: PulseLink | None = None, replication: ReplicationHost | None = None
) -> Starlette:
    """The ASGI application over a director that was started, the pulse that it is attached to, and replication, if any."""

    async def status(request: Request) -> Response:
        return Document(director.status())

    async def services(request: Request) -> Response:
        return Document(director.services())

    async def connections(request: Request) -> Response:
        return Document(director.connections(connection_filter(request.query_params)))

    async def configuration(request: Request) -> Response:
        return Document(director.configuration())

    async def reload(request: Request) -> Response:
        document = await director.reload()
        if pulse is not None and pulse.view.attached:
            await pulse.ask("reload")
        return Document(document)

    async def cluster(request: Request) -> Response:
        return Document(await _ask(pulse, "status"))

    async def cluster_verb(request: Request) -> Response:
        verb = request.path_params["verb"]
        if verb not in _CLUSTER_VERBS:
            raise HTTPException(404)
        answer = await _ask(pulse, verb)
        if not answer.get("done"):
            raise PiranhaError(str(answer.get("text", "pulse refused")))
        return Document(answer)

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
            Route("/api/v1/cluster", cluster),
            Route("/api/v1/cluster/{verb}", cluster_verb, methods=["POST"]),
            Route("/healthz", healthz),
            *replication_routes(replication),
        ],
        exception_handlers={PiranhaError: on_refusal, HTTPException: on_http_error, Exception: on_crash},
    )


async def _ask(pulse: PulseLink | None, request: str) -> dict[str, Any]:
    if pulse is None:
        raise PiranhaError("this director has no pulse", mend="start it: systemctl start pulse")
    return await pulse.ask(request)
