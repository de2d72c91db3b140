"""The director as a whole: status, services, connections, reload."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from piranha.api.operation import Context, Operation, Parameter, caller_of
from piranha.api.question import MAX_LIMIT, connection_filter, known_words
from piranha.api.render import Document
from piranha.api.rights import Right
from piranha.director.services import ServicesDocument
from piranha.director.status import ConnectionsDocument, ReloadDocument, StatusDocument


async def status(context: Context, request: Request) -> Response:
    return Document(context.director.status())


async def services(context: Context, request: Request) -> Response:
    known_words(request, ("name",))
    return Document(context.director.services(frozenset(request.query_params.getlist("name"))))


async def connections(context: Context, request: Request) -> Response:
    return Document(context.director.connections(connection_filter(request.query_params)))


async def reload(context: Context, request: Request) -> Response:
    document = await context.editing.reload(who=caller_of(request).user)
    return Document(document)


_TEXT = {"type": "string"}
_FILTERS = (
    Parameter(name="protocol", meaning="tcp, udp or sctp", schema={"enum": ["tcp", "udp", "sctp"]}),
    Parameter(name="client", meaning="address of the client", schema=_TEXT),
    Parameter(name="vip", meaning="address of the virtual service", schema=_TEXT),
    Parameter(
        name="port",
        meaning="port of the virtual service",
        schema={"type": "integer", "minimum": 0, "maximum": 65535},
    ),
    Parameter(name="server", meaning="address of the real server", schema=_TEXT),
    Parameter(name="state", meaning="as ESTABLISHED", schema=_TEXT),
    Parameter(
        name="limit",
        meaning="rows in the answer; `total` counts them all",
        schema={"type": "integer", "minimum": 0, "maximum": MAX_LIMIT},
    ),
)

OPERATIONS = (
    Operation(
        method="GET",
        path="/status",
        handler=status,
        right=Right.VIEWER,
        summary="How the director, its services and its data plane are; problems first.",
        answer=StatusDocument,
    ),
    Operation(
        method="GET",
        path="/services",
        handler=services,
        right=Right.VIEWER,
        summary="Every virtual service with its real servers: health, weights, connections, counters, rates.",
        answer=ServicesDocument,
        query=(Parameter(name="name", meaning="only the virtual server of this name; may be repeated", schema=_TEXT),),
    ),
    Operation(
        method="GET",
        path="/connections",
        handler=connections,
        right=Right.VIEWER,
        summary="Connections, filtered in the data plane.",
        answer=ConnectionsDocument,
        query=_FILTERS,
    ),
    Operation(
        method="POST",
        path="/reload",
        handler=reload,
        right=Right.ADMIN,
        summary="Take the file on disk into force, as it was edited there.",
        answer=ReloadDocument,
        problems=(409, 422),
    ),
)
