"""The API about itself."""

from __future__ import annotations

from functools import cache
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from piranha.api.openapi import openapi
from piranha.api.operation import Context, Operation
from piranha.api.render import Document
from piranha.api.rights import Right


async def show(context: Context, request: Request) -> Response:
    return Document(_document())


@cache
def _document() -> Any:
    # The table holds this handler.
    from piranha.api.operations import OPERATIONS, PREFIX

    return openapi(OPERATIONS, PREFIX)


OPERATIONS = (
    Operation(
        method="GET",
        path="/openapi.json",
        handler=show,
        right=Right.VIEWER,
        summary="This description, as OpenAPI 3.1.",
        answer=dict[str, Any],
    ),
)
