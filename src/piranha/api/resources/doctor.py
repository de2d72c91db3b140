"""The examination of this machine."""

from __future__ import annotations

import asyncio
from typing import TypedDict

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from piranha.api.operation import Context, Operation
from piranha.api.render import Document
from piranha.api.rights import Right


class FindingView(TypedDict):
    """`verdict` is ok, warning or problem; `meaning` and `mend` are empty where all is well."""

    subject: str
    verdict: str
    found: str
    meaning: str
    mend: str


class DoctorDocument(TypedDict):
    fit: bool
    findings: list[FindingView]


async def examine(context: Context, request: Request) -> Response:
    if context.examine is None:
        raise HTTPException(404, "this lvsd does not examine its machine: run `piranha doctor` there")
    # It asks the kernel many things, some of them slow.
    return Document(await asyncio.to_thread(context.examine))


OPERATIONS = (
    Operation(
        method="GET",
        path="/doctor",
        handler=examine,
        right=Right.VIEWER,
        summary="What this machine lacks for a director, and how to get it.",
        answer=DoctorDocument,
        problems=(404,),
    ),
)
