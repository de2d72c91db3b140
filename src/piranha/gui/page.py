"""One row of the route table, and what its handler is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from piranha.gui.role import Role

if TYPE_CHECKING:
    from piranha.gui.context import Context

SAFE = ("GET", "HEAD")


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """Who asks. `csrf` is what forms carry, empty for a token; `source` is the address."""

    name: str = ""
    role: Role = Role.NOBODY
    csrf: str = ""
    source: str = ""
    by_token: bool = False
    cookie: str = ""


Handler = Callable[["Context", Request, Who], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """`methods` gives for each method the least role and the handler; what it does not name is refused. A HEAD is its GET.

    `for_tokens`: programs may use it with a token. `signed`: its changes carry a session's CSRF token; only logging in
    and choosing a first password cannot. `audited`: its changes are acts, worth a line in the audit log.
    """

    path: str
    methods: Mapping[str, tuple[Role, Handler]]
    for_tokens: bool = False
    signed: bool = True
    audited: bool = True

    def least_role(self, method: str) -> Role | None:
        """None where this method is not served."""
        entry = self.methods.get("GET" if method == "HEAD" else method)
        return None if entry is None else entry[0]

    def handler(self, method: str) -> Handler:
        return self.methods["GET" if method == "HEAD" else method][1]
