"""A whole piranha-gui in one process before a whole lvsd (`director_world.py`): asked as a browser asks, over ASGI."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from piranha.base.clock import ManualClock
from piranha.gui.accounts import AccountStore
from piranha.gui.app import create_app
from piranha.gui.attempts import Attempts
from piranha.gui.audit import AuditLog
from piranha.gui.context import Context
from piranha.gui.folder import Folder
from piranha.gui.live import Hub
from piranha.gui.lvsd import Lvsd
from piranha.gui.pages.live import document_of
from piranha.gui.passwords import HashingDesk, hash_of
from piranha.gui.render import make_templates
from piranha.gui.role import Role
from piranha.gui.sessions import COOKIE, Sessions
from piranha.gui.static import StaticFiles
from tests.unit.director_world import LISTING, World

ORIGIN = "https://lb1:3636"
PASSWORD = "four horses eat hay"
_HASH = hash_of(PASSWORD)


class Lvsd_(threading.Thread):  # noqa: N801 - a thread around World
    """lvsd in a loop of its own; `do` runs something there."""

    def __init__(self, world: World) -> None:
        super().__init__(daemon=True)
        self.world = world
        self.ready = threading.Event()
        self._stop_asked: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        self._loop, self._stop_asked = asyncio.get_running_loop(), asyncio.Event()
        async with self.world.running():
            self.ready.set()
            await self._stop_asked.wait()

    def do(self, action: Any) -> None:
        """Call `action` in lvsd's loop and wait for it."""
        done = threading.Event()
        assert self._loop is not None
        self._loop.call_soon_threadsafe(lambda: (action(), done.set()))
        assert done.wait(10)

    def end(self) -> None:
        if self._loop is not None and self._stop_asked is not None and self.is_alive():
            self._loop.call_soon_threadsafe(self._stop_asked.set)
        self.join(20)


class GuiWorld:
    """`lvsd` runs where it was asked for; `clock` is that of sessions and attempts."""

    def __init__(self, folder: Path, text: str = LISTING) -> None:
        self.world = World(folder, text)
        self.thread = Lvsd_(self.world)
        self.folder = Folder.open(folder / "gui")
        self.clock = ManualClock(1000.0)
        self.wall = 1_700_000_000.0
        lvsd, static = Lvsd(self.world.socket), StaticFiles()
        self.context = Context(
            lvsd=lvsd,
            accounts=AccountStore(self.folder, wall=lambda: self.wall),
            sessions=Sessions(self.clock),
            attempts=Attempts(),
            audit=AuditLog(self.folder, wall=lambda: self.wall),
            desk=HashingDesk(),
            hub=Hub(lambda: document_of(lvsd), period_s=0.05),
            static=static,
            templates=make_templates(static),
            clock=self.clock,
        )
        self.app = create_app(self.context)

    def client(self, role: Role | None = None) -> TestClient:
        """A browser; logged in where a role is given."""
        client = TestClient(self.app, base_url=ORIGIN, follow_redirects=False, raise_server_exceptions=False)
        client.headers["origin"] = ORIGIN
        client.headers["accept"] = "text/html"
        if role is not None:
            name = role.word
            if self.context.accounts.account(name) is None:
                self.context.accounts.set_password(name, _HASH, role=role)
            account = self.context.accounts.account(name)
            assert account is not None
            cookie, session = self.context.sessions.open(account)
            client.cookies.set(COOKIE, cookie)
            client.headers["x-csrf-token"] = session.csrf
        return client

    def token(self, role: Role, *, lifetime_s: float = 86400.0) -> str:
        return self.context.accounts.make_token("test", role, "admin", lifetime_s=lifetime_s)[1]

    def until(self, condition: Any) -> None:
        """Wait for `condition`, at most ten seconds."""
        deadline_at = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline_at, "it did not come true"
            time.sleep(0.01)


@contextmanager
def gui_world(folder: Path, text: str = LISTING, *, lvsd: bool = True) -> Iterator[GuiWorld]:
    made = GuiWorld(folder, text)
    if lvsd:
        made.thread.start()
        assert made.thread.ready.wait(20)
    try:
        yield made
    finally:
        made.thread.end() if lvsd else None
        made.folder.close()


def text_of(html: str) -> str:
    """What a person reads, tags and spare blanks taken out."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))
