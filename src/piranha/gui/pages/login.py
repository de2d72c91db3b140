"""Logging in and out, and choosing a password: by a one-time link, or knowing the old one."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from piranha.base.errors import PiranhaError, UsageError
from piranha.gui.context import Context
from piranha.gui.page import Page, Who
from piranha.gui.passwords import MOST_LETTERS, fault_of
from piranha.gui.render import moved, page
from piranha.gui.role import Role
from piranha.gui.sessions import COOKIE

_WRONG = "name or password is wrong"
_LOCAL = re.compile(r"/[A-Za-z0-9_./?=&%~+-]*\Z")


async def show_login(context: Context, request: Request, who: Who) -> Response:
    if who.role is not Role.NOBODY:
        return moved(request, _next(request.query_params.get("next", "")))
    return _login_page(context, request, who, next_page=_next(request.query_params.get("next", "")))


async def log_in(context: Context, request: Request, who: Who) -> Response:
    form = await request.form(max_files=0, max_fields=20)
    name, password = (_text(form.get(field)) for field in ("name", "password"))
    next_page = _next(_text(form.get("next")))
    request.state.detail = f"as {name[:64]}"
    sources = (f"address {who.source}", f"name {name[:64]}")
    now = context.clock.now()
    wait_s = context.attempts.wait_s(sources, now)
    if wait_s > 0:
        text = f"too many attempts: wait {wait_s:.0f} s"
        response = _login_page(context, request, who, status=429, fault=text, name=name, next_page=next_page)
        response.headers["retry-after"] = str(int(wait_s) + 1)
        return response
    # Counted before the slow part: attempts in parallel do not come for free.
    context.attempts.failed(sources, now)
    account = context.accounts.account(name)
    if not await context.desk.fits(account.hash if account else "", password) or account is None:
        return _login_page(context, request, who, status=401, fault=_WRONG, name=name, next_page=next_page)
    context.attempts.succeeded(sources)
    if who.cookie:
        context.sessions.close(who.cookie)
    cookie, _ = context.sessions.open(account)
    return _with_cookie(moved(request, next_page), cookie)


async def log_out(context: Context, request: Request, who: Who) -> Response:
    context.sessions.close(who.cookie)
    response = moved(request, "/login")
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")
    response.headers["clear-site-data"] = '"storage"'
    return response


async def show_link(context: Context, request: Request, who: Who) -> Response:
    link = context.accounts.link(request.path_params["secret"])
    if link is None:
        raise PiranhaError(
            "this link has been used or is too old", mend="make a new one on the director: piranha gui passwd"
        )
    return page(context, request, who, "link.html", user=link.user, name=link.user or "admin", fault="")


async def redeem_link(context: Context, request: Request, who: Who) -> Response:
    secret = request.path_params["secret"]
    link = context.accounts.link(secret)
    if link is None:
        raise PiranhaError(
            "this link has been used or is too old", mend="make a new one on the director: piranha gui passwd"
        )
    form = await request.form(max_files=0, max_fields=20)
    name = link.user or _text(form.get("name")).strip()
    request.state.detail = f"for {name[:64]}"
    fault = _fault(_text(form.get("password")), _text(form.get("again")), name)
    if not fault:
        try:
            account = context.accounts.redeem(secret, name, await context.desk.hash_of(_text(form.get("password"))))
        except UsageError as error:
            fault = str(error)
        else:
            cookie, _ = context.sessions.open(account)
            return _with_cookie(moved(request, "/"), cookie)
    return page(context, request, who, "link.html", status=422, user=link.user, name=name, fault=fault)


async def show_password(context: Context, request: Request, who: Who) -> Response:
    return page(context, request, who, "password.html", fault="")


async def change_password(context: Context, request: Request, who: Who) -> Response:
    form = await request.form(max_files=0, max_fields=20)
    account = context.accounts.account(who.name)
    sources = (f"address {who.source}", f"name {who.name}")
    if account is None or context.attempts.wait_s(sources, context.clock.now()) > 0:
        raise PiranhaError("too many attempts", mend="wait a minute")
    fault = _fault(_text(form.get("password")), _text(form.get("again")), who.name)
    if not await context.desk.fits(account.hash, _text(form.get("old"))):
        context.attempts.failed(sources, context.clock.now())
        fault = "the old password is wrong"
    if fault:
        return page(context, request, who, "password.html", status=422, fault=fault)
    changed = context.accounts.set_password(who.name, await context.desk.hash_of(_text(form.get("password"))))
    cookie, _ = context.sessions.open(changed)
    return _with_cookie(moved(request, "/"), cookie)


def _login_page(
    context: Context,
    request: Request,
    who: Who,
    *,
    status: int = 200,
    fault: str = "",
    name: str = "",
    next_page: str = "/",
) -> Response:
    empty = context.accounts.is_empty
    return page(
        context,
        request,
        who,
        "login.html",
        status=status,
        fault=fault,
        name=name,
        next_page=next_page,
        nobody_yet=empty,
    )


def _with_cookie(response: Response, cookie: str) -> Response:
    response.set_cookie(COOKIE, cookie, path="/", secure=True, httponly=True, samesite="strict")
    return response


def _fault(password: str, again: str, name: str) -> str:
    if password != again:
        return "the two passwords differ"
    return fault_of(password, name)


def _next(target: str) -> str:
    """Where to go after the login: a page of ours, nothing else."""
    parts = urlsplit(target)
    if parts.scheme or parts.netloc or target.startswith("//") or not _LOCAL.match(target):
        return "/"
    return target


def _text(value: object) -> str:
    return value[: MOST_LETTERS * 4] if isinstance(value, str) else ""


PAGES = (
    Page(path="/login", methods={"GET": (Role.NOBODY, show_login), "POST": (Role.NOBODY, log_in)}, signed=False),
    Page(path="/logout", methods={"POST": (Role.VIEWER, log_out)}),
    Page(
        path="/link/{secret:str}",
        methods={"GET": (Role.NOBODY, show_link), "POST": (Role.NOBODY, redeem_link)},
        signed=False,
    ),
    Page(path="/password", methods={"GET": (Role.VIEWER, show_password), "POST": (Role.VIEWER, change_password)}),
)
