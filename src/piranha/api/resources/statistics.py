"""What the counters did over the last minutes and the last day."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from piranha.api.operation import Context, Operation, Parameter
from piranha.api.question import known_words, whole_number
from piranha.api.render import Document
from piranha.api.rights import Right
from piranha.director.history import MINUTES, SECONDS, StatisticsDocument

_DEFAULT_S = 300
_MOST_S = 60 * MINUTES


async def statistics(context: Context, request: Request) -> Response:
    known_words(request, ("service", "seconds"))
    seconds = whole_number(request, "seconds", _DEFAULT_S, most=_MOST_S)
    name = request.query_params.get("service", "")
    document = context.director.statistics(name, max(1, seconds))
    if document is None:
        raise HTTPException(404, f"no service is named {name[:80]}")
    return Document(document)


OPERATIONS = (
    Operation(
        method="GET",
        path="/statistics",
        handler=statistics,
        right=Right.VIEWER,
        summary="Rates and active connections of a service, or of all, over the last seconds.",
        answer=StatisticsDocument,
        query=(
            Parameter(
                name="service",
                meaning="name in lvs.cf, or key as `tcp 10.0.0.100:80`; without it the total",
                schema={"type": "string"},
            ),
            Parameter(
                name="seconds",
                meaning=f"how far back, {_DEFAULT_S} without it; by the second up to {SECONDS}, above by the minute",
                schema={"type": "integer", "minimum": 0, "maximum": _MOST_S},
            ),
        ),
        problems=(404,),
    ),
)
