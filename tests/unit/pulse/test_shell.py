"""Two loops over loopback with the real machine, seals and control sockets; gate and addresses are a fake."""

from __future__ import annotations

import json
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from piranha.client.pulse import ask
from piranha.cluster.commands import FOREVER, Command, SendHeartbeats, SetTimer
from piranha.cluster.events import Event, GateState, Tick
from piranha.cluster.heartbeat import Flag, Place
from piranha.cluster.keys import PairKeys, Peer
from piranha.cluster.seal import RejectedError
from piranha.cluster.settings import Settings
from piranha.cluster.timing import choose
from piranha.model.configuration import ProfileChoice
from piranha.pulse.control import ControlServer
from piranha.pulse.heartbeat_link import HeartbeatLink
from piranha.pulse.lag import LagMeter
from piranha.pulse.shell import Shell
from piranha.pulse.voice import OriginalVoice, SealedVoice, Voice, boot_now

NODES = {"a": b"node-a..", "b": b"node-b.."}
ADDRESSES = {"a": ip_address("127.7.0.1"), "b": ip_address("127.7.0.2")}
KEY = bytes(range(32))
LEASE_NS = 300_000_000


class FakeWire:
    """A gate in memory: the lease is renewed as the kernel's is, never from the dead."""

    def __init__(self) -> None:
        self.until = 0
        self.up = False
        self.done: list[str] = []

    def claim(self, until: int) -> None:
        self.until = until

    def drop(self) -> None:
        self.until = 0

    def renew(self, now: int) -> None:
        if now < self.until < FOREVER:
            self.until = now + LEASE_NS

    def open_until(self) -> int:
        return self.until

    def raise_addresses(self, now: int) -> None:
        self.up = True

    def lower_addresses(self, now: int) -> None:
        self.up = False

    def announce(self, now: int) -> None:
        self.done.append("announce")

    def stop_announcing(self) -> None:
        self.done.append("stop announcing")

    def probe(self, now: int) -> None:
        self.done.append("probe")

    def run_command(self, *, active: bool, now: int) -> None:
        self.done.append(f"run {active}")

    def note_peer(self, macs: tuple[bytes, ...]) -> None:
        self.peer = macs

    def macs(self) -> tuple[bytes, ...]:
        return (b"\2\0\0\0\0\1",)

    def descriptors(self) -> Iterator[int]:
        return iter(())

    def receive(self, now: int) -> list[Event]:
        return []

    def tick(self, now: int) -> None:
        return

    def next_at(self) -> int | None:
        return None

    def status(self) -> dict[str, Any]:
        return {"addresses": []}


class Director:
    """One shell in a thread, with an lvsd that is always ready."""

    def __init__(self, name: str, folder: Path, port: int, key: bytes, *, sealed: bool = True) -> None:
        other = "b" if name == "a" else "a"
        self.wire = FakeWire()
        self.path = folder / f"{name}.sock"
        self.control = ControlServer(self.path)
        self.reloads = 0
        place = Place.PRIMARY if name == "a" else Place.SECONDARY
        boot = name.encode() * 16
        voice: Voice = OriginalVoice(place)
        if sealed:
            pair = PairKeys(keys={1: key}, peer=Peer(node=NODES[other], name=other, certificate=""))
            voice = SealedVoice(pair, node=NODES[name], boot=boot, place=place, name=name)
        self.link = HeartbeatLink(ADDRESSES[name], ADDRESSES[other], port)
        wakeups, self.waker = socket.socketpair()
        self.shell = Shell(
            settings=Settings(
                timing=choose(ProfileChoice.DEFAULT, realtime=True),
                place=place,
                node=NODES[name],
                boot=boot,
                original=not sealed,
            ),
            voice=voice,
            links=[self.link],
            wire=self.wire,
            control=self.control,
            lvsd=None,
            clock=boot_now,
            wakeups=wakeups,
            syncs=False,
            facts=lambda: {"name": name},
            ask_reload=self._reload,
        )
        self.thread = threading.Thread(target=self.shell.run, name=name, daemon=True)
        self.thread.start()
        self.lvsd = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.lvsd.connect(str(self.path))
        self.lvsd.send(b'{"request": "attach"}')
        self.lvsd.send(b'{"ready": true}')

    def _reload(self) -> None:
        self.reloads += 1

    def status(self) -> dict[str, Any]:
        return ask(self.path, "status")

    def stop(self) -> None:
        if self.thread.is_alive():
            ask(self.path, "stop")
        self.thread.join(10)
        self.lvsd.close()
        self.link.close()
        self.control.close()


@contextmanager
def pair(
    folder: Path, *, keys: tuple[bytes, bytes] = (KEY, KEY), sealed: bool = True
) -> Iterator[tuple[Director, Director]]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.7.0.1", 0))
        port = probe.getsockname()[1]
    with ExitStack() as stack:
        made = []
        for name, key in zip("ab", keys, strict=True):
            director = Director(name, folder, port, key, sealed=sealed)
            stack.callback(director.stop)
            made.append(director)
        yield made[0], made[1]


def eventually(condition: Any, wait_s: float = 20.0) -> None:
    pause = threading.Event()
    for _ in range(int(wait_s / 0.05)):
        if condition():
            return
        pause.wait(0.05)
    raise AssertionError("it did not come about")


def roles(*directors: Director) -> list[str]:
    return [director.status()["role"] for director in directors]


@pytest.mark.parametrize("sealed", [True, False])
def test_one_of_two_becomes_active(tmp_path: Path, sealed: bool) -> None:
    with pair(tmp_path, sealed=sealed) as (a, b):
        eventually(lambda: sorted(roles(a, b)) == ["active", "backup"])
        active, backup = (a, b) if roles(a) == ["active"] else (b, a)
        assert (active.wire.up, backup.wire.up) == (True, False)
        assert active.wire.until > boot_now() - LEASE_NS
        assert "announce" in active.wire.done
        # Heartbeats keep the lease alive for longer than one lease.
        before = active.wire.until
        eventually(lambda: active.wire.until > before + 2 * LEASE_NS)


def test_a_planned_switch_goes_to_and_fro(tmp_path: Path) -> None:
    with pair(tmp_path) as (a, b):
        eventually(lambda: sorted(roles(a, b)) == ["active", "backup"])
        for asked in (a, b, a):
            before = roles(a, b)
            answer = ask(asked.path, "switch")
            assert answer["done"], answer
            eventually(lambda before=before: roles(a, b) == before[::-1])
        term = a.status()["term"]
        assert term >= 4
        assert b.status()["term"] == term


def test_maintenance_hands_over_and_stays_away(tmp_path: Path) -> None:
    with pair(tmp_path) as (a, b):
        eventually(lambda: sorted(roles(a, b)) == ["active", "backup"])
        active, backup = (a, b) if roles(a) == ["active"] else (b, a)
        assert ask(active.path, "maintenance_on")["done"]
        eventually(lambda: roles(active, backup) == ["backup", "active"])
        assert not ask(backup.path, "switch")["done"]
        assert ask(active.path, "maintenance_off")["done"]
        eventually(lambda: ask(backup.path, "switch")["done"])


def test_the_stop_of_the_active_one_is_a_handover(tmp_path: Path) -> None:
    with pair(tmp_path) as (a, b):
        eventually(lambda: sorted(roles(a, b)) == ["active", "backup"])
        active, backup = (a, b) if roles(a) == ["active"] else (b, a)
        assert ask(active.path, "stop")["done"]
        active.thread.join(10)
        assert not active.thread.is_alive()
        assert (active.wire.until, active.wire.up) == (0, False)
        eventually(lambda: roles(backup) == ["active"])


def test_the_wrong_key_is_an_alarm(tmp_path: Path) -> None:
    with pair(tmp_path, keys=(KEY, bytes(32))) as (a, b):
        eventually(
            lambda: "unauthenticated_peer" in a.status()["alarms"] and "unauthenticated_peer" in b.status()["alarms"]
        )
        link = a.status()["links"][0]
        assert (link["heard"], link["rejected"]["forged"] > 0) == (0, True)


def test_what_the_status_tells(tmp_path: Path) -> None:
    with pair(tmp_path) as (a, b):
        eventually(lambda: sorted(roles(a, b)) == ["active", "backup"])
        eventually(lambda: a.status()["peer"]["flags"] == ["ready", "synced"])
        status = a.status()
        assert (status["name"], status["peer"]["name"], status["place"]) == ("a", "b", "primary")
        assert status["peer"]["heard_s"] < 5
        assert status["peer"]["round_trip_ms"] >= 0
        assert a.wire.peer == (b"\2\0\0\0\0\1",)
        assert status["timing"]["heartbeat_ms"] == 100
        assert status["lvsd"]["ready"]
        assert status["links"][0]["ours"] == "127.7.0.1"
        assert json.loads(json.dumps(status)) == status


def test_lvsd_hears_of_each_change(tmp_path: Path) -> None:
    with pair(tmp_path) as (a, b):
        eventually(lambda: sorted(roles(a, b)) == ["active", "backup"])
        assert ask(a.path, "switch")["done"]
        heard = []
        while select.select([a.lvsd], [], [], 1.0)[0]:
            heard.append(json.loads(a.lvsd.recv(65536))["role"])
        assert {"active", "backup"} <= set(heard)


def test_a_lost_lvsd_is_seen(tmp_path: Path) -> None:
    with pair(tmp_path) as (a, _):
        eventually(lambda: a.status()["lvsd"]["ready"])
        a.lvsd.close()
        eventually(lambda: not a.status()["lvsd"]["ready"])


def test_nonsense_on_the_control_socket(tmp_path: Path) -> None:
    with pair(tmp_path) as (a, _):
        assert "does not know" in ask(a.path, "dance")["text"]
        assert ask(a.path, "reload")["done"]
        assert a.reloads == 1
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as link:
            link.connect(str(a.path))
            link.send(b"\xff{")
            link.settimeout(10)
            assert link.recv(10) == b""
        assert a.status()["name"] == "a"


def test_the_original_says_no_more_than_running_and_stopped() -> None:
    voice = OriginalVoice(Place.PRIMARY)
    active = voice.say(active=True, term=3, flags=Flag.READY, macs=(), now=0)
    assert active == bytes.fromhex("dadbadbd") == voice.active_word
    event = OriginalVoice(Place.SECONDARY).hear("x", active, 0).event
    assert (event.active, event.term, event.place, event.age_ns) == (True, 0, Place.PRIMARY, 0)
    for refused in (bytes.fromhex("dadaadde"), bytes.fromhex("bebaefbe"), b"", b"12345"):
        with pytest.raises(RejectedError):
            voice.hear("x", refused, 0)


def test_lags() -> None:
    meter = LagMeter()
    assert meter.figures().samples == 0
    for lag in range(1, 101):
        meter.note(lag * 1_000_000)
    figures = meter.figures()
    assert (figures.p50_ms, figures.p99_ms, figures.max_ms, figures.worst_ms) == (51, 100, 100, 100)


class Scripted:
    """A machine that speaks at a tick, and moves its timer on when it hears of the gate."""

    def handle(self, event: Event, now: int) -> list[Command]:
        if isinstance(event, Tick):
            return [SendHeartbeats(active=True, term=1, flags=Flag(0)), SetTimer(at=1)]
        assert isinstance(event, GateState)
        return [SetTimer(at=2)]


def test_the_gate_is_read_when_the_list_is_carried_out() -> None:
    shell = Shell.__new__(Shell)
    shell._machine = Scripted()  # type: ignore[assignment]
    shell._wire, shell._links, shell._clock = FakeWire(), [], boot_now
    shell._stopped, shell._timer_at = False, 0
    shell._handle(Tick(), boot_now())
    assert shell._timer_at == 2
