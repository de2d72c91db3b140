"""The doctor's findings, and the first-run wizard."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from piranha.gui.context import Context
from piranha.gui.editing import Outcome, form_of, read_stored, send_changes
from piranha.gui.lvsd import ProblemError
from piranha.gui.page import Page, Who
from piranha.gui.render import moved, page
from piranha.gui.role import Role

_MOST_SERVERS = 32
METHODS = {"direct": "direct routing", "nat": "NAT (masquerading)", "tunnel": "tunnelling"}


async def show_doctor(context: Context, request: Request, who: Who) -> Response:
    findings: list[dict[str, Any]] | None = None
    try:
        found = (await context.lvsd.get("doctor", who))["findings"]
        findings = sorted(found, key=lambda finding: finding["verdict"] == "ok")
    except ProblemError as error:
        if error.status != 404:
            raise
    status = await context.lvsd.get("status", who)
    return page(context, request, who, "doctor.html", title="Doctor", findings=findings, director=status)


async def show_wizard(context: Context, request: Request, who: Who) -> Response:
    stored = await read_stored(context, who)
    given = {
        "primary": str(stored.values["primary"] or ""),
        "network": str(stored.values["network"]),
        "name": "web",
        "vip": "",
        "device": "",
        "port": "80",
        "scheduler": "wlc",
        "servers": "",
    }
    return _wizard_page(context, request, who, given, Outcome(fields=(), digest=stored.digest))


async def finish_wizard(context: Context, request: Request, who: Who) -> Response:
    form = await form_of(request)
    given = {
        name: str(form.get(name, "")).strip()
        for name in ("primary", "network", "name", "vip", "device", "port", "scheduler")
    }
    given["servers"] = str(form.get("servers", ""))
    digest = str(form.get("digest", ""))
    changes, faults = wizard_changes(given)
    outcome = Outcome(fields=(), digest=digest, faults=faults, status=422)
    if not faults:
        rehearse = form.get("act") == "rehearse"
        outcome = await send_changes(context, who, digest, changes, form=_commented(form), rehearse=rehearse)
    if outcome.done is not None:
        request.state.detail = f"virtual {given['name']}"
        return moved(request, f"/virtual-servers?saved={outcome.done['version']}")
    if outcome.conflict:
        outcome = replace(outcome, digest=(await read_stored(context, who)).digest)
    return _wizard_page(context, request, who, given, outcome)


def wizard_changes(given: dict[str, str]) -> tuple[list[dict[str, Any]], list[str]]:
    """One virtual server with its real servers, one address a line. What lvsd judges better is left to it."""
    faults = [f"{label} is missing" for name, label in _NEEDED.items() if not given[name].strip()]
    addresses = given["servers"].split()
    if not 1 <= len(addresses) <= _MOST_SERVERS:
        faults.append(f"name from 1 to {_MOST_SERVERS} real servers, one address a line")
    service = {
        "active": "1",
        "address": f"{given['vip']} {given['device']}".strip(),
        "port": given["port"],
        "scheduler": given["scheduler"],
    }
    path = ["virtual", given["name"]]
    changes: list[dict[str, Any]] = [
        {"path": [], "set": {"primary": given["primary"], "network": given["network"], "service": "lvs"}},
        {"path": path, "act": "add", "set": service},
    ]
    for number, address in enumerate(addresses, start=1):
        server = {"address": address, "active": "1", "weight": "1"}
        changes.append({"path": [*path, "server", f"{given['name']}{number}"], "act": "add", "set": server})
    return changes, faults


_NEEDED = {
    "primary": "the address of this director",
    "name": "a name",
    "vip": "the virtual IP address",
    "device": "the device",
}


def _commented(form: FormData) -> dict[str, Any]:
    return {"comment": "made with the wizard", "confirm_s": form.get("confirm_s")}


def _wizard_page(context: Context, request: Request, who: Who, given: dict[str, str], outcome: Outcome) -> Response:
    return page(
        context,
        request,
        who,
        "wizard.html",
        status=outcome.status,
        title="A first virtual server",
        given=given,
        outcome=outcome,
        methods=METHODS,
    )


PAGES = (
    Page(path="/doctor", methods={"GET": (Role.VIEWER, show_doctor)}),
    Page(path="/wizard", methods={"GET": (Role.ADMIN, show_wizard), "POST": (Role.ADMIN, finish_wizard)}),
)
