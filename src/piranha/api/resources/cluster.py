"""The pair of directors: asked of pulse, which decides."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from piranha.api.operation import Context, Operation, caller_of
from piranha.api.render import Document
from piranha.api.rights import Right
from piranha.base.errors import PiranhaError
from piranha.director.events import EventKind

_VERBS = {
    "switch": "Change over to the other director, in order.",
    "maintenance_on": "Keep this director out of the pair's play.",
    "maintenance_off": "Let this director take part again.",
}


async def show(context: Context, request: Request) -> Response:
    return Document(await _ask(context, "status"))


async def act(context: Context, request: Request) -> Response:
    verb = request.url.path.rpartition("/")[2]
    answer = await _ask(context, verb)
    who = caller_of(request).user
    if not answer.get("done"):
        text = str(answer.get("text", "pulse refused"))
        context.director.chronicle.add(EventKind.OPERATOR, f"{verb} refused: {text}", who=who)
        raise PiranhaError(text)
    context.director.chronicle.add(EventKind.OPERATOR, verb.replace("_", " "), who=who)
    return Document(answer)


async def _ask(context: Context, request: str) -> dict[str, Any]:
    if context.pulse is None:
        raise PiranhaError("this director has no pulse", mend="start it: systemctl start pulse")
    return await context.pulse.ask(request)


OPERATIONS = (
    Operation(
        method="GET",
        path="/cluster",
        handler=show,
        right=Right.VIEWER,
        summary="Roles, heartbeats, lease and alarms of the pair, as pulse tells them.",
        answer=dict[str, Any],
        problems=(409,),
    ),
    *(
        Operation(
            method="POST",
            path=f"/cluster/{verb}",
            handler=act,
            right=Right.OPERATOR,
            summary=summary,
            answer=dict[str, Any],
            problems=(409,),
        )
        for verb, summary in _VERBS.items()
    ),
)
