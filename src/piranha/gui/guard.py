"""Who may do what, judged before any handler runs. What the route table does not allow is refused."""

from __future__ import annotations

import logging
import secrets
from http import HTTPStatus
from urllib.parse import quote, urlsplit

from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from piranha.base.errors import PiranhaError, UnreachableError, UsageError
from piranha.gui.context import Context
from piranha.gui.lvsd import ProblemError
from piranha.gui.page import SAFE, Page, Who
from piranha.gui.render import failure
from piranha.gui.role import Role
from piranha.gui.sessions import COOKIE

MAX_BODY_BYTES = 8 << 20

logger = logging.getLogger(__name__)


class Refused(Exception):  # noqa: N818 - an answer, not an error
    """An answer instead of the handler's."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


class GuardedPage:
    """A row of the route table as an ASGI application: takes every method, and judges it."""

    def __init__(self, page: Page, context: Context) -> None:
        self._page = page
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, _bounded(receive))
        await (await self._answer(request))(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        page, context = self._page, self._context
        who = Who(source=source_of(request))
        try:
            who = identify(context, page, request)
            await judge(page, request, who)
            response = await page.handler(request.method)(context, request, who)
        except Refused as refused:
            response = refused.response
        except ProblemError as problem:
            response = failure(context, request, who, problem.status, problem, problem.document)
        except UnreachableError as error:
            response = failure(context, request, who, HTTPStatus.SERVICE_UNAVAILABLE, error)
        except UsageError as error:
            response = failure(context, request, who, HTTPStatus.BAD_REQUEST, error)
        except PiranhaError as error:
            response = failure(context, request, who, HTTPStatus.CONFLICT, error)
        if request.method not in SAFE and page.audited and not getattr(request.state, "only_asked", False):
            self._record(request, who, response)
        return response

    def _record(self, request: Request, who: Who, response: Response) -> None:
        """Every act, done or refused. What cannot be recorded is told to the log; the act itself is over by now."""
        try:
            self._context.audit.write(
                who=who.name,
                role=who.role.word,
                source=who.source,
                act=f"{request.method} {self._page.path}",
                result=str(response.status_code),
                detail=str(getattr(request.state, "detail", "")),
            )
        except PiranhaError as error:
            logger.error('the audit log cannot be written error="%s"', error)


def identify(context: Context, page: Page, request: Request) -> Who:
    """Who asks: by token where the page is for programs, else by the session's cookie. Roles are those of this moment."""
    source = source_of(request)
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    if scheme:
        token = context.accounts.token(text.strip()) if scheme.lower() == "bearer" and page.for_tokens else None
        if token is None:
            raise Refused(
                failure(context, request, Who(source=source), HTTPStatus.UNAUTHORIZED, "this token is not known")
            )
        return Who(name=f"token {token.label}", role=token.role, source=source, by_token=True)
    cookie = request.cookies.get(COOKIE, "")
    session = context.sessions.find(cookie)
    if session is None:
        return Who(source=source)
    account = context.accounts.account(session.user)
    if account is None or session.stamp != context.sessions.stamp_of(account):
        context.sessions.close(cookie)
        return Who(source=source)
    return Who(name=account.name, role=account.role, csrf=session.csrf, source=source, cookie=cookie)


async def judge(page: Page, request: Request, who: Who) -> None:
    """Raises `Refused` unless the route table, the origin and the CSRF token allow this."""
    context: Context = request.app.state.context
    least = page.least_role(request.method)
    # Who is nobody learns nothing of methods, but of pages that are for everybody.
    needed = min(role for role, _ in page.methods.values()) if least is None else least
    if who.role < needed:
        if who.role is Role.NOBODY:
            raise Refused(_ask_to_log_in(context, request, who))
        text = f"{who.name} is {who.role.word}; this needs the role {needed.word}"
        raise Refused(failure(context, request, who, HTTPStatus.FORBIDDEN, text))
    if least is None:
        response = failure(context, request, who, HTTPStatus.METHOD_NOT_ALLOWED, f"{request.method} is not served here")
        response.headers["allow"] = ", ".join(sorted({*page.methods, *(("HEAD",) if "GET" in page.methods else ())}))
        raise Refused(response)
    if request.method in SAFE or who.by_token:
        return
    if not is_own_origin(request):
        text = "the request comes from another site, or does not say from where"
        raise Refused(failure(context, request, who, HTTPStatus.FORBIDDEN, text))
    if page.signed and not await _is_signed(request, who):
        text = "this form is of another session: load the page again"
        raise Refused(failure(context, request, who, HTTPStatus.FORBIDDEN, text))


def is_own_origin(request: HTTPConnection) -> bool:
    """Whether the browser says that the request comes from a page of ours."""
    origin = request.headers.get("origin")
    if origin is None:
        return request.headers.get("sec-fetch-site") == "same-origin"
    parts = urlsplit(origin)
    return parts.scheme == "https" and parts.netloc.lower() == request.headers.get("host", "").lower()


def source_of(request: Request) -> str:
    return request.client.host if request.client else ""


async def _is_signed(request: Request, who: Who) -> bool:
    given = request.headers.get("x-csrf-token", "")
    if not given and "form" in request.headers.get("content-type", ""):
        value = (await request.form(max_files=4, max_fields=2000)).get("csrf", "")
        given = value if isinstance(value, str) else ""
    return bool(who.csrf) and secrets.compare_digest(given.encode(), who.csrf.encode())


def _ask_to_log_in(context: Context, request: Request, who: Who) -> Response:
    if request.method == "GET" and "text/html" in request.headers.get("accept", "") and not is_fragment(request):
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        if not target.startswith("/api/"):
            return RedirectResponse("/login" + (f"?next={quote(target, safe='')}" if target != "/" else ""), 303)
    return failure(context, request, who, HTTPStatus.UNAUTHORIZED, "log in first")


def is_fragment(request: Request) -> bool:
    """Whether htmx asks, for a part of a page."""
    return request.headers.get("hx-request") == "true"


def _bounded(receive: Receive) -> Receive:
    """At most `MAX_BODY_BYTES` of a body."""
    size = 0

    async def inner() -> dict[str, object]:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > MAX_BODY_BYTES:
            raise UsageError(f"the request is longer than {MAX_BODY_BYTES >> 20} MiB")
        return dict(message)

    return inner
