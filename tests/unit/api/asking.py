"""Requests on the API's real socket, with any header, answered with status, headers and document."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.unit.director_world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    document: Any


async def ask(
    world: World, method: str, resource: str, body: object = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """`resource` is below `/api/v1/`; a `body` of bytes is sent as it is."""
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()

    def work() -> Answer:
        connection = http.client.HTTPConnection("piranha", timeout=20)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(world.socket))
        connection.request(method, f"/api/v1/{resource}", content, dict(headers or {}))
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        is_json = "json" in answer.headers["content-type"]
        return Answer(
            status=answer.status,
            headers={name.lower(): value for name, value in answer.getheaders()},
            document=json.loads(text) if is_json else text.decode(),
        )

    return await asyncio.to_thread(work)
