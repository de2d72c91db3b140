"""The HTTP client of lvsd for programs that serve others meanwhile: one request a connection, within a bounded time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h11

from piranha.base.errors import UnreachableError

TIMEOUT_S = 10.0
CHANGE_TIMEOUT_S = 60.0
MAX_ANSWER_BYTES = 64 << 20
_READ_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What lvsd said. Header names are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def is_done(self) -> bool:
        return self.status < 400

    def document(self) -> Any:
        """The JSON of the body. Raises UnreachableError where there is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise UnreachableError(
                f"the answer of lvsd is no JSON (HTTP {self.status})", mend="is it another version?"
            ) from None


async def exchange(
    socket_path: Path,
    method: str,
    target: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    timeout_s: float | None = None,
) -> Answer:
    """One request and its whole answer, whatever its status. Raises UnreachableError when there is none."""
    if timeout_s is None:
        timeout_s = TIMEOUT_S if method in ("GET", "HEAD") else CHANGE_TIMEOUT_S
    try:
        async with asyncio.timeout(timeout_s):
            return await _exchange(socket_path, method, target, headers or {}, body)
    except TimeoutError:
        raise UnreachableError(
            f"lvsd did not answer within {timeout_s:g} s", mend="look at its log, it may be overloaded"
        ) from None
    except (FileNotFoundError, ConnectionRefusedError):
        raise UnreachableError("lvsd is not running", mend="start it: systemctl start pulse") from None
    except PermissionError:
        raise UnreachableError(
            f"{socket_path} may not be opened", mend="piranha-gui has to run as root or as the user piranha"
        ) from None
    except (OSError, h11.ProtocolError) as error:
        raise UnreachableError(f"lvsd broke off ({error or type(error).__name__})", mend="look at its log") from None


async def _exchange(path: Path, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        fields = {"host": "piranha", "connection": "close", **headers, "content-length": str(len(body))}
        http = h11.Connection(h11.CLIENT)
        request = h11.Request(method=method, target=target, headers=list(fields.items()))
        for event in (request, h11.Data(data=body), h11.EndOfMessage()):
            writer.write(http.send(event) or b"")
        await writer.drain()
        return await _answer(http, reader)
    finally:
        writer.close()


async def _answer(http: h11.Connection, reader: asyncio.StreamReader) -> Answer:
    status, headers, parts, size = 0, {}, [], 0
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await reader.read(_READ_BYTES))
        elif isinstance(event, h11.Response):
            status = event.status_code
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
        elif isinstance(event, h11.Data):
            parts.append(bytes(event.data))
            size += len(event.data)
            if size > MAX_ANSWER_BYTES:
                raise UnreachableError("the answer of lvsd is too long", mend="ask for less")
        elif isinstance(event, h11.EndOfMessage):
            return Answer(status=status, headers=headers, body=b"".join(parts))
        elif isinstance(event, h11.ConnectionClosed):
            raise h11.RemoteProtocolError("closed before an answer")
