"""The configuration as text: edit, dry run, history, differences, rollback, confirmation."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from piranha.base.errors import PiranhaError, UsageError
from piranha.gui.context import Context
from piranha.gui.editing import CHANGED_MEANWHILE, comment_of, flash_of, form_of, seconds_of
from piranha.gui.forms import sentence
from piranha.gui.guard import is_fragment
from piranha.gui.lvsd import ProblemError
from piranha.gui.page import Page, Who
from piranha.gui.render import moved, page
from piranha.gui.role import Role

_REFUSED = (400, 409, CHANGED_MEANWHILE, 422)


async def show_configuration(context: Context, request: Request, who: Who) -> Response:
    return await _editor(context, request, who)


async def store(context: Context, request: Request, who: Who) -> Response:
    form = await form_of(request)
    text = str(form.get("text", "")).replace("\r\n", "\n")
    if form.get("act") == "rehearse":
        checked = await context.lvsd.send("POST", "configuration/check", who, {"text": text})
        if is_fragment(request):
            return page(context, request, who, "_check.html", checked=checked, faults=[])
        return await _editor(context, request, who, text=text, checked=checked)
    body: dict[str, Any] = {"text": text, "comment": comment_of(form)}
    if (confirm_s := seconds_of(form.get("confirm_s"))) is not None:
        body["confirm_s"] = confirm_s
    digest = str(form.get("digest", ""))
    try:
        done = await context.lvsd.send("PUT", "configuration", who, body, if_match=f'"{digest}"')
    except ProblemError as error:
        if error.status not in _REFUSED:
            raise
        request.state.detail = error.message
        checked = {"usable": False, "problems": error.document.get("problems", []), "plan": None}
        faults = [] if checked["problems"] else [sentence(error.message, error.mend)]
        return await _editor(
            context, request, who, text=text, checked=checked, faults=faults, status=error.status, digest=digest
        )
    request.state.detail = flash_of(done)
    return moved(request, f"/configuration?saved={done['version']}")


async def show_version(context: Context, request: Request, who: Who) -> Response:
    number = request.path_params["number"]
    document = await context.lvsd.get(f"configuration/versions/{number}", who)
    return page(context, request, who, "version.html", title=f"Version {number}", document=document)


async def show_difference(context: Context, request: Request, who: Who) -> Response:
    query = {name: request.query_params[name] for name in ("from", "to") if request.query_params.get(name)}
    versions = (await context.lvsd.get("configuration/versions", who))["versions"]
    if len(versions) < 2 and not query:
        raise PiranhaError("there is only one version yet", mend="the first change makes the second")
    document = await context.lvsd.get("configuration/diff", who, query)
    title = f"Versions {document['before']} and {document['after']}"
    return page(context, request, who, "difference.html", title=title, document=document)


async def roll_back(context: Context, request: Request, who: Who) -> Response:
    form = await form_of(request)
    number = str(form.get("version", ""))
    if not number.isascii() or not number.isdigit() or len(number) > 9:
        raise UsageError("which version?")
    body = {"version": int(number), "comment": comment_of(form)}
    done = await context.lvsd.send("POST", "configuration/rollback", who, body)
    request.state.detail = f"to version {number}: {flash_of(done)}"
    return moved(request, f"/configuration?saved={done['version']}")


async def confirm(context: Context, request: Request, who: Who) -> Response:
    await context.lvsd.send("POST", "configuration/confirm", who)
    return moved(request, "/configuration?confirmed=1")


async def reload(context: Context, request: Request, who: Who) -> Response:
    done = await context.lvsd.send("POST", "reload", who)
    request.state.detail = f"{len(done['changes'])} changes of the table"
    return moved(request, "/configuration?reloaded=1")


async def _editor(
    context: Context,
    request: Request,
    who: Who,
    *,
    text: str | None = None,
    checked: dict[str, Any] | None = None,
    faults: list[str] | None = None,
    status: int = 200,
    digest: str | None = None,
) -> Response:
    stored, known = await asyncio.gather(
        context.lvsd.get("configuration", who), context.lvsd.get("configuration/versions", who)
    )
    moved_on = digest is not None and digest != stored["digest"]
    return page(
        context,
        request,
        who,
        "configuration.html",
        status=status,
        title="Configuration",
        stored=stored,
        text=stored["text"] if text is None else text,
        digest=stored["digest"],
        theirs=stored["text"] if moved_on else None,
        checked=checked,
        faults=faults or [],
        versions=known["versions"],
        awaits=stored["awaits"],
        may_change=who.role >= Role.ADMIN,
    )


PAGES = (
    Page(path="/configuration", methods={"GET": (Role.VIEWER, show_configuration), "POST": (Role.ADMIN, store)}),
    Page(path="/configuration/versions/{number:int}", methods={"GET": (Role.VIEWER, show_version)}),
    Page(path="/configuration/difference", methods={"GET": (Role.VIEWER, show_difference)}),
    Page(path="/configuration/rollback", methods={"POST": (Role.ADMIN, roll_back)}),
    Page(path="/configuration/confirm", methods={"POST": (Role.ADMIN, confirm)}),
    Page(path="/configuration/reload", methods={"POST": (Role.ADMIN, reload)}),
)
