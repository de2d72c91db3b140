"""The bare table, for programs that speak IPVS."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from piranha.api.operation import Context, Operation, caller_of
from piranha.api.question import body_of
from piranha.api.render import Document
from piranha.api.rights import Right
from piranha.dataplane.wire import operations_from_json
from piranha.director.events import EventKind
from piranha.director.table import AppliedDocument, TableConnectionsDocument, TableDocument, TableStateDocument


async def table(context: Context, request: Request) -> Response:
    return Document(context.director.table())


async def apply(context: Context, request: Request) -> Response:
    operations = operations_from_json(await body_of(request))
    document = context.director.apply_by_hand(operations)
    done = sum(outcome is None for outcome in document["outcomes"])
    text = f"ipvsadm: {done} of {len(operations)} operations done"
    context.director.chronicle.add(EventKind.OPERATOR, text, who=caller_of(request).user)
    return Document(document)


async def state(context: Context, request: Request) -> Response:
    return Document(context.director.table_state())


async def connections(context: Context, request: Request) -> Response:
    return Document(context.director.table_connections())


OPERATIONS = (
    Operation(
        method="GET",
        path="/table",
        handler=table,
        right=Right.VIEWER,
        summary="The table as the data plane has it.",
        answer=TableDocument,
    ),
    Operation(
        method="POST",
        path="/table",
        handler=apply,
        right=Right.ADMIN,
        summary="Operations by hand, each on its own, as ipvsadm makes them.",
        answer=AppliedDocument,
        body=list[dict[str, Any]],
    ),
    Operation(
        method="GET",
        path="/table/state",
        handler=state,
        right=Right.VIEWER,
        summary="Timeouts, synchronisation daemons and size of the table.",
        answer=TableStateDocument,
    ),
    Operation(
        method="GET",
        path="/table/connections",
        handler=connections,
        right=Right.VIEWER,
        summary="Connection entries as rows.",
        answer=TableConnectionsDocument,
    ),
)
