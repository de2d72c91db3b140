"""The page around a form of directives: the form whole, or for htmx only what lvsd says of it."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from piranha.gui.context import Context
from piranha.gui.editing import Outcome, Stored
from piranha.gui.forms import seen_text
from piranha.gui.guard import is_fragment
from piranha.gui.page import Who
from piranha.gui.render import page
from piranha.gui.role import Role


def edit_page(
    context: Context,
    request: Request,
    who: Who,
    template: str,
    stored: Stored,
    outcome: Outcome,
    *,
    title: str,
    action: str,
    **values: Any,
) -> Response:
    """htmx asks while a person types: it gets the verdict alone, with 200, for an answer it is."""
    fields = list(outcome.fields)
    shown = {
        "title": title,
        "action": action,
        "digest": stored.digest,
        "version_no": stored.document["version"],
        "seen": seen_text(fields),
        "common": [field for field in fields if field.original and not field.inert],
        "further": [field for field in fields if not field.original or field.inert],
        "outcome": outcome,
        "may_change": who.role >= Role.ADMIN,
        "awaits": stored.document["awaits"],
        **values,
    }
    if is_fragment(request):
        return page(context, request, who, "_verdict.html", **shown)
    return page(context, request, who, template, status=outcome.status, **shown)
