"""piranha-gui: opens what only root may, gives root up, then serves HTTPS. A client of lvsd, which goes on without it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import uvicorn

import piranha
from piranha.base.clock import MonotonicClock
from piranha.base.errors import PiranhaError
from piranha.base.notify import Notifier
from piranha.base.paths import Paths
from piranha.gui.accounts import AccountStore
from piranha.gui.app import create_app
from piranha.gui.attempts import Attempts
from piranha.gui.audit import AuditLog
from piranha.gui.certificate import ensure_certificate, fingerprint, tls_context
from piranha.gui.confinement import USER, confine, identity_of
from piranha.gui.context import Context
from piranha.gui.folder import Folder
from piranha.gui.live import Hub
from piranha.gui.lvsd import Lvsd
from piranha.gui.pages.live import document_of
from piranha.gui.passwords import HashingDesk
from piranha.gui.render import make_templates
from piranha.gui.sessions import Sessions
from piranha.gui.static import StaticFiles

PORT = 3636
_BACKLOG = 128
_GRACE_S = 3

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuiOptions:
    """`names` are further names and addresses of this host for its own certificate."""

    address: str = ""
    port: int = PORT
    user: str = USER
    names: tuple[str, ...] = ()


def run_gui(paths: Paths, options: GuiOptions) -> None:
    """Run until SIGTERM or SIGINT. Raises PiranhaError for whatever prevents a start."""
    owner = identity_of(options.user)
    key, certificate = ensure_certificate(paths.etc, list(options.names))
    tls = tls_context(key, certificate)
    folder = Folder.open(paths.gui_state, owner=owner)
    listeners = open_listeners(options.address, options.port)
    accounts = AccountStore(folder)
    _greet(options, accounts, fingerprint(certificate))
    confine(options.user)
    with contextlib.ExitStack() as stack:
        for listener in listeners:
            stack.callback(listener.close)
        asyncio.run(_serve(create_app_context(paths, folder, accounts), listeners, tls))


def create_app_context(paths: Paths, folder: Folder, accounts: AccountStore) -> Context:
    """Everything that requests are answered from."""
    clock, static, lvsd = MonotonicClock(), StaticFiles(), Lvsd(paths.api_socket)
    if static.missing:
        logger.warning('pages have no charts and no checks as one types missing="%s"', ", ".join(static.missing))
    return Context(
        lvsd=lvsd,
        accounts=accounts,
        sessions=Sessions(clock),
        attempts=Attempts(),
        audit=AuditLog(folder),
        desk=HashingDesk(),
        hub=Hub(lambda: document_of(lvsd)),
        static=static,
        templates=make_templates(static),
        clock=clock,
    )


def open_listeners(address: str, port: int) -> list[socket.socket]:
    """Listening sockets: at one address, or without one on all of them, IPv4 and IPv6. Raises PiranhaError."""
    listeners: list[socket.socket] = []
    where = address or "every address"
    try:
        if not address and socket.has_dualstack_ipv6():
            listeners.append(
                socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=_BACKLOG)
            )
        else:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            listeners.append(socket.create_server((address, port), family=family, backlog=_BACKLOG))
    except OSError as error:
        mend = "is another piranha-gui running?" if error.errno == 98 else "name an address of this host: --address"
        raise PiranhaError(f"cannot listen on port {port} of {where} ({error.strerror})", mend=mend) from None
    for listener in listeners:
        listener.setblocking(False)
    return listeners


def link_url(options: GuiOptions, secret: str) -> str:
    """Where a one-time link leads."""
    host = options.address or (options.names[0] if options.names else socket.gethostname())
    return f"https://{f'[{host}]' if ':' in host else host}:{options.port}/link/{secret}"


def _greet(options: GuiOptions, accounts: AccountStore, digest: str) -> None:
    """On the console: the certificate to expect, and while nobody can log in, the way in."""
    lines = [f"certificate SHA-256 {digest}"]
    if accounts.is_empty:
        lines += ["choose a name and a password within a day, at", link_url(options, accounts.make_link())]
    for line in lines:
        print(f"piranha-gui: {line}", file=sys.stderr, flush=True)


class _Server(uvicorn.Server):
    """uvicorn as one task among others: signals belong to the daemon."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(context: Context, listeners: list[socket.socket], tls: ssl.SSLContext) -> None:
    config = uvicorn.Config(
        create_app(context),
        loop="asyncio",
        http="h11",
        ws="websockets-sansio",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=1000,
        timeout_keep_alive=20,
        timeout_graceful_shutdown=_GRACE_S,
        ws_max_size=4096,
        ws_ping_interval=20,
        ws_ping_timeout=20,
    )
    config.load()
    # Read as root, before this process could no longer.
    config.ssl = tls
    server = _Server(config)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    notifier = Notifier()
    serving = asyncio.create_task(server.serve(sockets=listeners), name="https")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    watchdog = asyncio.create_task(_feed(notifier), name="watchdog")
    notifier.ready(f"https on port {listeners[0].getsockname()[1]}")
    logger.info("started version=%s port=%d", piranha.__version__, listeners[0].getsockname()[1])
    await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
    notifier.stopping()
    server.should_exit = True
    for task in (stopping, watchdog):
        task.cancel()
    await serving
    logger.info("stopped")


async def _feed(notifier: Notifier) -> None:
    while notifier.watchdog_s:
        notifier.alive()
        await asyncio.sleep(notifier.watchdog_s / 3)
