"""The pair link lets in the pair's other director and nobody else, and comes back over whatever way is left."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from tests.unit.replication.hosts import ADDRESSES, WAIT_S, Node, free_port, made, paired, text_of, until

from piranha.cluster.identity import own_certificate
from piranha.cluster.keys import node_id
from piranha.replication.frames import HEAD, Hello, Kind, hello_frame, pack
from piranha.replication.tls import client_context

GARBAGE_TRIES = 50


def listener_and_dialler(first: Node, second: Node) -> tuple[Node, Node]:
    return (first, second) if first.node > second.node else (second, first)


def make_expired(node: Node) -> None:
    """A certificate of yesteryear, as a director with a wrong clock sees a good one."""
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "piranha")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.not_valid_before(datetime(2001, 1, 1, tzinfo=UTC))
    certificate = builder.not_valid_after(datetime(2001, 1, 2, tzinfo=UTC)).sign(key, None)
    (node.paths.etc / "node.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (node.paths.etc / "node.key").write_bytes(private)
    node.certificate = (node.paths.etc / "node.crt").read_text()


async def test_dates_do_not_matter(tmp_path: Path) -> None:
    first, second = made(tmp_path)
    make_expired(first)
    make_expired(second)
    first.pair_with(second)
    second.pair_with(first)
    first.start()
    second.start()
    try:
        await until(lambda: first.state == second.state == "in step")
    finally:
        await first.stop()
        await second.stop()


@pytest.mark.parametrize("stranger", ["who listens", "who dials"])
async def test_another_certificate_is_refused_and_named(tmp_path: Path, stranger: str) -> None:
    first, second = made(tmp_path)
    listener, dialler = listener_and_dialler(first, second)
    impostor, victim = (listener, dialler) if stranger == "who listens" else (dialler, listener)
    for name in ("node.crt", "node.key"):
        (impostor.paths.etc / name).unlink()
    own_certificate(impostor.paths.etc, impostor.node)
    # What the impostor has is newer, and yet not taken.
    impostor.paths.config.write_text(impostor.text.replace("serial_no = 1", "serial_no = 99"))
    before = victim.text
    first.start()
    second.start()
    try:
        await until(lambda: "certificate" in victim.host.view()["why"] or "TLS" in victim.host.view()["why"])
        assert victim.state == "alone"
        assert victim.text == before
    finally:
        await first.stop()
        await second.stop()


async def test_the_right_certificate_with_another_node_id_is_refused(tmp_path: Path) -> None:
    first, second = made(tmp_path)
    listener, dialler = listener_and_dialler(first, second)
    (dialler.paths.state / "node-id").write_text("0" * 15 + "7\n")
    assert node_id(dialler.paths.state).hex() < listener.node.hex()
    first.start()
    second.start()
    try:
        await until(lambda: "another node id" in listener.host.view()["why"])
        assert listener.state == "alone"
    finally:
        await first.stop()
        await second.stop()


async def test_garbage_and_strangers_do_not_disturb_a_pair(tmp_path: Path) -> None:
    draw = random.Random(4)
    async with paired(tmp_path) as (first, second):
        listener, dialler = listener_and_dialler(first, second)
        port = listener.director.reading.configuration.link_port
        there = (str(ADDRESSES[listener.name]), port)
        for number in range(GARBAGE_TRIES):
            source = str(ADDRESSES[dialler.name]) if number % 2 else "127.0.7.9"
            _, writer = await asyncio.open_connection(*there, local_addr=(source, 0))
            writer.write(draw.randbytes(draw.randrange(1, 2000)))
            writer.close()
        text = first.text.replace("# first", "# after the garbage")
        await first.edit(text)
        await until(lambda: second.director.reading.text == text)


def oversize(kind: int) -> bytes:
    return HEAD.pack(kind, 2**31)


BAD_FRAMES = {
    "too long": oversize(Kind.OFFER),
    "a text too long": oversize(Kind.TEXT),
    "an unknown kind too long": oversize(250),
    "no JSON": struct.pack("!BI", Kind.OFFER, 4) + b"\xff\xff{}",
    "an array": pack(Kind.OFFER, b"[]"),
    "deep JSON": pack(Kind.OFFER, b"[" * 100_000),
    "an empty offer": pack(Kind.OFFER, {}),
    "a digest that is a path": pack(Kind.WANT, {"digest": "../../../etc/shadow"}),
    "a key that is none": pack(Kind.KEY, {"id": 2, "key": "00", "ids": [1]}),
    "reasons that are none": pack(Kind.REFUSAL, {"digest": "0" * 64, "reasons": 7}),
}


@pytest.mark.parametrize("frame", BAD_FRAMES.values(), ids=BAD_FRAMES.keys())
async def test_a_peer_that_says_what_may_not_be_said_loses_the_session_and_changes_nothing(
    tmp_path: Path, frame: bytes
) -> None:
    first, second = made(tmp_path)
    listener, dialler = listener_and_dialler(first, second)
    listener.start()
    try:
        await until(lambda: "not called yet" in listener.host.view()["why"])
        reader, writer = await greeted(listener, dialler)
        await until(lambda: listener.host.view()["peer"] == "evil")
        writer.write(frame)
        await hung_up(reader)
        await until(lambda: listener.state == "alone")
        assert listener.key_ids() == [1]
        assert listener.host.view()["conflicts"] == []
    finally:
        await listener.stop()


async def hung_up(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(OSError):
        async with asyncio.timeout(WAIT_S):
            while await reader.read(4096):
                pass


async def test_unknown_kinds_and_fields_are_ignored(tmp_path: Path) -> None:
    first, second = made(tmp_path)
    listener, dialler = listener_and_dialler(first, second)
    listener.start()
    try:
        await until(lambda: "not called yet" in listener.host.view()["why"])
        _, writer = await greeted(listener, dialler)
        writer.write(struct.pack("!BI", 200, 3) + b"new")
        writer.write(pack(Kind.REFUSAL, {"digest": "0" * 64, "reasons": [], "of a later version": {}}))
        writer.write(pack(Kind.WANT, {"digest": "1" * 64}))
        await until(lambda: listener.host.view()["peer"] == "evil")
        await asyncio.sleep(0)
        assert listener.state == "alone", "it has made no offer yet"
    finally:
        await listener.stop()


async def greeted(listener: Node, dialler: Node) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A session of somebody who has the other director's keys, and bad intentions."""
    reader, writer = await asyncio.open_connection(
        str(ADDRESSES[listener.name]),
        listener.director.reading.configuration.link_port,
        local_addr=(str(ADDRESSES[dialler.name]), 0),
        ssl=client_context(dialler.paths.etc),
        server_hostname="",
    )
    writer.write(hello_frame(Hello(node=dialler.node.hex(), name="evil")) + pack(Kind.BEAT))
    return reader, writer


async def test_the_link_goes_over_the_other_network_when_one_fails(tmp_path: Path) -> None:
    port = free_port()
    private = {"lb1": ip_address("127.0.8.1"), "lb2": ip_address("127.0.8.2")}
    text = text_of(port) + f"primary_private = {private['lb1']}\nbackup_private = {private['lb2']}\n"
    async with paired(tmp_path, (text, text)) as (first, second):
        assert first.host.view()["peer_address"] == str(ADDRESSES["lb2"]), "the private address is not this host's yet"
        for node in (first, second):
            node.own = frozenset({private[node.name]})
            node.host.noticed()
        await until(lambda: first.host.view()["peer_address"] == str(private["lb2"]))
        await until(lambda: first.state == second.state == "in step")
        for node in (first, second):
            node.own = frozenset({ADDRESSES[node.name], private[node.name]})
            node.host.noticed()
        await until(lambda: first.state == second.state == "in step")


async def test_a_director_that_falls_silent_is_left_and_found_again(tmp_path: Path) -> None:
    async with paired(tmp_path) as (first, second):
        port = free_port()
        # The other moves away: nobody answers on the port that is dialled.
        second.director.reading = second.director.reading.__class__(
            **{
                **{name: getattr(second.director.reading, name) for name in second.director.reading.__slots__},
                "configuration": _with_port(second, port),
            }
        )
        second.host.noticed()
        await until(lambda: first.state == second.state == "alone")
        await second.director.reload()
        await until(lambda: first.state == second.state == "in step")


def _with_port(node: Node, port: int) -> object:
    import dataclasses

    return dataclasses.replace(node.director.reading.configuration, pair_port=port)


async def test_who_does_not_greet_does_not_keep_the_place(tmp_path: Path) -> None:
    first, second = made(tmp_path)
    listener, dialler = listener_and_dialler(first, second)
    listener.start()
    await until(lambda: "not called yet" in listener.host.view()["why"])
    there = (str(ADDRESSES[listener.name]), listener.director.reading.configuration.link_port)
    mute = []
    for _ in range(6):
        mute.append(socket.socket())
        mute[-1].setblocking(False)
        mute[-1].bind((str(ADDRESSES[dialler.name]), 0))
        await asyncio.get_running_loop().sock_connect(mute[-1], there)
    try:
        dialler.start()
        await until(lambda: first.state == second.state == "in step")
    finally:
        for one in mute:
            one.close()
        await first.stop()
        await second.stop()
