"""The API of lvsd: the route table as an application. Rights are judged before a handler runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from piranha.api.operation import Context, Operation
from piranha.api.operations import OPERATIONS, PREFIX
from piranha.api.problems import on_crash, on_http_error, on_refusal
from piranha.api.resources import metrics
from piranha.api.rights import Caller, Peer, Policy, Right
from piranha.base.errors import PiranhaError


def create_app(context: Context, policy: Policy) -> Starlette:
    """The ASGI application over a director that was started."""

    async def healthz(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def live(socket: WebSocket) -> None:
        if caller_by(policy, socket).right < Right.VIEWER:
            await socket.close()
            return
        await context.live.watch(socket)

    return Starlette(
        routes=[
            *(_route(one, context, policy) for one in _by_path(OPERATIONS)),
            WebSocketRoute(f"{PREFIX}/live", live),
            # Where Prometheus looks without being told.
            _route({one.method: one for one in metrics.OPERATIONS}, context, policy, prefix=""),
            Route("/healthz", healthz),
        ],
        exception_handlers={PiranhaError: on_refusal, HTTPException: on_http_error, Exception: on_crash},
    )


def _by_path(operations: Sequence[Operation]) -> list[Mapping[str, Operation]]:
    """Operations of one path together, by method, so that a wrong method is told from a wrong path."""
    paths: dict[str, dict[str, Operation]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method] = operation
    return list(paths.values())


def _route(operations: Mapping[str, Operation], context: Context, policy: Policy, *, prefix: str = PREFIX) -> Route:
    (path,) = {operation.path for operation in operations.values()}

    async def answer(request: Request) -> Response:
        # A HEAD is answered as its GET.
        operation = operations["GET" if request.method == "HEAD" else request.method]
        caller = caller_by(policy, request)
        if caller.right < operation.right:
            need = operation.right.name.lower()
            raise HTTPException(403, f"{caller.user} may not do this: it needs the right {need}")
        request.scope["piranha.caller"] = caller
        return await operation.handler(context, request)

    return Route(prefix + path, answer, methods=list(operations))


def caller_by(policy: Policy, request: HTTPConnection) -> Caller:
    """Who asks; nobody with any right where the kernel did not say so."""
    peer = request.scope.get("piranha.peer")
    if not isinstance(peer, Peer):
        return Caller(user="nobody", right=Right.NONE)
    return policy.caller(peer, request.headers)
