"""Errors as RFC 9457 `application/problem+json`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from piranha.api.precondition import PreconditionRequiredError
from piranha.api.render import render
from piranha.base.errors import PiranhaError, UsageError
from piranha.config.changes import RefusedChangesError
from piranha.config.store import ChangedMeanwhileError, RefusedTextError
from piranha.director.source import ConfigurationError
from piranha.director.status import problem_view

MEDIA_TYPE = "application/problem+json"
_PREFIX = "urn:piranha:problem:"

logger = logging.getLogger(__name__)


def problem(status: HTTPStatus, kind: str, detail: str, members: Mapping[str, object] | None = None) -> Response:
    """One problem document. `kind` is the stable word of its type; `members` are RFC 9457 extension members."""
    body = {"type": _PREFIX + kind, "title": status.phrase, "status": status.value, "detail": detail, **(members or {})}
    return Response(render(body), status_code=status.value, media_type=MEDIA_TYPE)


async def on_refusal(request: Request, error: Exception) -> Response:
    """A `PiranhaError`: 422 with every finding for a bad text, 400 for a bad question, 412 and 428 for a change on
    another text, 409 for the rest."""
    if isinstance(error, RefusedChangesError):
        faults = [{"pointer": fault.pointer, "detail": fault.message, "mend": fault.mend} for fault in error.faults]
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "changes", error.message, {"errors": faults})
    if isinstance(error, ConfigurationError | RefusedTextError):
        findings = [problem_view(finding) for finding in error.problems]
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "configuration", str(error), {"problems": findings})
    assert isinstance(error, PiranhaError)
    members = {"mend": error.mend} if error.mend else {}
    if isinstance(error, PreconditionRequiredError):
        return problem(HTTPStatus.PRECONDITION_REQUIRED, "precondition", error.message, members)
    if isinstance(error, ChangedMeanwhileError):
        return problem(HTTPStatus.PRECONDITION_FAILED, "changed", error.message, members)
    if isinstance(error, UsageError):
        return problem(HTTPStatus.BAD_REQUEST, "question", error.message, members)
    return problem(HTTPStatus.CONFLICT, "refused", error.message, members)


async def on_http_error(request: Request, error: Exception) -> Response:
    """No such page, wrong method."""
    assert isinstance(error, HTTPException)
    answer = problem(HTTPStatus(error.status_code), "http", f"{request.method} {request.url.path}: {error.detail}")
    for name, value in (error.headers or {}).items():
        answer.headers[name] = value
    return answer


async def on_crash(request: Request, error: Exception) -> Response:
    """A programmer's error: told to the log by the server, to the client without its inside."""
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "internal error, see the log of lvsd")
