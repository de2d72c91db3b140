"""The control socket: lvsd, the command line and tests talk to pulse by JSON messages, one a datagram of a SOCK_SEQPACKET link.

    {"request": "status"}                                   -> the status document
    {"request": "attach"}                                   -> {"role": …, "term": …, …} now and at each change (lvsd)
    {"ready": true}  {"synced": true}                       what an attached lvsd reports
    {"request": "switch" | "maintenance_on" | "maintenance_off" | "reload" | "stop"}     -> {"done": …, "text": …} when it is over

Root and the user of pulse may change things; nobody else gets in (the socket's mode, and SO_PEERCRED).
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
from pathlib import Path
from typing import Any

from piranha.base.errors import PiranhaError

MAX_MESSAGE_BYTES = 64 * 1024
MAX_CLIENTS = 32
_BACKLOG = 16
_MESSAGES_AT_ONCE = 16
_CREDENTIALS = struct.Struct("=iii")


class ControlClient:
    """One link. `attached`: it hears of each change of the role."""

    def __init__(self, link: socket.socket, pid: int) -> None:
        self._link = link
        self.pid = pid
        self.attached = False

    def fileno(self) -> int:
        return self._link.fileno()

    def receive(self) -> list[dict[str, Any]] | None:
        """The messages that have come; None when the other side is gone or talks nonsense."""
        found: list[dict[str, Any]] = []
        for _ in range(_MESSAGES_AT_ONCE):
            try:
                message = self._link.recv(MAX_MESSAGE_BYTES)
            except BlockingIOError:
                return found
            except OSError:
                return None
            try:
                value = json.loads(message)
            except (ValueError, RecursionError):
                return None
            if not isinstance(value, dict):
                return None
            found.append(value)
        return found

    def send(self, document: dict[str, Any]) -> bool:
        """False where the other side does not take it: it is then to be closed."""
        try:
            self._link.send(json.dumps(document, default=str).encode())
        except OSError:
            return False
        return True

    def close(self) -> None:
        self._link.close()


class ControlServer:
    """Accepts links at `path`, whose folder must exist. Never waits. Raises PiranhaError where it cannot be made."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.clients: list[ControlClient] = []
        self._listener = socket.socket(
            socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        )
        try:
            # pulse holds its lock, so a socket that is here was left behind.
            path.unlink(missing_ok=True)
            self._listener.bind(str(path))
            path.chmod(0o600)
            self._listener.listen(_BACKLOG)
        except OSError as error:
            self._listener.close()
            raise PiranhaError(f"cannot make {path} ({error.strerror})", mend="run as root") from error

    def fileno(self) -> int:
        return self._listener.fileno()

    def accept(self) -> None:
        """Take in who waits; who may not is closed at once."""
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            link.setblocking(False)
            credentials = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            pid, uid, _ = _CREDENTIALS.unpack(credentials)
            if uid not in (0, os.geteuid()) or len(self.clients) >= MAX_CLIENTS:
                link.close()
                continue
            self.clients.append(ControlClient(link, pid))

    def drop(self, client: ControlClient) -> None:
        if client in self.clients:
            self.clients.remove(client)
        client.close()

    def tell(self, document: dict[str, Any]) -> None:
        """To everybody who is attached; who does not take it is dropped, and will attach anew."""
        for client in list(self.clients):
            if client.attached and not client.send(document):
                self.drop(client)

    def close(self) -> None:
        for client in list(self.clients):
            self.drop(client)
        self._listener.close()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
