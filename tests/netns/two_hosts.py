"""Two hosts on one wire, for the parts of pulse.

┌── director ──┐             ┌── neighbour ──┐
│ eth0 10.9.0.3 │────────────│ eth0 10.9.0.4  │
│      fd09::3  │             │      fd09::4   │
└──────────────┘             └────────────────┘
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path
from typing import TypeVar

from piranha.base.paths import Paths
from piranha.dataplane.ebpf.pins import Pins
from piranha.lab import namespace as netns

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[2]
DIRECTOR, NEIGHBOUR = {4: "10.9.0.3", 6: "fd09::3"}, {4: "10.9.0.4", 6: "fd09::4"}
VIP = {4: "10.9.0.100", 6: "fd09::100"}
_PATIENCE_S = 30


def wait_for(condition: Callable[[], T], what: str) -> T:
    """The first true value of the condition. The machine may be slow: patience is long."""
    deadline = time.monotonic() + _PATIENCE_S
    while not (value := condition()):
        assert time.monotonic() < deadline, f"it did not come about: {what}"
        time.sleep(0.01)
    return value


@dataclass
class TwoHosts:
    director: str
    neighbour: str
    paths: Paths

    def ip(self, host: str, *lines: str) -> None:
        netns.ip_batch(host, lines)

    def inside(self, host: str, call: Callable[[], T]) -> T:
        """The result of a call in the host's namespace, /sys included as the process sees it."""
        with netns.entered(host):
            return call()

    def start(self, host: str, code: str, *arguments: str) -> subprocess.Popen[str]:
        """A Python child in the host's namespace that can import the product."""
        with netns.entered(host):
            return subprocess.Popen(
                [sys.executable, "-c", code, *arguments], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
            )  # fmt: skip


@contextmanager
def two_hosts(tmp_path: Path, prefix: str) -> Iterator[TwoHosts]:
    number = f"{os.getpid() % 100000}-{threading.get_native_id() % 1000}"
    hosts = TwoHosts(
        director=f"{prefix}-d-{number}",
        neighbour=f"{prefix}-n-{number}",
        paths=Paths(config=tmp_path, run=tmp_path, state=tmp_path, etc=tmp_path),
    )
    try:
        netns.add(hosts.director)
        netns.add(hosts.neighbour)
        netns.ip_batch(hosts.director, [f"link add eth0 type veth peer name eth0 netns {hosts.neighbour}"])
        for host, addresses in ((hosts.director, DIRECTOR), (hosts.neighbour, NEIGHBOUR)):
            lines = ["link set lo up", "link set eth0 addrgenmode none", "link set eth0 up"]
            lines += [f"addr add {addresses[4]}/24 dev eth0", f"addr add {addresses[6]}/64 dev eth0 nodad"]
            lines += [f"addr add fe80::{addresses[6][-1]}/64 dev eth0 nodad"]
            netns.ip_batch(host, lines)
        # Until the kernel has noticed the carrier, which it does at leisure, what is sent is lost without a word.
        for host in (hosts.director, hosts.neighbour):
            wait_for(lambda host=host: _is_up(host), f"eth0 of {host} is up")  # type: ignore[misc]
        yield hosts
    finally:
        for host in (hosts.director, hosts.neighbour):
            if netns.exists(host):
                netns.delete(host)
        pins = Pins(hosts.paths.bpffs)
        if pins.mounted:
            pins.remove_all()
            pins.unmount()


def _is_up(host: str) -> bool:
    return '"operstate":"UP"' in netns.run(["ip", "-n", host, "-j", "link", "show", "dev", "eth0"])


class Asker:
    """Asks the wire of a host: who has an address, and does it answer?"""

    def __init__(self, device: str = "eth0") -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self._socket.bind((device, 3))
        self._socket.setblocking(False)
        self.mac: bytes = self._socket.getsockname()[4]

    def close(self) -> None:
        self._socket.close()

    def send(self, frame: bytes) -> None:
        self._socket.send(frame)

    def frames(self, wait_s: float = 0) -> list[bytes]:
        """What came in; waits so long for the first."""
        found = []
        if wait_s:
            select.select([self._socket], [], [], wait_s)
        while True:
            try:
                data, (_, _, kind, *_) = self._socket.recvfrom(4096)
            except BlockingIOError:
                return found
            if kind != socket.PACKET_OUTGOING:
                found.append(data)

    def ask_arp(self, address: str, *, sender: str = "0.0.0.0") -> None:
        body = b"\0\1\x08\0\6\4\0\1" + self.mac + socket.inet_aton(sender) + bytes(6) + socket.inet_aton(address)
        self.send(b"\xff" * 6 + self.mac + b"\x08\x06" + body)

    def ask_ndp(self, address: str, source: str) -> None:
        target = IPv6Address(address)
        group = IPv6Address(int(IPv6Address("ff02::1:ff00:0")) | int(target) & 0xFFFFFF)
        body = b"\x87\0\0\0" + bytes(4) + target.packed + b"\1\1" + self.mac
        self._send_icmp6(IPv6Address(source), group, body, 255, b"\x33\x33" + group.packed[12:])

    def ask_ping(self, address: str, source: str, mac: bytes) -> None:
        """An echo request to the host of `mac`, whoever's address it is."""
        if ":" in address:
            body = b"\x80\0\0\0" + b"\0\1\0\1" + b"ask"
            self._send_icmp6(IPv6Address(source), IPv6Address(address), body, 64, mac)
            return
        icmp = b"\x08\0\0\0\0\1\0\1ask\0"
        icmp = icmp[:2] + _checksum(icmp) + icmp[4:]
        head = b"\x45\0" + (20 + len(icmp)).to_bytes(2, "big") + b"\0\0\0\0\x40\x01\0\0"
        head += socket.inet_aton(source) + socket.inet_aton(address)
        self.send(mac + self.mac + b"\x08\0" + head[:10] + _checksum(head) + head[12:] + icmp)

    def _send_icmp6(self, source: IPv6Address, to: IPv6Address, body: bytes, hops: int, mac: bytes) -> None:
        pseudo = source.packed + to.packed + len(body).to_bytes(4, "big") + b"\0\0\0\x3a"
        body = body[:2] + _checksum(pseudo + body) + body[4:]
        head = b"\x60\0\0\0" + len(body).to_bytes(2, "big") + bytes([58, hops]) + source.packed + to.packed
        self.send(mac + self.mac + b"\x86\xdd" + head + body)


def answers(frame: bytes) -> str:
    """What kind of answer a frame is: arp, ndp, ping4, ping6, or nothing."""
    if frame[12:14] == b"\x08\x06":
        return "arp" if frame[20:22] == b"\0\2" else ""
    if frame[12:14] == b"\x08\0" and frame[23] == 1 and frame[34] == 0:
        return "ping4"
    if frame[12:14] == b"\x86\xdd" and frame[20] == 58:
        return {136: "ndp", 129: "ping6"}.get(frame[54], "")
    return ""


def _checksum(data: bytes) -> bytes:
    data += bytes(len(data) % 2)
    total = sum(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF).to_bytes(2, "big")


def mac_of(device: str) -> bytes:
    """The MAC of a device of the thread's namespace."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as asked:
        asked.bind((device, 0))
        mac: bytes = asked.getsockname()[4]
    return mac
