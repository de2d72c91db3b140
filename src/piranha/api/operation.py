"""One row of the route table: what the application serves, and what the OpenAPI document and the reference say of it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from piranha.api.live import LiveHub
from piranha.api.rights import Caller, Right
from piranha.director.director import Director
from piranha.director.editing import Editing
from piranha.director.pulse_link import PulseLink
from piranha.replication.host import ReplicationHost


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What requests are answered from. `examine` judges this machine, and blocks while it does."""

    director: Director
    editing: Editing
    live: LiveHub
    pulse: PulseLink | None = None
    replication: ReplicationHost | None = None
    examine: Callable[[], Mapping[str, Any]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A word of the query. `schema` is its JSON Schema."""

    name: str
    meaning: str
    schema: dict[str, Any]
    required: bool = False


Handler = Callable[[Context, Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """`path` is below `/api/v1`, with `{name:int}` for its parameters. `answer` and `body` are typed dictionaries, `body`
    None where none is read. `guarded`: only with If-Match, the ETag of what is changed."""

    method: str
    path: str
    handler: Handler
    right: Right
    summary: str
    answer: Any
    body: Any = None
    query: tuple[Parameter, ...] = ()
    guarded: bool = False
    tagged: bool = False
    problems: tuple[int, ...] = ()
    media_type: str = "application/json"

    @property
    def open_path(self) -> str:
        """The path as OpenAPI writes it, without types."""
        return re.sub(r"\{(\w+):\w+\}", r"{\1}", self.path)


def caller_of(request: Request) -> Caller:
    """Who asks; the application has put it there."""
    caller = request.scope["piranha.caller"]
    assert isinstance(caller, Caller)
    return caller
