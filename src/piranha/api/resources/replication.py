"""The configuration that two directors share: its state, conflicts, and what people force."""

from __future__ import annotations

from typing import Literal, TypedDict

from starlette.requests import Request
from starlette.responses import Response

from piranha.api.operation import Context, Operation, caller_of
from piranha.api.question import body_of
from piranha.api.render import Document
from piranha.api.rights import Right
from piranha.api.schema import read
from piranha.base.errors import PiranhaError
from piranha.director.events import EventKind
from piranha.replication.host import ReplicationHost
from piranha.replication.view import (
    ConflictDocument,
    ConflictsDocument,
    KeyChangeDocument,
    OutcomeDocument,
    ReplicationView,
)


class ResolveBody(TypedDict):
    """`theirs` puts the kept configuration in force, `ours` drops it; on both directors."""

    take: Literal["theirs", "ours"]


async def show(context: Context, request: Request) -> Response:
    return Document(_host(context).view())


async def push(context: Context, request: Request) -> Response:
    return _done(context, request, "push", await _host(context).push())


async def pull(context: Context, request: Request) -> Response:
    return _done(context, request, "pull", await _host(context).pull())


async def change_key(context: Context, request: Request) -> Response:
    document = await _host(context).change_key()
    text = f"key {document['key_id']} of the heartbeats made, on both directors"
    context.director.chronicle.add(EventKind.OPERATOR, text, who=caller_of(request).user)
    return Document(document)


async def conflicts(context: Context, request: Request) -> Response:
    return Document(_host(context).conflicts())


async def conflict(context: Context, request: Request) -> Response:
    return Document(_host(context).conflict(request.path_params["id"]))


async def resolve(context: Context, request: Request) -> Response:
    body: ResolveBody = read(ResolveBody, await body_of(request))
    name = request.path_params["id"]
    outcome = await _host(context).resolve(name, theirs=body["take"] == "theirs")
    return _done(context, request, f"conflict {name}", outcome)


def _done(context: Context, request: Request, what: str, outcome: OutcomeDocument) -> Response:
    context.director.chronicle.add(EventKind.OPERATOR, f"{what}: {outcome['sentence']}", who=caller_of(request).user)
    return Document(outcome)


def _host(context: Context) -> ReplicationHost:
    if context.replication is None:
        raise PiranhaError("this director has no replication")
    return context.replication


OPERATIONS = (
    Operation(
        method="GET",
        path="/replication",
        handler=show,
        right=Right.VIEWER,
        summary="Whether both directors have the same configuration, and why not.",
        answer=ReplicationView,
        problems=(409,),
    ),
    Operation(
        method="POST",
        path="/replication/push",
        handler=push,
        right=Right.ADMIN,
        summary="Put this director's configuration in force on both.",
        answer=OutcomeDocument,
        problems=(409,),
    ),
    Operation(
        method="POST",
        path="/replication/pull",
        handler=pull,
        right=Right.ADMIN,
        summary="Put the other director's configuration in force on both.",
        answer=OutcomeDocument,
        problems=(409,),
    ),
    Operation(
        method="POST",
        path="/replication/key",
        handler=change_key,
        right=Right.ADMIN,
        summary="Make a new key for the heartbeats, on both directors.",
        answer=KeyChangeDocument,
        problems=(409,),
    ),
    Operation(
        method="GET",
        path="/configuration/conflicts",
        handler=conflicts,
        right=Right.VIEWER,
        summary="Configurations that were edited apart and are kept beside the one in force.",
        answer=ConflictsDocument,
        problems=(409,),
    ),
    Operation(
        method="GET",
        path="/configuration/conflicts/{id:str}",
        handler=conflict,
        right=Right.VIEWER,
        summary="One of them, with both texts.",
        answer=ConflictDocument,
        problems=(409,),
    ),
    Operation(
        method="POST",
        path="/configuration/conflicts/{id:str}",
        handler=resolve,
        right=Right.ADMIN,
        summary="End a conflict, on both directors.",
        answer=OutcomeDocument,
        body=ResolveBody,
        problems=(409,),
    ),
)
