"""A mixed pair: lb1 is ours, on eBPF; lb2 is a kernel with IPVS. Connections of either go on through the other.

The network is that of tests/netns/pair.py; lb2 is a guest whose devices are plugged into the same bridges.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from piranha.lab import namespace as netns
from tests.netns.lab import wait_until
from tests.netns.pair import FLOATING, PORT, STICKY_PORT, VIP, VIP6, Conversation, Pair, pair_up
from tests.uml.guest import PROJECT, Completed, Guest, why_not

pytestmark = pytest.mark.root
INSIDE = Path(__file__).with_name("inside_sync_peer.py")
CONTROL = ("10.77.2.2", 7000)
PREFIX = f"pum{os.getpid() % 10000}-"
GUEST_S, WAIT_S = 400.0, 60.0
SERVICES = [f"-A -t {VIP}:{PORT} -s rr", f"-A -t {VIP}:{STICKY_PORT} -s rr -p 60", f"-A -t [{VIP6}]:{PORT} -s rr"]
SERVERS = [f"-a -t {VIP}:{port} -r 10.77.2.{n}:{port} -m" for port in (PORT, STICKY_PORT) for n in (21, 22)]
SERVERS += [f"-a -t [{VIP6}]:{PORT} -r [fd77:2::{n}]:{PORT} -m" for n in (21, 22)]


class Kernel:
    """The guest: boots with the object, ends with `close`."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._done: Completed | None = None
        switch = pair.namespace("switch")
        lines = []
        for number, bridge in enumerate(("outside", "inside")):
            lines += [
                f"link add lb2-{number} type veth peer name guest{number}",
                f"link set lb2-{number} master {bridge} up",
                f"link set guest{number} up",
            ]
        netns.ip_batch(switch, lines)
        self._thread = threading.Thread(target=self._boot, args=(switch,), name="guest")
        self._thread.start()
        end = time.monotonic() + GUEST_S
        while True:
            with netns.entered(pair.namespace("lb1")):
                try:
                    self._socket = socket.create_connection(CONTROL, 2)
                    break
                except OSError:
                    assert self._thread.is_alive(), self._done
                    assert time.monotonic() < end, "the guest does not answer"
            time.sleep(0.2)
        self._socket.settimeout(90)
        self._lines = self._socket.makefile("rw")

    def _boot(self, namespace: str) -> None:
        with netns.entered(namespace):
            guest = Guest(devices=("guest0", "guest1"))
            self._done = guest.run([sys.executable, str(INSIDE), CONTROL[0], str(CONTROL[1])], timeout_s=GUEST_S)

    def sh(self, command: str) -> str:
        self._lines.write(json.dumps(command) + "\n")
        self._lines.flush()
        status, said = json.loads(self._lines.readline())
        assert status == 0, f"{command}: {said}"
        return str(said)

    def connections(self) -> dict[int, tuple[str, str]]:
        """State and server by client port."""
        rows = [line.split() for line in self.sh("ipvsadm -Lnc").splitlines()[2:]]
        return {int(row[3].rpartition(":")[2]): (row[2], row[5]) for row in rows}

    def hold_addresses(self) -> None:
        for name, device in (("lb1", "out0"), ("lb1", "in0")):
            for address, of in FLOATING:
                if of == device:
                    self._pair._try(name, "addr", "del", address, "dev", device)
        for address, of in FLOATING:
            self.sh(f"ip addr replace {address} dev {'vec0' if of == 'out0' else 'vec1'}" + " nodad" * (":" in address))
        self._pair.forget_neighbours()

    def give_addresses(self) -> None:
        for address, of in FLOATING:
            self.sh(f"ip addr del {address} dev {'vec0' if of == 'out0' else 'vec1'}")
        self._pair.hold_addresses("lb1")

    def close(self) -> None:
        self._lines.close()
        self._socket.close()
        self._thread.join(60)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    reason = "needs root" if os.geteuid() else why_not()
    if reason:
        pytest.skip(reason)
    os.chdir(PROJECT)
    with tempfile.TemporaryDirectory(prefix="piranha-mixed-") as home, pair_up(PREFIX, Path(home), ["lb1"]) as pair:
        pair.start("lb1")
        yield pair


@pytest.fixture(scope="module")
def kernel(pair: Pair) -> Iterator[Kernel]:
    kernel = Kernel(pair)
    try:
        for line in [*SERVICES, *SERVERS]:
            kernel.sh(f"ipvsadm {line}")
        for role in ("master", "backup"):
            kernel.sh(f"ipvsadm --start-daemon {role} --mcast-interface vec1 --syncid 7")
        yield kernel
    finally:
        kernel.close()


def established(pair: Pair, talk: Conversation) -> bool:
    row = pair.connections("lb1").get(talk.port)
    return row is not None and row["state"] == "ESTABLISHED"


@pytest.mark.parametrize("vip", [VIP, VIP6])
def test_ours_goes_on_through_the_kernel(pair: Pair, kernel: Kernel, vip: str) -> None:
    talk = pair.connect(vip)
    server = talk.ask()
    number = {"web1": "21", "web2": "22"}[server]
    wait_until(lambda: talk.port in kernel.connections(), WAIT_S)
    state, destination = kernel.connections()[talk.port]
    assert state == "ESTABLISHED"
    assert destination.strip("[]").partition(f"{number}")[1] == number, destination
    kernel.hold_addresses()
    assert talk.ask() == server
    talk.end()
    kernel.give_addresses()


@pytest.mark.parametrize("vip", [VIP, VIP6])
def test_the_kernels_goes_on_through_us(pair: Pair, kernel: Kernel, vip: str) -> None:
    kernel.hold_addresses()
    talk = pair.connect(vip)
    server = talk.ask()
    for _ in range(4):  # it tells of a connection with its third packet
        assert talk.ask() == server
    wait_until(lambda: established(pair, talk), WAIT_S)
    assert pair.connections("lb1")[talk.port]["destination"].endswith({"web1": "21", "web2": "22"}[server])
    kernel.give_addresses()
    assert talk.ask() == server
    talk.end()
    wait_until(lambda: kernel.connections()[talk.port][0] in ("CLOSE_WAIT", "TIME_WAIT"), WAIT_S)


def test_a_closed_connection_of_ours_is_closed_there(pair: Pair, kernel: Kernel) -> None:
    talk = pair.connect()
    talk.ask()
    wait_until(lambda: talk.port in kernel.connections(), WAIT_S)
    talk.end()
    wait_until(lambda: kernel.connections()[talk.port][0] == pair.connections("lb1")[talk.port]["state"], WAIT_S)
    assert kernel.connections()[talk.port][0] != "ESTABLISHED"


def test_version_0_of_the_kernel_is_heard(pair: Pair, kernel: Kernel) -> None:
    kernel.hold_addresses()
    kernel.sh("echo 0 > /proc/sys/net/ipv4/vs/sync_version")
    talk = pair.connect()
    server = talk.ask()
    for _ in range(4):
        talk.ask()
    wait_until(lambda: established(pair, talk), WAIT_S)
    kernel.sh("echo 1 > /proc/sys/net/ipv4/vs/sync_version")
    kernel.give_addresses()
    assert talk.ask() == server
    talk.end()


def test_persistent_clients_stay_with_their_server(pair: Pair, kernel: Kernel) -> None:
    first = pair.connect(port=STICKY_PORT)
    server = first.ask()
    wait_until(lambda: 0 in kernel.connections() and first.port in kernel.connections(), WAIT_S)
    kernel.hold_addresses()
    servers = []
    for _ in range(3):
        talk = pair.connect(port=STICKY_PORT)
        servers.append(talk.ask())
        talk.end()
    assert servers == [server] * 3
    kernel.give_addresses()
    for _ in range(3):
        talk = pair.connect(port=STICKY_PORT)
        assert talk.ask() == server
        talk.end()


def test_counts_agree_and_nothing_was_refused(pair: Pair, kernel: Kernel) -> None:
    sync = pair.sync("lb1")
    refused = {word: count for word, count in sync["outcomes"].items() if word in ("invalid", "full", "no_destination")}
    assert (refused, sync["faults"], sync["problems"]) == ({}, 0, [])
    assert sync["heard_entries"] > 0
    assert "SYNC" in kernel.sh("cat /proc/net/ip_vs_conn_sync")
