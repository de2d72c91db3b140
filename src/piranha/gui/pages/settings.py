"""GLOBAL SETTINGS and REDUNDANCY: the directives that stand outside of blocks."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from piranha.gui.context import Context
from piranha.gui.editing import Outcome, edit_block, flash_of, form_of, read_stored
from piranha.gui.forms import REDUNDANCY, fields_of
from piranha.gui.lvsd import ProblemError
from piranha.gui.page import Page, Who
from piranha.gui.pages.control import pair_or_none
from piranha.gui.pages.edit_view import edit_page
from piranha.gui.render import moved
from piranha.gui.role import Role

_WRITTEN_BY_US = ("serial_no",)


async def show_global(context: Context, request: Request, who: Who) -> Response:
    return await _show(context, request, who, redundancy=False)


async def change_global(context: Context, request: Request, who: Who) -> Response:
    return await _change(context, request, who, redundancy=False)


async def show_redundancy(context: Context, request: Request, who: Who) -> Response:
    return await _show(context, request, who, redundancy=True)


async def change_redundancy(context: Context, request: Request, who: Who) -> Response:
    return await _change(context, request, who, redundancy=True)


async def resolve(context: Context, request: Request, who: Who) -> Response:
    """Put an end to a conflict of the two directors' configurations: their text or ours, on both."""
    form = await form_of(request)
    name, take = str(form.get("id", "")), str(form.get("take", ""))
    request.state.detail = f"conflict {name}: {take}"
    done = await context.lvsd.send("POST", f"configuration/conflicts/{quote(name, safe='')}", who, {"take": take})
    request.state.detail += f": {done['sentence']}"
    return moved(request, "/redundancy?resolved=1")


async def _replication(context: Context, who: Who) -> dict[str, Any] | None:
    """Whether both directors have the same configuration; None where there is nothing to compare."""
    try:
        view: dict[str, Any] = await context.lvsd.get("replication", who)
    except ProblemError:
        return None
    return view


async def _show(
    context: Context, request: Request, who: Who, *, redundancy: bool, outcome: Outcome | None = None
) -> Response:
    stored = await read_stored(context, who)
    names = _names(stored.directives, redundancy)
    if outcome is None:
        outcome = Outcome(fields=fields_of(stored.scope("global"), stored.values, names), digest=stored.digest)
    return edit_page(
        context,
        request,
        who,
        "redundancy.html" if redundancy else "global.html",
        stored,
        outcome,
        title="Redundancy" if redundancy else "Global settings",
        action=request.url.path,
        pair=await pair_or_none(context, who) if redundancy else None,
        replication=await _replication(context, who) if redundancy else None,
    )


async def _change(context: Context, request: Request, who: Who, *, redundancy: bool) -> Response:
    stored, form = await read_stored(context, who), await form_of(request)
    outcome = await edit_block(
        context,
        who,
        stored,
        form,
        path=(),
        scope="global",
        values=stored.values,
        names=_names(stored.directives, redundancy),
        rehearse=form.get("act") == "rehearse",
    )
    if outcome.done is not None:
        request.state.detail = flash_of(outcome.done)
        return moved(request, f"{request.url.path}?saved={outcome.done['version']}")
    return await _show(context, request, who, redundancy=redundancy, outcome=outcome)


def _names(directives: object, redundancy: bool) -> list[str]:
    assert isinstance(directives, list)
    names = [one["name"] for one in directives if one["scope"] == "global" and one["name"] not in _WRITTEN_BY_US]
    return [name for name in names if (name in REDUNDANCY) == redundancy]


PAGES = (
    Page(path="/global", methods={"GET": (Role.VIEWER, show_global), "POST": (Role.ADMIN, change_global)}),
    Page(path="/redundancy", methods={"GET": (Role.VIEWER, show_redundancy), "POST": (Role.ADMIN, change_redundancy)}),
    Page(path="/redundancy/conflict", methods={"POST": (Role.ADMIN, resolve)}),
)
