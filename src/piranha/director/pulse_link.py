"""lvsd's end of the link to pulse: hears the role, says whether lvsd is ready. lvsd works without pulse, as a director that stands alone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from piranha.base.errors import PiranhaError

logger = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 1 << 20
_RETRY_S = 0.5

ACTIVE, BACKUP, STANDALONE = "active", "backup", "standalone"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterView:
    """What pulse said last. Without pulse: standalone, and `attached` is False.

    `expected`: pulse seems to run, and has not been asked yet.
    """

    role: str = STANDALONE
    term: int = 0
    attached: bool = False
    expected: bool = False
    document: dict[str, Any] = field(default_factory=dict)


class ClusterDocument(TypedDict):
    """`role` is standalone, and `attached` False, where no pulse runs. `peer` is None where there is none."""

    role: str
    term: int
    attached: bool
    place: str
    peer: dict[str, Any] | None
    alarms: dict[str, str]


def cluster_document(view: ClusterView) -> ClusterDocument:
    return ClusterDocument(
        role=view.role,
        term=view.term,
        attached=view.attached,
        place=view.document.get("place", ""),
        peer=view.document.get("peer"),
        alarms=view.document.get("alarms", {}),
    )


class PulseLink:
    """Keeps attached to pulse's control socket, whenever it is there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._link: socket.socket | None = None
        self._ready: tuple[bool, str] = (False, "lvsd starts")
        self._synced: bool | None = None
        self._services: dict[str, Any] | None = None
        self._listeners: list[Callable[[ClusterView], None]] = []
        self.view = ClusterView(expected=path.exists())

    @property
    def role(self) -> str:
        return self.view.role

    def on_change(self, listener: Callable[[ClusterView], None]) -> None:
        """Have `listener` called in the event loop whenever the role, the term, the link or an alarm changed."""
        self._listeners.append(listener)

    def report_ready(self, ready: bool, why: str = "") -> None:
        """Whether the table is loaded and kept. Told at once, and again after each new attachment."""
        if self._ready != (ready, why):
            self._ready = (ready, why)
            self._say({"ready": ready, "why": why})

    def report_synced(self, synced: bool) -> None:
        """Whether we have the other director's connections."""
        if self._synced != synced:
            self._synced = synced
            self._say({"synced": synced})

    def report_services(self, document: dict[str, Any]) -> None:
        """How the failover services are, for pulse's status."""
        self._services = document
        self._say({"services": document})

    async def run(self) -> None:
        """Attach, listen, attach again. Ends by cancellation alone."""
        try:
            while True:
                await self._attached()
                self._see(ClusterView())
                await asyncio.sleep(_RETRY_S)
        finally:
            self._hang_up()

    async def ask(self, request: str, *, wait_s: float = 10.0) -> dict[str, Any]:
        """One request on a link of its own. Raises PiranhaError where pulse does not answer."""
        try:
            return await self._ask(request, wait_s)
        except OSError as error:
            raise PiranhaError(
                f"pulse does not answer at {self._path} ({error.strerror or error})",
                mend="start it: systemctl start pulse",
            ) from error

    async def _ask(self, request: str, wait_s: float) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        with _unconnected() as link:
            async with asyncio.timeout(wait_s):
                await loop.sock_connect(link, str(self._path))
                await loop.sock_sendall(link, json.dumps({"request": request}).encode())
                answer = await loop.sock_recv(link, MAX_MESSAGE_BYTES)
        if not answer:
            raise ConnectionResetError("pulse hung up")
        document: dict[str, Any] = json.loads(answer)
        return document

    async def _attached(self) -> None:
        """From attaching to the end of the link."""
        loop = asyncio.get_running_loop()
        link = _unconnected()
        try:
            await loop.sock_connect(link, str(self._path))
        except OSError:
            link.close()
            return
        self._link = link
        self._say({"request": "attach"})
        ready, why = self._ready
        self._say({"ready": ready, "why": why})
        if self._synced is not None:
            self._say({"synced": self._synced})
        if self._services is not None:
            self._say({"services": self._services})
        try:
            while message := await loop.sock_recv(link, MAX_MESSAGE_BYTES):
                document = json.loads(message)
                if "role" in document:
                    self._see(
                        ClusterView(
                            role=document["role"], term=document.get("term", 0), attached=True, document=document
                        )
                    )
        except (OSError, ValueError) as error:
            logger.warning('link to pulse broken error="%s"', error)
        finally:
            self._hang_up()

    def _see(self, view: ClusterView) -> None:
        before, self.view = self.view, view
        same_role = (before.role, before.term, before.attached) == (view.role, view.term, view.attached)
        if same_role and before.document.get("alarms") == view.document.get("alarms"):
            return
        if not same_role:
            logger.info("role=%s term=%d pulse=%s", view.role, view.term, "attached" if view.attached else "absent")
        for listener in self._listeners:
            listener(view)

    def _say(self, document: dict[str, Any]) -> None:
        if self._link is not None:
            with contextlib.suppress(OSError):
                self._link.send(json.dumps(document).encode())

    def _hang_up(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None


def _unconnected() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
