"""The application on a unix socket; each connection is known by the process at its other end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from piranha.api.rights import Peer
from piranha.base.errors import PiranhaError

MODE = 0o600
OPEN_MODE = 0o666
"""Where others than root have rights too: who may do what is judged for each connection."""
_BACKLOG = 64
_GRACE_S = 2
_MOST_CONNECTIONS = 800
"""More than may watch the live stream."""
_LONGEST_MESSAGE = 1024


class _Server(uvicorn.Server):
    """uvicorn as one task among others: signals belong to the daemon."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Protocol(H11Protocol):
    """HTTP that tells the application who connected, as `piranha.peer` of the scope."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            self.app = told(self.app, Peer.of(connection))


class _SocketProtocol(WebSocketsSansIOProtocol):
    """The same for WebSockets."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        with contextlib.suppress(OSError):
            self.app = told(self.app, Peer.of(transport.get_extra_info("socket")))


def told(app: ASGIApp, peer: Peer) -> ASGIApp:
    """The application, with every request coming from this peer."""

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        scope["piranha.peer"] = peer
        await app(scope, receive, send)

    return inner


def open_socket(path: Path, *, mode: int = MODE) -> socket.socket:
    """A listening socket at `path`, in place of one that a dead lvsd left. Only the holder of the lvsd lock calls this.

    Raises PiranhaError when it cannot be made.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        # Bound under another name and renamed: it never stands there with the wrong mode, nor not at all.
        listener.bind(str(fresh))
        fresh.chmod(mode)
        listener.listen(_BACKLOG)
        fresh.replace(path)
    except OSError as error:
        listener.close()
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise PiranhaError(
            f"cannot open the API socket {path} ({error.strerror or error})", mend="run as root"
        ) from error
    listener.setblocking(False)
    return listener


async def serve(app: Starlette, listener: socket.socket) -> None:
    """Serve until cancelled; requests that run then get two seconds to end."""
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http=_Protocol,
        ws=_SocketProtocol,
        ws_max_size=_LONGEST_MESSAGE,
        ws_per_message_deflate=False,
        lifespan="off",
        interface="asgi3",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=_GRACE_S,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="uvicorn")
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        await serving
        raise
