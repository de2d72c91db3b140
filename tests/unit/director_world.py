"""A whole director in one process: real file, real API socket, memory plane, a nanny whose verdicts a test gives."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from ipaddress import ip_address
from pathlib import Path

from piranha.api.app import create_app
from piranha.api.live import LiveHub
from piranha.api.operation import Context
from piranha.api.rights import Policy
from piranha.api.server import open_socket, serve
from piranha.base.clock import MonotonicClock
from piranha.config.names import FixedNames
from piranha.config.store import ConfigurationStore
from piranha.dataplane.memory import MemoryPlane
from piranha.director.chronicle import Chronicle
from piranha.director.confirmation import ConfirmationFile
from piranha.director.director import Director
from piranha.director.editing import Editing
from piranha.director.eventfile import EventFile
from piranha.director.health import HealthBook
from piranha.director.source import read_configuration
from piranha.model.address import IPAddress
from piranha.model.health import Health
from piranha.monitor.target import Target, TargetKey, TargetStatus

LISTING = """\
# the article's cluster
serial_no = 7
primary = 10.0.0.1
service = lvs
network = direct
virtual HTTP {
    active = 1
    address = 10.0.0.100 eth0:1
    vip_nmask = 255.255.255.0
    port = 80
    protocol = tcp
    scheduler = rr
    timeout = 6
    server web1 {
        address = 10.0.0.11
        active = 1
        weight = 3
    }
    server web2 {
        address = 10.0.0.12
        active = 1
        weight = 1
    }
}
"""


class FakeNanny:
    """Keeps the contract of `HealthSource`; its verdicts come from `say`."""

    def __init__(self, book: HealthBook) -> None:
        self.targets: dict[TargetKey, Target] = {}
        self.running = False
        self._book = book
        self._clock = MonotonicClock()
        self._known: dict[TargetKey, TargetStatus] = {}

    def set_targets(self, targets: Mapping[TargetKey, Target]) -> None:
        self._known = {
            key: self._known.get(key)
            or TargetStatus(key=key, target=target, health=Health.UNKNOWN, since_at=self._clock.now())
            for key, target in targets.items()
        }
        self.targets = dict(targets)

    def status(self, key: TargetKey) -> TargetStatus:
        return self._known[key]

    async def run(self) -> None:
        self.running = True
        try:
            await asyncio.Event().wait()
        finally:
            self.running = False

    def say(self, server: str, health: Health, reason: str = "said so") -> None:
        """A verdict for `server` (its address) in every service that has it."""
        for key in list(self._known):
            if str(key.destination.address) == server:
                now = self._clock.now()
                self._known[key] = TargetStatus(
                    key=key, target=self.targets[key], health=health, since_at=now, last_reason=reason, last_at=now
                )
                self._book.note(key, health, reason)


class World:
    """`config` is the file, `socket` where the API answers, `present` the addresses of this host, `wall` the time of day
    that confirmations go by."""

    def __init__(self, folder: Path, text: str = LISTING, plane: MemoryPlane | None = None) -> None:
        self.config = folder / "lvs.cf"
        self.config.write_text(text)
        self.socket = folder / "run" / "api.sock"
        self.plane = plane or MemoryPlane()
        self.present: frozenset[IPAddress] = frozenset({ip_address("10.0.0.100")})
        self.beats = 0
        state = folder / "state"
        chronicle = Chronicle(EventFile(state / "events.jsonl"))
        book = HealthBook(chronicle.health)
        self.nanny = FakeNanny(book)
        self.director = Director(
            read_configuration(self.config),
            self.plane,
            self.nanny,
            book,
            MonotonicClock(),
            addresses=lambda: self.present,
            beat=self._beat,
            chronicle=chronicle,
            tick_s=0.05,
        )
        self.wall = 1_000_000.0
        self.store = ConfigurationStore(self.config, state, names=FixedNames())
        self.editing = Editing(
            self.store, self.director, ConfirmationFile(state / "unconfirmed.json"), wall=lambda: self.wall
        )
        self.live = LiveHub(self.director.live, interval_s=0.02)
        self.context = Context(director=self.director, editing=self.editing, live=self.live)

    def pool(self) -> dict[str, int]:
        """Destinations in the plane's table with their weights."""
        return {str(d.destination.key): d.destination.weight for s in self.plane.snapshot() for d in s.destinations}

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for `condition`, at most three seconds."""
        async with asyncio.timeout(3):
            while not condition():  # noqa: ASYNC110 - what a test waits for has no event
                await asyncio.sleep(0.01)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[World]:
        """Director and API at work until the block ends."""
        self.director.start()
        listener = open_socket(self.socket)
        async with asyncio.TaskGroup() as group:
            work: list[Awaitable[None]] = [
                self.director.run(),
                serve(create_app(self.context, Policy.of_this_host()), listener),
                self.editing.run(),
                self.live.run(),
            ]
            tasks = [group.create_task(task) for task in work]  # type: ignore[arg-type]
            await self.until(lambda: self.nanny.running)
            try:
                yield self
            finally:
                for task in tasks:
                    task.cancel()
        listener.close()

    def _beat(self) -> None:
        self.beats += 1
