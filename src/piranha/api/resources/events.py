"""What happened: verdicts, roles, alarms, repairs, configurations, acts of operators."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from piranha.api.operation import Context, Operation, Parameter
from piranha.api.question import known_words, whole_number
from piranha.api.render import Document
from piranha.api.rights import Right
from piranha.director.events import KEPT, EventKind, EventsDocument

_DEFAULT_LIMIT = 100
_KINDS = [kind.value for kind in EventKind]


async def events(context: Context, request: Request) -> Response:
    known_words(request, ("after", "limit", "kind"))
    limit = whole_number(request, "limit", _DEFAULT_LIMIT, most=KEPT)
    kinds = frozenset(request.query_params.getlist("kind"))
    log = context.director.chronicle.log
    if "after" in request.query_params:
        return Document(log.document(whole_number(request, "after", 0), limit, kinds))
    return Document(log.latest(limit, kinds))


OPERATIONS = (
    Operation(
        method="GET",
        path="/events",
        handler=events,
        right=Right.VIEWER,
        summary="Events: the first ones after a number, or without `after` the latest; the oldest first.",
        answer=EventsDocument,
        query=(
            Parameter(
                name="after",
                meaning="only events with a higher number",
                schema={"type": "integer", "minimum": 0, "maximum": 999_999_999},
            ),
            Parameter(
                name="limit",
                meaning=f"how many at most, {_DEFAULT_LIMIT} without it",
                schema={"type": "integer", "minimum": 0, "maximum": KEPT},
            ),
            Parameter(name="kind", meaning="only of this kind; may be repeated", schema={"enum": _KINDS}),
        ),
    ),
)
