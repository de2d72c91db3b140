"""Templates, and errors as whoever asked can read them: a page, a part of one, or RFC 9457."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.requests import Request
from starlette.responses import Response

import piranha
from piranha.base.errors import PiranhaError
from piranha.gui import show
from piranha.gui.page import Who
from piranha.gui.role import GIVEN, Role

if TYPE_CHECKING:
    from piranha.gui.context import Context
    from piranha.gui.static import StaticFiles

_TEMPLATES = Path(__file__).parent / "templates"
_FORBIDDEN_IN_HEADERS = str.maketrans({"\r": " ", "\n": " "})


def make_templates(static: StaticFiles) -> Environment:
    """Everything is escaped; a name that is not there is an error, never an empty place."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals.update(
        static=static.url,
        has_static=static.has,
        version=piranha.__version__,
        Role=Role,
        given_roles=GIVEN,
        mark_of=show.mark_of,
        tone_of=show.tone_of,
        endpoint=show.endpoint,
    )
    environment.filters.update(scaled=show.scaled, whole=show.whole, ago=show.ago, clock=show.clock, ticks=show.ticks)
    return environment


def page(context: Context, request: Request, who: Who, template: str, *, status: int = 200, **values: Any) -> Response:
    """A page, or with a template that begins with `_` a part of one."""
    text = context.templates.get_template(template).render(
        who=who, path=request.url.path, config_meta='{"allowEval":false,"includeIndicatorStyles":false}', **values
    )
    return Response(text, status, media_type="text/html")


def moved(request: Request, target: str) -> Response:
    """Go on there: a 303 for a form, a word to htmx."""
    target = target.translate(_FORBIDDEN_IN_HEADERS)
    if request.headers.get("hx-request") == "true":
        return Response(status_code=204, headers={"hx-redirect": target})
    return Response(status_code=303, headers={"location": target})


def failure(
    context: Context,
    request: Request,
    who: Who,
    status: int,
    error: PiranhaError | str,
    document: Mapping[str, Any] | None = None,
) -> Response:
    """`document` is lvsd's own problem, where it said one."""
    message, mend = (error.message, error.mend) if isinstance(error, PiranhaError) else (error, "")
    title = HTTPStatus(status).phrase
    request.state.detail = message
    wants_page = "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/")
    is_part = request.headers.get("hx-request") == "true"
    if wants_page or is_part:
        template = "_failure.html" if is_part else "failure.html"
        return page(
            context, request, who, template, status=status, title=title, code=status, message=message, mend=mend
        )
    problem = document or {
        "type": f"urn:piranha:problem:{title.lower().replace(' ', '-')}",
        "title": title,
        "status": status,
        "detail": message,
        **({"mend": mend} if mend else {}),
    }
    return Response(json.dumps(problem), status, media_type="application/problem+json")
