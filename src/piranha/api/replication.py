"""The resources of configuration replication."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from piranha.api.question import body_of
from piranha.api.render import Document
from piranha.base.errors import PiranhaError, UsageError
from piranha.replication.host import ReplicationHost

_CHOICES = ("theirs", "ours")


def replication_routes(host: ReplicationHost | None) -> list[Route]:
    def hosted() -> ReplicationHost:
        if host is None:
            raise PiranhaError("this director has no replication")
        return host

    async def replication(request: Request) -> Response:
        return Document(hosted().view())

    async def push(request: Request) -> Response:
        return Document(await hosted().push())

    async def pull(request: Request) -> Response:
        return Document(await hosted().pull())

    async def key(request: Request) -> Response:
        return Document(await hosted().change_key())

    async def conflicts(request: Request) -> Response:
        return Document(hosted().conflicts())

    async def conflict(request: Request) -> Response:
        name = request.path_params["id"]
        if request.method == "POST":
            return Document(await hosted().resolve(name, theirs=_takes_theirs(await body_of(request))))
        return Document(hosted().conflict(name))

    return [
        Route("/api/v1/replication", replication),
        Route("/api/v1/replication/push", push, methods=["POST"]),
        Route("/api/v1/replication/pull", pull, methods=["POST"]),
        Route("/api/v1/replication/key", key, methods=["POST"]),
        Route("/api/v1/config/conflicts", conflicts),
        Route("/api/v1/config/conflicts/{id}", conflict, methods=["GET", "POST"]),
    ]


def _takes_theirs(body: object) -> bool:
    """`{"take": "theirs"}` or `{"take": "ours"}`. Raises UsageError."""
    take = body.get("take") if isinstance(body, dict) else None
    if take not in _CHOICES:
        raise UsageError('a conflict is resolved by {"take": "theirs"} or {"take": "ours"}')
    return bool(take == "theirs")
