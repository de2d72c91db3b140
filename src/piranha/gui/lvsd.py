"""lvsd, asked in the name of a person."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from piranha.base.errors import PiranhaError
from piranha.client.asynchronous import Answer, exchange
from piranha.gui.page import Who
from piranha.gui.role import Role

PREFIX = "/api/v1/"


class ProblemError(PiranhaError):
    """lvsd answered with a problem (RFC 9457)."""

    def __init__(self, status: int, document: Mapping[str, Any]) -> None:
        super().__init__(
            str(document.get("detail", f"lvsd refused (HTTP {status})")), mend=str(document.get("mend", ""))
        )
        self.status = status
        self.document = document


Exchange = Callable[..., Awaitable[Answer]]


class Lvsd:
    """The API behind `socket_path`. It trusts the names and roles that this process gives."""

    def __init__(self, socket_path: Path) -> None:
        self._path = socket_path

    async def forward(
        self, method: str, target: str, who: Who, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """Any request, and its answer whatever it is. Raises UnreachableError."""
        named = {"x-piranha-user": who.name, "x-piranha-role": who.role.word} if who.role is not Role.NOBODY else {}
        return await exchange(self._path, method, target, headers={**(headers or {}), **named}, body=body)

    async def get(self, resource: str, who: Who, query: Mapping[str, str] | None = None) -> Any:
        """The document of `/api/v1/RESOURCE`. Raises `ProblemError`, UnreachableError."""
        target = PREFIX + resource + (f"?{urlencode(query)}" if query else "")
        return _document(await self.forward("GET", target, who))

    async def send(
        self, method: str, resource: str, who: Who, document: object = None, *, if_match: str | None = None
    ) -> Any:
        """A change, and the document that it is answered with. Raises as `get` does."""
        headers = {"content-type": "application/json"}
        if if_match is not None:
            headers["if-match"] = if_match
        body = b"" if document is None else json.dumps(document).encode()
        return _document(await self.forward(method, PREFIX + resource, who, headers=headers, body=body))


def _document(answer: Answer) -> Any:
    document = answer.document()
    if answer.is_done:
        return document
    raise ProblemError(answer.status, document if isinstance(document, dict) else {})
