"""Accounts, tokens for programs, and the audit log."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from piranha.base.errors import UsageError
from piranha.gui.accounts import DAY_S
from piranha.gui.audit import breaks_of
from piranha.gui.context import Context
from piranha.gui.editing import form_of
from piranha.gui.page import Page, Who
from piranha.gui.render import moved, page
from piranha.gui.role import Role

_SHOWN = 500
_DAYS = 90


async def show_accounts(context: Context, request: Request, who: Who) -> Response:
    return _accounts_page(context, request, who)


async def change_accounts(context: Context, request: Request, who: Who) -> Response:
    form = await form_of(request)
    act, name = form.get("act"), str(form.get("name", "")).strip()
    request.state.detail = f"{act} {name or form.get('id') or form.get('label') or ''}"
    if act in ("add", "link"):
        role = _role(form.get("role")) if act == "add" else Role.VIEWER
        if not name:
            raise UsageError("an account needs a name")
        if (context.accounts.account(name) is None) != (act == "add"):
            raise UsageError(f"there is {'already an' if act == 'add' else 'no'} account {name[:64]}")
        secret = context.accounts.make_link(name, role=role)
        base = f"https://{request.headers.get('host', '')}"
        return _accounts_page(context, request, who, link=f"{base}/link/{secret}", link_for=name)
    if act == "role":
        context.accounts.set_role(name, _role(form.get("role")))
    elif act == "delete":
        if form.get("typed") != name:
            raise UsageError(f"nothing was done: type {name[:64]} to confirm")
        context.accounts.delete(name)
    elif act == "token":
        days = str(form.get("days") or _DAYS)
        if not days.isascii() or not days.isdigit() or len(days) > 3:
            raise UsageError("how many days is the token to hold?")
        label, lifetime_s = str(form.get("label", "")), int(days) * DAY_S
        _, text = context.accounts.make_token(label, _role(form.get("role")), who.name, lifetime_s=lifetime_s)
        return _accounts_page(context, request, who, token=text)
    elif act == "revoke":
        context.accounts.revoke(str(form.get("id", "")))
    else:
        raise UsageError("there is no such act")
    return moved(request, "/accounts")


async def show_audit(context: Context, request: Request, who: Who) -> Response:
    # Reading who did what is an act too.
    context.audit.write(
        who=who.name, role=who.role.word, source=who.source, act="GET /audit", result="200", detail="read"
    )
    entries = await asyncio.to_thread(context.audit.entries)
    broken = await asyncio.to_thread(breaks_of, entries)
    words = request.query_params.get("words", "")
    found = [
        entry
        for entry in reversed(entries)
        if all(
            word in f"{entry.who} {entry.act} {entry.detail} {entry.source}".casefold()
            for word in words.casefold().split()
        )
    ]
    return page(
        context,
        request,
        who,
        "audit.html",
        title="Audit log",
        entries=found[:_SHOWN],
        total=len(found),
        broken=broken,
        words=words,
    )


def _accounts_page(
    context: Context, request: Request, who: Who, *, link: str = "", link_for: str = "", token: str = ""
) -> Response:
    book = context.accounts.book
    return page(
        context,
        request,
        who,
        "accounts.html",
        title="Accounts",
        accounts=sorted(book.accounts.values(), key=lambda account: account.name),
        tokens=sorted(book.tokens.values(), key=lambda token: token.until),
        link=link,
        link_for=link_for,
        token=token,
        days=_DAYS,
    )


def _role(word: object) -> Role:
    role = Role.of(word) if isinstance(word, str) else None
    if role is None:
        raise UsageError("a role is viewer, operator or admin")
    return role


PAGES = (
    Page(path="/accounts", methods={"GET": (Role.ADMIN, show_accounts), "POST": (Role.ADMIN, change_accounts)}),
    Page(path="/audit", methods={"GET": (Role.ADMIN, show_audit)}),
)
