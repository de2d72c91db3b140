"""What Prometheus reads."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from piranha.api.operation import Context, Operation
from piranha.api.rights import Right
from piranha.base.errors import PiranhaError
from piranha.metrics.exposition import MEDIA_TYPE
from piranha.metrics.families import exposition

_PULSE_WAIT_S = 1.0


async def metrics(context: Context, request: Request) -> Response:
    director = context.director
    text = exposition(
        director.status(),
        director.services(),
        director.figures(),
        watchers=context.live.watchers,
        pair=await _pair(context),
    )
    return Response(text.encode(), media_type=MEDIA_TYPE, headers={"cache-control": "no-store"})


async def _pair(context: Context) -> dict[str, Any] | None:
    """Pulse's own numbers, where it answers at once."""
    if context.pulse is None or not context.pulse.view.attached:
        return None
    try:
        return await context.pulse.ask("status", wait_s=_PULSE_WAIT_S)
    except (PiranhaError, TimeoutError, ValueError):
        return None


OPERATIONS = (
    Operation(
        method="GET",
        path="/metrics",
        handler=metrics,
        right=Right.VIEWER,
        summary="Metrics for Prometheus, also at /metrics.",
        answer=str,
        media_type="text/plain",
    ),
)
