"""The sync engine with real sockets and tables in memory: roles, the pair link on loopback, multicast between namespaces."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import numpy as np
import pytest

from piranha.base.clock import MonotonicClock
from piranha.base.errors import PiranhaError
from piranha.cluster.identity import CERTIFICATE_FILE, KEY_FILE, own_certificate
from piranha.dataplane.port import SyncDaemon, SyncRole
from piranha.lab import namespace as netns
from piranha.model.address import IPAddress
from piranha.sync.engine import SyncEngine
from piranha.sync.link import LinkEnds
from piranha.sync.multicast import open_receiver, open_sender
from piranha.sync.role import PairRole, SettableRole
from piranha.sync.settings import SyncSettings
from piranha.sync.tally import SyncState
from tests.unit.sync.fake_table import FakeTable, connection

LONG_S = 60.0
HERE, THERE, STRANGER = (f"127.0.77.{number}" for number in (1, 2, 3))
Contexts = tuple[ssl.SSLContext, ssl.SSLContext]
NAMES = [f"pse{os.getpid() % 10000}-{end}" for end in "ab"]


class Director:
    """A table, a role, and the engine between them."""

    def __init__(self, local: str, peer: str, port: int, role: PairRole, tls: Contexts | None = None) -> None:
        self.table, self.role = FakeTable(), SettableRole(role)
        ends = LinkEnds(local=ip_address(local), peer=ip_address(peer), port=port)
        if tls is not None:
            ends = replace(ends, server_tls=tls[0], client_tls=tls[1])
        settings = SyncSettings(enabled=True, link_port=port)
        self.engine = SyncEngine(self.table, settings, self.role, MonotonicClock(), ends)
        self.states: list[SyncState] = []
        self.engine.on_change(lambda: self.states.append(self.engine.state))


def free_port() -> int:
    with socket.socket() as asking:
        asking.bind((HERE, 0))
        return int(asking.getsockname()[1])


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONG_S):
        while not done():  # noqa: ASYNC110 -- states are asked for, not told
            await asyncio.sleep(0.02)


def play(
    scene: Callable[[Director, Director], Awaitable[None]], tls: tuple[Contexts | None, Contexts | None] = (None, None)
) -> None:
    """An active director and its backup, both running."""

    async def work() -> None:
        port = free_port()
        active = Director(HERE, THERE, port, PairRole.ACTIVE, tls[0])
        backup = Director(THERE, HERE, port, PairRole.BACKUP, tls[1])
        tasks = [asyncio.create_task(director.engine.run()) for director in (active, backup)]
        try:
            await scene(active, backup)
            for task in tasks:
                assert not task.done()
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task

    asyncio.run(work())


def test_the_backup_copies_and_a_takeover_turns_the_link_round() -> None:
    async def scene(active: Director, backup: Director) -> None:
        active.table.put(np.concatenate([connection(port) for port in range(100)]))
        await until(lambda: backup.engine.state is SyncState.IN_STEP)
        assert backup.table.states() == active.table.states()
        assert (active.engine.state, backup.states[-2:]) == (SyncState.SOURCE, [SyncState.COPYING, SyncState.IN_STEP])
        assert not SyncState.COPYING.is_synced
        backup.role.set(PairRole.ACTIVE)
        active.role.set(PairRole.BACKUP)
        await until(lambda: backup.engine.state is SyncState.SOURCE and active.engine.state is SyncState.IN_STEP)
        backup.table.put(connection(500))
        await until(lambda: 500 in active.table.states())
        assert len(backup.table.rows) == 101, "nothing came back"
        (listener,) = backup.engine.view()["listeners"]
        assert (listener["peer"], listener["copied"]) == (HERE, True)

    play(scene)


def test_a_partner_that_goes_is_noticed_and_one_that_comes_back_is_found() -> None:
    async def work() -> None:
        port = free_port()
        backup = Director(THERE, HERE, port, PairRole.BACKUP)
        task = asyncio.create_task(backup.engine.run())
        await until(lambda: backup.engine.state is SyncState.WAITING)
        assert not backup.engine.state.is_synced
        await until(lambda: backup.engine.state is SyncState.ALONE)
        assert backup.engine.state.is_synced
        active = Director(HERE, THERE, port, PairRole.ACTIVE)
        active.table.put(connection(1))
        other = asyncio.create_task(active.engine.run())
        await until(lambda: backup.engine.state is SyncState.IN_STEP)
        assert backup.table.states() == {1: 1}
        for running in (other, task):
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    asyncio.run(work())


def test_an_entry_is_bound_as_soon_as_its_server_is_there() -> None:
    async def scene(active: Director, backup: Director) -> None:
        row = connection(1)
        backup.table.missing.add(row["server"][0].tobytes())
        active.table.put(row)
        await until(lambda: backup.engine.view()["waiting"] == 1)
        assert backup.engine.state is SyncState.COPYING, "its connections cannot be served yet"
        backup.table.missing.clear()
        backup.table.edition += 1
        backup.table.watcher()
        await until(lambda: backup.table.states() == {1: 1})
        await until(lambda: backup.engine.state is SyncState.IN_STEP)
        assert backup.engine.view()["waiting"] == 0

    play(scene)


def test_only_the_partner_is_answered() -> None:
    async def scene(active: Director, backup: Director) -> None:
        await until(lambda: backup.engine.state is SyncState.IN_STEP)
        ends = active.engine._ends
        assert ends is not None
        reader, writer = await asyncio.open_connection(HERE, ends.port, local_addr=(STRANGER, 0))
        async with asyncio.timeout(LONG_S):
            with suppress(ConnectionError):
                assert await reader.read(1) == b""
        writer.close()

    play(scene)


def contexts(own: Path, peers: str) -> Contexts:
    """Server's and client's: our certificate, and belief in exactly the other's."""
    made = []
    for protocol in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT):
        context = ssl.SSLContext(protocol)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=peers)
        context.load_cert_chain(own / CERTIFICATE_FILE, own / KEY_FILE)
        made.append(context)
    return made[0], made[1]


def certificates(home: Path) -> dict[str, str]:
    found = {}
    for number, name in enumerate(("here", "there", "stranger"), 1):
        (home / name).mkdir(mode=0o700)
        found[name] = own_certificate(home / name, bytes([number]) * 8)
    return found


def test_with_keys_the_table_goes_over_tls(tmp_path: Path) -> None:
    known = certificates(tmp_path)
    tls = contexts(tmp_path / "here", known["there"]), contexts(tmp_path / "there", known["here"])

    async def scene(active: Director, backup: Director) -> None:
        active.table.put(np.concatenate([connection(port) for port in range(100)]))
        await until(lambda: backup.engine.state is SyncState.IN_STEP)
        assert backup.table.states() == active.table.states()

    play(scene, tls)


@pytest.mark.parametrize("keys", ["stranger", ""])
def test_a_partner_without_the_right_keys_gets_nothing(tmp_path: Path, keys: str) -> None:
    known = certificates(tmp_path)
    wrong = contexts(tmp_path / keys, known["here"]) if keys else None

    async def scene(active: Director, backup: Director) -> None:
        active.table.put(connection(1))
        await until(lambda: backup.engine.state is SyncState.ALONE)
        assert backup.table.rows == []
        assert active.engine.view()["told_entries"] == 0

    play(scene, (contexts(tmp_path / "here", known["there"]), wrong))


def test_without_anything_to_do_it_is_off() -> None:
    async def work() -> None:
        table = FakeTable()
        engine = SyncEngine(table, SyncSettings(), SettableRole(), MonotonicClock())
        task = asyncio.create_task(engine.run())
        await asyncio.sleep(0.1)
        assert (engine.state, engine.view()["daemons"], engine.view()["lag_s"]) == (SyncState.OFF, [], -1.0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(work())


# ---- multicast ----


@pytest.fixture(scope="module")
def wire() -> Iterator[None]:
    """Two namespaces and a cable between them; the interfaces have no IPv4 address."""
    try:
        for name in NAMES:
            netns.add(name)
        netns.ip_batch(NAMES[0], [f"link add w0 type veth peer name w0 netns {NAMES[1]}", "link set w0 up"])
        for number, name in enumerate(NAMES):
            netns.ip_batch(name, ["link set w0 up", f"addr add fd77:9::{number + 1}/64 dev w0 nodad"])
            netns.ip_batch(name, [f"addr add 10.77.9.{number + 1}/24 dev w0"])
        yield
    finally:
        for name in NAMES:
            if netns.exists(name):
                netns.delete(name)


def heard(receiver: socket.socket, within_s: float) -> bytes:
    ready, _, _ = select.select([receiver], [], [], within_s)
    return receiver.recv(2000) if ready else b""


@pytest.mark.parametrize("group", [None, "224.0.0.99", "ff02::51"])
def test_a_group_is_heard_by_the_others_and_not_by_oneself(wire: None, group: str | None) -> None:
    address: IPAddress | None = ip_address(group) if group else None
    daemon = SyncDaemon(role=SyncRole.MASTER, interface="w0", sync_id=7, group=address, port=8850)
    with netns.entered(NAMES[0]):
        sender, own = open_sender(daemon), open_receiver(daemon)
    with netns.entered(NAMES[1]):
        receiver = open_receiver(replace(daemon, role=SyncRole.BACKUP))
    with sender, own, receiver:
        got = b""
        for _ in range(100):  # a veth's link comes up when it likes
            with suppress(OSError):
                sender.send(b"hello")
            got = heard(receiver, 0.2)
            if got:
                break
        assert got == b"hello"
        assert heard(own, 0.1) == b""


def test_an_interface_that_is_not_there_is_named() -> None:
    daemon = SyncDaemon(role=SyncRole.BACKUP, interface="nowhere0")
    with pytest.raises(PiranhaError, match="nowhere0") as raised:
        open_receiver(daemon)
    assert "syncd_iface" in raised.value.mend
