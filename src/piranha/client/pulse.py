"""A client of pulse's control socket."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from piranha.base.errors import PiranhaError, UnreachableError

MAX_MESSAGE_BYTES = 1 << 20


def ask(path: Path, request: str, *, wait_s: float = 5.0) -> dict[str, Any]:
    """One request, one answer. Raises UnreachableError where pulse does not run, PiranhaError where it does not answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC) as link:
        link.settimeout(wait_s)
        try:
            link.connect(str(path))
        except PermissionError as error:
            raise PiranhaError(f"{path} is not for this user", mend="run as root") from error
        except OSError as error:
            raise UnreachableError(
                f"pulse does not answer at {path} ({error.strerror})", mend="start it: systemctl start pulse"
            ) from error
        try:
            link.send(json.dumps({"request": request}).encode())
            answer = link.recv(MAX_MESSAGE_BYTES)
        except OSError as error:
            raise PiranhaError(f"pulse did not answer within {wait_s:g} s", mend="see its log") from error
    if not answer:
        raise PiranhaError("pulse hung up", mend="run as root")
    document: dict[str, Any] = json.loads(answer)
    return document
