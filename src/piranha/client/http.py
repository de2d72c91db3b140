"""The HTTP client of lvsd: one request on the unix socket, within a bounded time."""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from piranha.base.errors import PiranhaError, UnreachableError, UsageError

TIMEOUT_S = 10.0
CHANGE_TIMEOUT_S = 60.0
"""A reload may have to look up host names first."""
MAX_ANSWER_BYTES = 1 << 30


Query = Mapping[str, str] | Sequence[tuple[str, str]]
"""Words of a query; pairs where a word repeats."""


class RefusedError(PiranhaError):
    """lvsd answered with a problem. `document` is the RFC 9457 document, with every finding for a bad file."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        super().__init__(str(document.get("detail", "refused")), mend=str(document.get("mend", "")))
        self.document = document


class Client:
    """Asks the lvsd whose API socket is at `socket_path`. `timeout_s` bounds each wait of a request."""

    def __init__(self, socket_path: Path, *, timeout_s: float = TIMEOUT_S) -> None:
        self._path = socket_path
        self._timeout_s = timeout_s

    def get(self, resource: str, query: Query | None = None) -> Any:
        """The document of `/api/v1/RESOURCE`. Raises UnreachableError, `RefusedError`, UsageError."""
        return self._ask("GET", f"/api/v1/{resource}" + (f"?{urlencode(query)}" if query else ""), self._timeout_s)

    def post(self, resource: str, document: object = None, *, digest: str | None = None) -> Any:
        """Ask for a change, with a JSON document where one is given; waits longer than a read. Raises the same errors.

        `digest` is that of the text that the change was made on, `*` for any.
        """
        return self._change("POST", resource, document, digest)

    def put(self, resource: str, document: object, *, digest: str) -> Any:
        """Put something new in the place of what has this `digest`. Raises the same errors."""
        return self._change("PUT", resource, document, digest)

    def _change(self, method: str, resource: str, document: object, digest: str | None) -> Any:
        body = b"" if document is None else json.dumps(document, separators=(",", ":")).encode()
        tag = {} if digest is None else {"If-Match": digest if digest == "*" else f'"{digest}"'}
        return self._ask(method, f"/api/v1/{resource}", max(self._timeout_s, CHANGE_TIMEOUT_S), body, tag)

    def _ask(
        self, method: str, target: str, timeout_s: float, body: bytes = b"", more: Mapping[str, str] | None = None
    ) -> Any:
        connection = _UnixConnection(self._path, timeout_s)
        try:
            headers = {"Host": "piranha", "Content-Length": str(len(body)), "Content-Type": "application/json"}
            headers |= _person() | dict(more or {})
            connection.request(method, target, body=body, headers=headers)
            answer = connection.getresponse()
            # Only a read without a bound of its own notices an answer that was cut short.
            if (answer.length or 0) > MAX_ANSWER_BYTES:
                raise UnreachableError("the answer of lvsd is too long", mend="ask for less")
            content = answer.read()
        except (FileNotFoundError, ConnectionRefusedError):
            raise UnreachableError("lvsd is not running", mend="start it with `piranha lvsd`") from None
        except PermissionError:
            raise UnreachableError(f"{self._path} may not be opened", mend="run as root") from None
        except TimeoutError:
            raise UnreachableError(
                f"lvsd did not answer within {timeout_s:g} s", mend="look at its log, it may be overloaded"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(
                f"lvsd broke off ({error or type(error).__name__})", mend="look at its log"
            ) from None
        finally:
            connection.close()
        return _document(answer.status, content)


def _person() -> dict[str, str]:
    """Whom root works for, so that the history names a person. Nobody but root is believed."""
    person = os.environ.get("SUDO_USER", "")
    return {"X-Piranha-User": person} if person and person.isascii() and person.isprintable() else {}


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _document(status: int, body: bytes) -> Any:
    try:
        document = json.loads(body)
    except ValueError:
        raise UnreachableError(
            f"the answer of lvsd is no JSON (HTTP {status})", mend="is it another version?"
        ) from None
    if status < 400:
        return document
    if status == 400:
        raise UsageError(str(document.get("detail", "")), mend=str(document.get("mend", "")))
    raise RefusedError(document)
