"""Killed or cut at any moment, a director has the old configuration or the new one, and comes to the new one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from pathlib import Path

import pytest
from tests.unit.replication.hosts import ADDRESSES, Node, made, until

from piranha.config.store import ConfigurationStore, digest_of, read_text
from piranha.replication.agreement import Agreement, Take
from piranha.replication.vault import Vault

KILLS = 200
CUTS = 200


def vault_in(folder: Path) -> Vault:
    return Vault(folder / "lvs.cf", folder, ConfigurationStore(folder / "lvs.cf", folder))


def text_number(number: int) -> str:
    return f"# {number}\nserial_no = {number}\n" + f"# {'x' * 60}\n" * 200


def store_for_ever(folder: Path, agreement: Agreement, done: int) -> None:
    """What the other director's edits make us do, one after the other; a byte into `done` for each."""
    vault = vault_in(folder)
    number = agreement.head.counter
    while True:
        number += 1
        (take,) = agreement.edited(text_number(number))
        assert isinstance(take, Take)
        take = Take(lineage=take.lineage, text=take.text, copies={digest_of("copy\n"): "copy\n"}, writes=True)
        vault.store(take, over=(agreement.head.digest,))
        agreement.taken(take)
        os.write(done, b".")


def test_killed_at_any_moment_the_disk_has_the_old_or_the_new_one(tmp_path: Path) -> None:
    draw = random.Random(58)
    (tmp_path / "lvs.cf").write_text(text_number(0))
    lineage = Agreement.first("0" * 16, text_number(0))
    vault_in(tmp_path).store(Take(lineage=lineage, text=text_number(0), writes=False), over=())
    moved = 0
    for kill in range(KILLS):
        before = lineage
        text = read_text(tmp_path / "lvs.cf")
        agreement = Agreement(node="0" * 16, name="lb1", lineage=lineage, text=text, copies={})
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                store_for_ever(tmp_path, agreement, writer)
            os._exit(1)
        os.close(writer)
        for _ in range(draw.randrange(3)):
            os.read(reader, 1)
        time.sleep(draw.random() * 0.005)
        os.kill(child, signal.SIGKILL)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL, f"kill {kill}: the writer failed by itself"
        os.close(reader)
        recovered = vault_in(tmp_path).recover()
        assert recovered is not None, f"kill {kill}: the history is gone"
        found = read_text(tmp_path / "lvs.cf")
        assert found == text_number(int(found.split()[1])), f"kill {kill}: the text is torn"
        assert digest_of(found) == recovered.head.digest, f"kill {kill}: text and history differ"
        moved += recovered != before
        lineage = recovered
    assert moved > KILLS // 10, "the kills must meet writers at work to say anything"


class Cutter:
    """Stands between two directors and cuts the connection after so many bytes in either direction."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.passed = 0

    async def serve(self, here: tuple[str, int], there: tuple[str, int], source: str) -> asyncio.Server:
        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                far_reader, far_writer = await asyncio.open_connection(*there, local_addr=(source, 0))
            except OSError:
                writer.transport.abort()
                return
            ends = (writer, far_writer)
            with contextlib.suppress(OSError):
                await asyncio.gather(self._pass(reader, far_writer, ends), self._pass(far_reader, writer, ends))
            for end in ends:
                end.transport.abort()

        return await asyncio.start_server(relay, *here)

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        ends: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
    ) -> None:
        while data := await reader.read(4096):
            if self.left is not None:
                data, self.left = data[: self.left], max(0, self.left - len(data))
            self.passed += len(data)
            writer.write(data)
            await writer.drain()
            if self.left == 0:
                self.left = None
                break
        for end in ends:
            end.transport.abort()


async def test_cut_at_any_byte_both_have_the_old_or_the_new_one_and_then_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F62: the link breaks after a random byte, handshake included, again and again while edits are made.

    With the pause of the product between two attempts it is the same in two minutes, 1.1 s an edit at worst.
    """
    monkeypatch.setattr("piranha.replication.link.RETRY_S", 0.02)
    draw = random.Random(62)
    first, second = made(tmp_path)
    dialler, listener = (first, second) if first.node < second.node else (second, first)
    port = read_port(listener)
    # The dialler finds the cutter where the other director should be; behind it that listens on another port.
    behind = port + 1 if port < 65000 else port - 1
    dialled = (str(ADDRESSES[listener.name]), port)
    cutter = Cutter()
    listener.paths.config.write_text(listener.text)
    first.start()
    second.start()
    use_port(listener, behind)
    server = await cutter.serve(dialled, (dialled[0], behind), str(ADDRESSES[dialler.name]))
    try:
        await until(lambda: first.state == second.state == "in step")
        session = cutter.passed
        for cut in range(CUTS):
            here, there = (first, second) if cut % 2 else (second, first)
            old = there.text
            new = f"# edit {cut} {'y' * draw.randrange(3000)}\n" + old[old.index("serial_no") :]
            cutter.left = draw.randrange(1, session + len(new) + 2000)
            await here.edit(new)
            if here is listener or there is listener:
                use_port(listener, behind)
            await until(lambda old=old, new=new, there=there: settled(there, old, new))  # type: ignore[misc]
            cutter.left = None
        await until(lambda: first.state == second.state == "in step")
        assert first.host.conflicts()["conflicts"] == []
    finally:
        server.close()
        await first.stop()
        await second.stop()


def settled(there: Node, old: str, new: str) -> bool:
    text = there.text
    assert text in (old, new), "torn"
    return text == new and there.director.reading.text == new


def read_port(node: Node) -> int:
    from piranha.director.source import read_configuration

    return read_configuration(node.paths.config).configuration.link_port


def use_port(node: Node, port: int) -> None:
    """Have a director listen elsewhere than its file says."""
    import dataclasses

    real = node.director.__class__

    class Elsewhere(real):  # type: ignore[misc, valid-type]
        async def reload(self) -> None:
            await super().reload()
            self._shift()

        def _shift(self) -> None:
            configuration = dataclasses.replace(self.reading.configuration, pair_port=port)
            self.reading = dataclasses.replace(self.reading, configuration=configuration)
            self.noticed()

    if real.__name__ != "Elsewhere":
        node.director.__class__ = Elsewhere
        node.director._shift()  # type: ignore[attr-defined]
