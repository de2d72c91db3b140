"""Two replication hosts on loopback, each with its files and keys, and a director that reads them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from ipaddress import ip_address
from pathlib import Path

from piranha.base.paths import Paths
from piranha.cluster.identity import own_certificate
from piranha.cluster.keys import PairKeys, Peer, node_id, read_pair_keys, write_pair_keys
from piranha.director.source import Reading, read_configuration
from piranha.model.address import IPAddress
from piranha.replication.host import ReplicationHost

ADDRESSES = {"lb1": ip_address("127.0.7.1"), "lb2": ip_address("127.0.7.2")}
WAIT_S = 30.0


def free_port() -> int:
    """A TCP port that is free on both directors' addresses, most likely still in a moment."""
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        return int(probe.getsockname()[1])


def text_of(port: int, *, serial_no: int = 1, comment: str = "first") -> str:
    return (
        f"# {comment}\nserial_no = {serial_no}\nprimary = {ADDRESSES['lb1']}\nbackup = {ADDRESSES['lb2']}\n"
        f"backup_active = 1\npair_port = {port}\n"
    )


class FakeDirector:
    """Reads the real file as lvsd does; `reloads` counts."""

    def __init__(self, config: Path) -> None:
        self.config = config
        self.reading: Reading = read_configuration(config)
        self.reloads = 0
        self.noticed: Callable[[], None] = lambda: None

    async def reload(self) -> None:
        self.reading = await asyncio.to_thread(read_configuration, self.config)
        self.reloads += 1
        self.noticed()


class Node:
    """A director without its data plane. `start` and `stop` are lvsd's; the folder survives."""

    def __init__(self, name: str, folder: Path, text: str) -> None:
        self.name = name
        self.paths = Paths(config=folder / "lvs.cf", run=folder / "run", state=folder / "state", etc=folder / "etc")
        for path in (folder, self.paths.state, self.paths.etc):
            path.mkdir(exist_ok=True)
        self.paths.config.write_text(text)
        self.node = node_id(self.paths.state)
        self.certificate = own_certificate(self.paths.etc, self.node)
        self.told = 0
        self.own: frozenset[IPAddress] = frozenset({ADDRESSES[name]})
        self.role = ("standalone", 0)
        self._task: asyncio.Task[None] | None = None

    @property
    def text(self) -> str:
        return self.paths.config.read_text()

    @property
    def state(self) -> str:
        return self.host.view()["state"]

    def pair_with(self, other: Node, key: bytes = b"k" * 32) -> None:
        peer = Peer(node=other.node, name=other.name, certificate=other.certificate)
        write_pair_keys(self.paths.etc, PairKeys(keys={1: key}, peer=peer))

    def key_ids(self) -> list[int]:
        return sorted(read_pair_keys(self.paths.etc).keys)

    def start(self) -> None:
        self.director = FakeDirector(self.paths.config)
        self.host = ReplicationHost(self.paths, name=self.name, addresses=lambda: self.own, tell_pulse=self._tell_pulse)
        self.director.noticed = self.host.noticed
        self.host.assumed(*self.role)
        self._task = asyncio.create_task(self.host.run(self.director), name=self.name)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def assume(self, role: str, term: int) -> None:
        self.role = (role, term)
        self.host.assumed(role, term)

    async def edit(self, text: str) -> None:
        """As a person does it: by an editor, then `piranha reload`."""
        self.paths.config.write_text(text)
        await self.director.reload()

    async def _tell_pulse(self) -> None:
        self.told += 1


@contextlib.asynccontextmanager
async def paired(folder: Path, texts: tuple[str, str] | None = None) -> AsyncIterator[tuple[Node, Node]]:
    """Both up and in step, or at least in touch where the texts differ."""
    first, second = made(folder, texts)
    first.start()
    second.start()
    try:
        await until(lambda: first.state == second.state == "in step")
        yield first, second
    finally:
        await first.stop()
        await second.stop()


def made(folder: Path, texts: tuple[str, str] | None = None) -> tuple[Node, Node]:
    text = text_of(free_port())
    first, second = (
        Node(name, folder / name, given) for name, given in zip(("lb1", "lb2"), texts or (text, text), strict=True)
    )
    first.pair_with(second)
    second.pair_with(first)
    return first, second


async def until(condition: Callable[[], bool], wait_s: float = WAIT_S) -> float:
    """Wait for a condition -> how long it took."""
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    async with asyncio.timeout(wait_s):
        while not condition():  # noqa: ASYNC110 - what a test waits for has no event
            await asyncio.sleep(0.005)
    return loop.time() - began_at
