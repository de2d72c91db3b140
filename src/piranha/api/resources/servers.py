"""Real servers: what each gets and why, and the operators' words about them."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from starlette.requests import Request
from starlette.responses import Response

from piranha.api.operation import Context, Operation, caller_of
from piranha.api.question import body_of
from piranha.api.render import Document
from piranha.api.rights import Right
from piranha.api.schema import read
from piranha.base.errors import UsageError
from piranha.director.servers import ServersDocument
from piranha.model.override import MOST_WEIGHT, Act

_LONGEST_S = 366 * 86400


class StateBody(TypedDict):
    """`service` is a virtual server's name or key; left out, it counts for every service. `weight` is of `weight` alone.

    `for_s`: taken back after so many seconds; of a drain, the longest it lasts. `release` takes back all that was said.
    """

    act: Literal["enable", "disable", "drain", "weight", "up", "down", "release"]
    service: NotRequired[str]
    weight: NotRequired[int]
    for_s: NotRequired[float | None]
    why: NotRequired[str]


async def servers(context: Context, request: Request) -> Response:
    return Document(context.director.servers())


async def say(context: Context, request: Request) -> Response:
    body = read(StateBody, await body_of(request))
    weight, duration_s = body.get("weight"), body.get("for_s")
    if (body["act"] == "weight") != (weight is not None):
        raise UsageError("/weight stands beside the act `weight`, and only there")
    if weight is not None and not 0 <= weight <= MOST_WEIGHT:
        raise UsageError(f"/weight is from 0 to {MOST_WEIGHT}")
    if duration_s is not None and not 0 < duration_s <= _LONGEST_S:
        raise UsageError(f"/for_s is above 0 and at most {_LONGEST_S}")
    document = context.director.say(
        request.path_params["server"],
        None if body["act"] == "release" else Act(body["act"]),
        service=body.get("service", ""),
        weight=weight or 0,
        duration_s=duration_s,
        who=caller_of(request).user,
        why=body.get("why", ""),
    )
    return Document(document)


OPERATIONS = (
    Operation(
        method="GET",
        path="/servers",
        handler=servers,
        right=Right.VIEWER,
        summary="Every real server in every service: what it gets, why, and what operators said of it.",
        answer=ServersDocument,
    ),
    Operation(
        method="POST",
        path="/servers/{server}/state",
        handler=say,
        right=Right.OPERATOR,
        summary="Enable, disable, drain, weigh or force a server, named by its name or address.",
        answer=ServersDocument,
        body=StateBody,
        problems=(409,),
    ),
)
