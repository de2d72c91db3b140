"""VIRTUAL SERVERS: the list, and each with its sub-tabs VIRTUAL SERVER, REAL SERVER, MONITORING SCRIPTS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response

from piranha.base.errors import PiranhaError, UsageError
from piranha.gui.context import Context
from piranha.gui.editing import (
    Outcome,
    Stored,
    comment_of,
    edit_block,
    flash_of,
    form_of,
    read_stored,
    seconds_of,
    send_changes,
)
from piranha.gui.forms import CHECKS, Field, fields_of, filled
from piranha.gui.page import Page, Who
from piranha.gui.pages.control import rows_of
from piranha.gui.pages.edit_view import edit_page
from piranha.gui.render import moved, page
from piranha.gui.role import Role
from piranha.gui.show import service_key

LIST, EDIT, SERVER, NEW = "/virtual-servers", "/virtual-servers/edit", "/virtual-servers/server", "/virtual-servers/new"
TABS = {"service": "Virtual server", "servers": "Real server", "checks": "Monitoring scripts"}


async def show_list(context: Context, request: Request, who: Who) -> Response:
    lines = (await context.lvsd.get("status", who))["services"]
    stored = await context.lvsd.get("configuration", who)
    served = {line["name"] for line in lines}
    off = [virtual for virtual in stored["values"]["virtuals"] if virtual["name"] not in served]
    return page(
        context,
        request,
        who,
        "virtual_servers.html",
        title="Virtual servers",
        off=off,
        digest=stored["digest"],
        known={virtual["name"] for virtual in stored["values"]["virtuals"]},
        **rows_of(lines, request),
    )


async def show_servers_of(context: Context, request: Request, who: Who) -> Response:
    """The real servers of one service, for a row that was opened."""
    wanted = request.query_params.get("service", "")
    for service in (await context.lvsd.get("services", who))["services"]:
        if service_key(service) == wanted:
            return page(context, request, who, "_servers.html", service=service)
    raise PiranhaError("there is no such service any more", mend="load the page again")


async def change_several(context: Context, request: Request, who: Who) -> Response:
    """Activate, deactivate or delete the virtual servers that are ticked."""
    form = await form_of(request)
    names, act = [str(name) for name in form.getlist("name")], form.get("act")
    if not names:
        raise UsageError("no virtual server is ticked")
    if act in ("activate", "deactivate"):
        value = "1" if act == "activate" else "0"
        changes: list[dict[str, Any]] = [{"path": ["virtual", name], "set": {"active": value}} for name in names]
    elif act == "delete":
        if form.get("typed") != "delete":
            raise UsageError("nothing was done: type delete to confirm")
        changes = [{"path": ["virtual", name], "act": "delete"} for name in names]
    else:
        raise UsageError("there is no such act")
    request.state.detail = f"{act} {', '.join(names)}"
    outcome = await send_changes(context, who, str(form.get("digest", "")), changes, form=form)
    if outcome.done is None:
        raise PiranhaError("; ".join(outcome.faults), mend="load the page again and repeat it")
    return moved(request, f"{LIST}?saved={outcome.done['version']}")


async def show_edit(context: Context, request: Request, who: Who) -> Response:
    return await _edit_page(context, request, who, await read_stored(context, who))


async def change(context: Context, request: Request, who: Who) -> Response:
    stored, form = await read_stored(context, who), await form_of(request)
    name = request.query_params.get("virtual", "")
    path, values = stored.block("virtual", name)
    new_name = form.get("new_name")
    request.state.detail = f"virtual {name}"
    outcome = await edit_block(
        context,
        who,
        stored,
        form,
        path=path,
        scope="virtual",
        values=values,
        names=_names(stored, _tab(request)),
        new_name=new_name.strip() if isinstance(new_name, str) and new_name.strip() else None,
        rehearse=form.get("act") == "rehearse",
    )
    if outcome.done is None:
        return await _edit_page(context, request, who, stored, outcome)
    request.state.detail = f"virtual {name}: {flash_of(outcome.done)}"
    shown = new_name.strip() if isinstance(new_name, str) and new_name.strip() else name
    return moved(request, _url(EDIT, virtual=shown, tab=_tab(request), saved=outcome.done["version"]))


async def show_new(context: Context, request: Request, who: Who) -> Response:
    stored = await read_stored(context, who)
    return _new_page(context, request, who, stored, Outcome(fields=_new_fields(stored), digest=stored.digest), "")


async def add(context: Context, request: Request, who: Who) -> Response:
    stored, form = await read_stored(context, who), await form_of(request)
    name = str(form.get("new_name", "")).strip()
    request.state.detail = f"virtual {name}"
    fields = filled(_new_fields(stored), form)
    change = {
        "path": ["virtual", name],
        "act": "add",
        "set": {one.name: one.shown for one in fields if one.shown.strip()},
    }
    if not name:
        outcome = Outcome(fields=fields, digest=stored.digest, faults=["a virtual server needs a name"], status=422)
    else:
        rehearse = form.get("act") == "rehearse"
        digest = str(form.get("digest") or stored.digest)
        outcome = await send_changes(context, who, digest, [change], fields=fields, form=form, rehearse=rehearse)
    if outcome.done is None:
        return _new_page(context, request, who, stored, outcome, name)
    return moved(request, _url(EDIT, virtual=name, tab="servers", saved=outcome.done["version"]))


async def show_server(context: Context, request: Request, who: Who) -> Response:
    return await _server_page(context, request, who, await read_stored(context, who))


async def change_server(context: Context, request: Request, who: Who) -> Response:
    stored, form = await read_stored(context, who), await form_of(request)
    virtual, name = request.query_params.get("virtual", ""), request.query_params.get("server", "")
    request.state.detail = f"virtual {virtual} server {name}"
    if form.get("act") == "delete":
        if form.get("typed") != name:
            raise UsageError(f"nothing was done: type {name} to confirm")
        path, _ = stored.server("virtual", virtual, name)
        digest = str(form.get("digest") or stored.digest)
        outcome = await send_changes(context, who, digest, [{"path": path, "act": "delete"}], form=form)
        if outcome.done is None:
            raise PiranhaError("; ".join(outcome.faults))
        return moved(request, _url(EDIT, virtual=virtual, tab="servers", saved=outcome.done["version"]))
    rehearse = form.get("act") == "rehearse"
    new_name = str(form.get("new_name", "")).strip()
    if name:
        path, values = stored.server("virtual", virtual, name)
        outcome = await edit_block(
            context,
            who,
            stored,
            form,
            path=path,
            scope="server",
            values=values,
            names=None,
            new_name=new_name or None,
            rehearse=rehearse,
        )
    else:
        path, _ = stored.block("virtual", virtual)
        fields = filled(_new_server_fields(stored), form)
        given = {one.name: one.shown for one in fields if one.shown.strip()}
        added = {"path": [*path, "server", new_name], "act": "add", "set": given}
        digest = str(form.get("digest") or stored.digest)
        if new_name:
            outcome = await send_changes(context, who, digest, [added], fields=fields, form=form, rehearse=rehearse)
        else:
            outcome = Outcome(fields=fields, digest=digest, faults=["a real server needs a name"], status=422)
    if outcome.done is None:
        return await _server_page(context, request, who, stored, outcome)
    target = _url(EDIT, virtual=virtual, tab="servers", saved=outcome.done["version"])
    return moved(request, target)


async def say(context: Context, request: Request, who: Who) -> Response:
    """Drain, disable, enable, weigh or force a real server: an operator's word, which the configuration does not know."""
    form = await form_of(request)
    virtual, name = request.query_params.get("virtual", ""), request.query_params.get("server", "")
    act = str(form.get("act", ""))
    body: dict[str, Any] = {"act": act, "why": comment_of({"comment": form.get("why", "")})}
    if form.get("where") != "everywhere":
        body["service"] = virtual
    if act == "weight":
        weight = str(form.get("weight", "")).strip()
        if not weight.isascii() or not weight.isdigit() or len(weight) > 9:
            raise UsageError("a weight is a number from 0 up")
        body["weight"] = int(weight)
    minutes = seconds_of(form.get("minutes"))
    if minutes is not None:
        body["for_s"] = minutes * 60
    request.state.detail = f"{act} {name} in {body.get('service', 'every service')}"
    await context.lvsd.send("POST", f"servers/{quote(name, safe='')}/state", who, body)
    return moved(request, _url(SERVER, virtual=virtual, server=name, said=act))


async def _edit_page(
    context: Context, request: Request, who: Who, stored: Stored, outcome: Outcome | None = None
) -> Response:
    name, tab = request.query_params.get("virtual", ""), _tab(request)
    _, values = stored.block("virtual", name)
    if outcome is None:
        fields = fields_of(stored.scope("virtual"), values, _names(stored, tab))
        outcome = Outcome(fields=fields, digest=stored.digest)
    services = [one for one in (await context.lvsd.get("services", who))["services"] if one["name"] == values["name"]]
    return edit_page(
        context,
        request,
        who,
        "virtual_server.html",
        stored,
        outcome,
        title=f"Virtual server {values['name']}",
        action=_url(EDIT, virtual=name, tab=tab),
        name=name,
        tab=tab,
        tabs=TABS,
        virtual=values,
        service=services[0] if services else None,
    )


def _new_page(context: Context, request: Request, who: Who, stored: Stored, outcome: Outcome, name: str) -> Response:
    title = "New virtual server"
    return edit_page(
        context, request, who, "virtual_server_new.html", stored, outcome, title=title, action=NEW, name=name
    )


async def _server_page(
    context: Context, request: Request, who: Who, stored: Stored, outcome: Outcome | None = None
) -> Response:
    virtual, name = request.query_params.get("virtual", ""), request.query_params.get("server", "")
    status: Mapping[str, Any] | None = None
    place: Mapping[str, Any] | None = None
    events: Sequence[Mapping[str, Any]] = ()
    if name:
        _, values = stored.server("virtual", virtual, name)
        fields = fields_of(stored.scope("server"), values)
        for service in (await context.lvsd.get("services", who))["services"]:
            found = [server for server in service["servers"] if server["name"] == values["name"]]
            if service["name"] == virtual and found:
                status = found[0]
        for one in (await context.lvsd.get("servers", who))["servers"]:
            if one["service"] == virtual and one["name"] == values["name"]:
                place = one
        document = await context.lvsd.get("events", who, {"limit": "1000", "kind": "health"})
        subject = f"{virtual} {values['name']}"
        events = [event for event in reversed(document["events"]) if event["subject"] == subject][:50]
    else:
        stored.block("virtual", virtual)
        fields = _new_server_fields(stored)
    if outcome is None:
        outcome = Outcome(fields=fields, digest=stored.digest)
    return edit_page(
        context,
        request,
        who,
        "real_server.html",
        stored,
        outcome,
        title=f"Real server {name}" if name else "New real server",
        action=_url(SERVER, virtual=virtual, server=name),
        virtual=virtual,
        name=name,
        server=status,
        place=place,
        may_act=who.role >= Role.OPERATOR,
        events=events,
    )


def _new_fields(stored: Stored) -> list[Field]:
    """What a new virtual server begins with: in service, port 80, weighted least connections."""
    fields = fields_of(stored.scope("virtual"), {}, _names(stored, "service"))
    return _begun(fields, {"active": "1", "port": "80", "protocol": "tcp", "scheduler": "wlc"})


def _new_server_fields(stored: Stored) -> list[Field]:
    return _begun(fields_of(stored.scope("server"), {}), {"active": "1", "weight": "1"})


def _begun(fields: Sequence[Field], values: Mapping[str, str]) -> list[Field]:

    return [replace(one, typed=values[one.name]) if one.name in values else one for one in fields]


def _names(stored: Stored, tab: str) -> list[str]:
    names = [one["name"] for one in stored.scope("virtual")]
    return [name for name in names if (name in CHECKS) == (tab == "checks")]


def _tab(request: Request) -> str:
    tab = request.query_params.get("tab", "service")
    return tab if tab in TABS else "service"


def _url(path: str, **query: object) -> str:
    return f"{path}?{urlencode({name: str(value) for name, value in query.items()})}"


PAGES = (
    Page(path=LIST, methods={"GET": (Role.VIEWER, show_list), "POST": (Role.ADMIN, change_several)}),
    Page(path="/virtual-servers/servers", methods={"GET": (Role.VIEWER, show_servers_of)}),
    Page(path=EDIT, methods={"GET": (Role.VIEWER, show_edit), "POST": (Role.ADMIN, change)}),
    Page(path=NEW, methods={"GET": (Role.ADMIN, show_new), "POST": (Role.ADMIN, add)}),
    Page(path=SERVER, methods={"GET": (Role.VIEWER, show_server), "POST": (Role.ADMIN, change_server)}),
    Page(path=f"{SERVER}/state", methods={"POST": (Role.OPERATOR, say)}),
)
