"""The gate on a real wire: a frozen or killed director falls silent when its lease ends, and stays so.

Who answers is asked by ARP, neighbour discovery and ping, for a VIP of each family. The picture is in two_hosts.py.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from piranha.dataplane.ebpf.hookset import HookPrograms, HookSet
from piranha.dataplane.ebpf.interfaces import interfaces
from piranha.dataplane.ebpf.object import BpfObject
from piranha.dataplane.ebpf.pins import Pins
from piranha.dataplane.ebpf.tables import Capacity, open_tables
from piranha.pulse import gate as gate_module
from piranha.pulse.gate import Gate, boot_time_ns
from tests.netns.two_hosts import DIRECTOR, NEIGHBOUR, VIP, Asker, TwoHosts, answers, mac_of, two_hosts, wait_for

LEASE_NS = 400_000_000
ALL = {"arp", "ndp", "ping4", "ping6"}

# An active director: one heartbeat every 20 ms over each family, claimed once.
ACTIVE = """
import socket, sys, time
from pathlib import Path
from piranha.base.paths import Paths
from piranha.pulse.gate import Gate, boot_time_ns
run, lease, word, four, six = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3].encode(), sys.argv[4], sys.argv[5]
gate = Gate.open(Paths(config=run, run=run, state=run, etc=run))
links = [(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), four)] if four else []
links += [(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM), six)] if six else []
for link, to in links:
    if link.family == socket.AF_INET6:
        link.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    link.bind(("", 539))
gate.claim(boot_time_ns() + lease)
while True:
    for link, to in links:
        link.sendto(word + b"....", (to, 539))
    time.sleep(0.02)
"""


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[TwoHosts]:
    with two_hosts(tmp_path, "gt") as made:
        made.ip(
            made.director, f"addr add {VIP[4]}/32 dev eth0", f"addr add {VIP[6]}/128 dev eth0 nodad preferred_lft 0"
        )
        yield made


@pytest.fixture
def gate(hosts: TwoHosts) -> Iterator[Gate]:
    gate = hosts.inside(hosts.director, lambda: _opened(hosts))
    yield gate
    gate.close()


def _opened(hosts: TwoHosts) -> Gate:
    gate = Gate.open(hosts.paths)
    gate.set_addresses([ip_address(VIP[4]), ip_address(VIP[6])])
    gate.enable(active_word=b"PiA1", heartbeat_port=539, lease_ns=LEASE_NS)
    assert gate.attach(["eth0"]) == []
    assert gate.attached() == {"eth0"}
    return gate


@pytest.fixture
def asker(hosts: TwoHosts) -> Iterator[Asker]:
    asker = hosts.inside(hosts.neighbour, Asker)
    yield asker
    asker.close()


def ask_all(hosts: TwoHosts, asker: Asker, mac: bytes) -> None:
    asker.ask_arp(VIP[4])
    asker.ask_ndp(VIP[6], NEIGHBOUR[6])
    asker.ask_ping(VIP[4], NEIGHBOUR[4], mac)
    asker.ask_ping(VIP[6], NEIGHBOUR[6], mac)


def answering(hosts: TwoHosts, asker: Asker, mac: bytes) -> set[str]:
    """Who answers now, asked several times."""
    asker.frames()
    found = set()
    for _ in range(20):
        ask_all(hosts, asker, mac)
        found |= {answers(frame) for frame in asker.frames(0.01)}
    return found & ALL


def active(hosts: TwoHosts, word: str = "PiA1", families: tuple[int, ...] = (4, 6)) -> subprocess.Popen[str]:
    to = [NEIGHBOUR[version] if version in families else "" for version in (4, 6)]
    return hosts.start(hosts.director, ACTIVE, str(hosts.paths.run), str(LEASE_NS), word, *to)


@pytest.fixture
def mac(hosts: TwoHosts) -> bytes:
    return hosts.inside(hosts.director, lambda: mac_of("eth0"))


@pytest.mark.parametrize("families", [(4,), (6,)], ids=["heartbeats over ipv4", "heartbeats over ipv6"])
@pytest.mark.parametrize("fault", [signal.SIGSTOP, signal.SIGKILL])
def test_a_director_that_does_not_run_falls_silent(
    hosts: TwoHosts, gate: Gate, asker: Asker, mac: bytes, fault: signal.Signals, families: tuple[int, ...]
) -> None:
    """F17, F19: no answer after the end of the lease, however long it is asked; and none again when it thaws."""
    assert answering(hosts, asker, mac) == set(), "nobody has claimed the lease yet"
    director = active(hosts, families=families)
    try:
        wait_for(lambda: gate.state().renewals >= 3, "heartbeats renew the lease")
        wait_for(lambda: answering(hosts, asker, mac) == ALL, "an active director answers")
        os.kill(director.pid, fault)
        if fault is signal.SIGSTOP:
            wait_for(lambda: Path(f"/proc/{director.pid}/stat").read_text().split(") ")[1][0] == "T", "it is frozen")
        wait_for(lambda: boot_time_ns() > gate.until_ns(), "the lease ends")
        ended = gate.until_ns()
        asker.frames()  # what was answered in time may still lie here
        assert answering(hosts, asker, mac) == set()
        if fault is signal.SIGSTOP:
            late = gate.state().counters["late_heartbeats"]
            os.kill(director.pid, signal.SIGCONT)
            wait_for(lambda: gate.state().counters["late_heartbeats"] >= late + 3, "the thawed director sends again")
            assert answering(hosts, asker, mac) == set()
        assert gate.until_ns() == ended
    finally:
        director.kill()
        director.communicate(timeout=30)


def test_a_backups_heartbeats_keep_nothing_open(hosts: TwoHosts, gate: Gate, asker: Asker, mac: bytes) -> None:
    director = active(hosts, "PiB1")
    try:
        wait_for(lambda: 0 < gate.until_ns() < boot_time_ns(), "the claimed lease ends under its heartbeats")
        assert answering(hosts, asker, mac) == set()
        assert gate.state().renewals == 0
    finally:
        director.kill()
        director.communicate(timeout=30)


FORGER = """
import socket, sys, time
forged = [(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), sys.argv[1])]
forged += [(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM), sys.argv[2])]
for link, to in forged:
    if link.family == socket.AF_INET6:
        link.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    link.bind(("", 539))
for n in range(200):
    for link, to in forged:
        link.sendto(b"PiA1....", (to, 539))
print("sent", flush=True)
"""


def test_forged_heartbeats_renew_nothing(hosts: TwoHosts, gate: Gate) -> None:
    """F66: those that come in, and those that this host is made to route on."""
    claimed = boot_time_ns() + 3600 * 10**9
    gate.claim(claimed)
    hosts.inside(
        hosts.director,
        lambda: [
            Path(f"/proc/sys/net/{key}").write_text("1")
            for key in ("ipv4/ip_forward", "ipv6/conf/all/forwarding", "ipv4/conf/eth0/rp_filter")
        ],
    )
    hosts.ip(
        hosts.director, "link add onward type veth peer name sink", "link set onward up", "link set sink up",
        "addr add 10.10.0.1/24 dev onward", "addr add fd10::1/64 dev onward nodad",
        "neigh add 10.10.0.9 lladdr 02:00:00:00:00:09 dev onward",
        "neigh add fd10::9 lladdr 02:00:00:00:00:09 dev onward",
    )  # fmt: skip
    hosts.ip(hosts.neighbour, "route add 10.10.0.0/24 via 10.9.0.3", "route add fd10::/64 via fd09::3")
    hosts.inside(hosts.director, lambda: gate.attach(["eth0", "onward"]))
    onward = hosts.inside(hosts.director, lambda: Asker("sink"))
    for four, six in ((DIRECTOR[4], DIRECTOR[6]), ("10.10.0.9", "fd10::9")):
        forger = hosts.start(hosts.neighbour, FORGER, four, six)
        forger.communicate(timeout=30)
        assert forger.returncode == 0
    routed = [frame for frame in onward.frames(5) if b"PiA1...." in frame]
    onward.close()
    assert {frame[12:14] for frame in routed} == {b"\x08\0", b"\x86\xdd"}, "they were routed through the gate's egress"
    assert gate.until_ns() == claimed
    assert gate.state().renewals == 0


def test_an_unprivileged_process_renews_nothing(hosts: TwoHosts, gate: Gate) -> None:
    claimed = boot_time_ns() + 3600 * 10**9
    gate.claim(claimed)
    code = "import os, socket, sys\nos.setuid(65534)\nsocket.socket(2, 2).sendto(b'PiA1....', (sys.argv[1], 539))"
    assert hosts.start(hosts.director, code, NEIGHBOUR[4]).wait(30) == 0
    assert gate.state().counters["foreign_heartbeats"] == 1
    assert gate.until_ns() == claimed


def test_the_gate_outlives_pulse_and_is_adopted(hosts: TwoHosts, asker: Asker, mac: bytes) -> None:
    """Closed without a word, as when it is killed: the gate stays shut; the next life finds it where it hung."""
    first = hosts.inside(hosts.director, lambda: _opened(hosts))
    first.close()
    assert answering(hosts, asker, mac) == set()
    second = hosts.inside(hosts.director, lambda: Gate.open(hosts.paths))
    assert hosts.inside(hosts.director, second.attached) == {"eth0"}
    assert second.state().counters["arp_dropped"] > 0
    second.claim(boot_time_ns() + 3600 * 10**9)
    assert answering(hosts, asker, mac) == ALL
    second.drop()
    assert answering(hosts, asker, mac) == set()
    second.disable()
    assert answering(hosts, asker, mac) == ALL
    second.close()
    assert hosts.inside(hosts.director, lambda: gate_module.unload(hosts.paths))
    assert not hosts.inside(hosts.director, lambda: gate_module.unload(hosts.paths))


def test_it_is_put_back_and_follows_its_devices(hosts: TwoHosts, gate: Gate) -> None:
    """F50, F51, F53: a deleted pin is pinned again; a device that is not there is named, and served when it comes."""
    pins = Pins(hosts.paths.bpffs)
    assert len(pins.gate_links()) == 2
    pins.remove_gate()
    (failure,) = hosts.inside(hosts.director, lambda: gate.attach(["eth0", "eth7"]))
    assert "eth7" in failure
    assert len(pins.gate_links()) == 2
    hosts.ip(hosts.director, "link add eth7 type veth peer name eth8")
    assert hosts.inside(hosts.director, lambda: gate.attach(["eth0", "eth7"])) == []
    assert hosts.inside(hosts.director, gate.attached) == {"eth0", "eth7"}
    hosts.ip(hosts.director, "link del eth7", "link add eth7 type veth peer name eth8")
    assert hosts.inside(hosts.director, lambda: gate.attach(["eth0", "eth7"])) == []
    assert hosts.inside(hosts.director, gate.attached) == {"eth0", "eth7"}
    assert hosts.inside(hosts.director, lambda: gate.attach(["eth0"])) == []
    assert hosts.inside(hosts.director, gate.attached) == {"eth0"}
    assert len(pins.gate_links()) == 2


@pytest.mark.parametrize("use_tcx", [True, False], ids=["tcx", "clsact"])
@pytest.mark.parametrize("gate_first", [True, False])
def test_the_gate_is_before_the_data_plane(
    hosts: TwoHosts, asker: Asker, mac: bytes, use_tcx: bool, gate_first: bool
) -> None:
    """Whichever is attached first. The data plane's program counts what reaches it: nothing for a VIP may."""
    pins = Pins(hosts.paths.bpffs)
    pins.mount()
    gate = Gate.open(hosts.paths, use_tcx=use_tcx)
    gate.set_addresses([ip_address(VIP[4]), ip_address(VIP[6])])
    gate.enable(active_word=b"PiA1", heartbeat_port=539, lease_ns=LEASE_NS)
    tables = open_tables(pins, Capacity(connections=4096, services=64, destinations=64, slot_words=65536))
    hooks = hosts.inside(hosts.director, lambda: HookSet(pins, use_tcx=use_tcx))

    def attach_data_plane() -> None:
        found = [i for i in interfaces() if i.name == "eth0"]
        report = hooks.converge(HookPrograms(ingress=tables.program("lb_tc")), found)
        assert report.hooks == {"eth0": "tcx" if use_tcx else "clsact"}

    def attach_gate() -> None:
        nonlocal gate
        gate.close()
        gate = Gate.open(hosts.paths, use_tcx=use_tcx)
        assert gate.attach(["eth0"]) == []
        assert gate.attached() == {"eth0"}

    order = [attach_gate, attach_data_plane] if gate_first else [attach_data_plane, attach_gate]
    for step in order:
        hosts.inside(hosts.director, step)
    # The data plane takes every address for a VIP of its own and counts what it has no service for.
    tables.filter["word"][:] = 2**64 - 1
    syn = bytes(Ether(src=asker.mac, dst=mac) / IP(src=NEIGHBOUR[4], dst=VIP[4]) / TCP(dport=80))

    def reaches_data_plane() -> bool:
        before = tables.reasons()["no_service"]
        for _ in range(20):
            asker.send(syn)
        asker.ask_arp(VIP[4])  # a last frame, to know that the others were seen to
        asker.frames(0.05)
        return tables.reasons()["no_service"] > before

    assert not reaches_data_plane()
    assert gate.state().counters["ipv4_dropped"] >= 20
    gate.claim(boot_time_ns() + 3600 * 10**9)
    wait_for(reaches_data_plane, "an open gate lets them through to the data plane")
    hosts.inside(hosts.director, gate.detach)
    assert hosts.inside(hosts.director, gate.attached) == frozenset()
    hosts.inside(hosts.director, attach_data_plane)
    wait_for(reaches_data_plane, "the data plane stays attached when the gate goes")
    gate.close()
    hosts.inside(hosts.director, hooks.detach_all)
    hooks.close()
    tables.close()


@pytest.mark.parametrize("gate_first", [True, False])
def test_gate_and_data_plane_share_the_lease(hosts: TwoHosts, gate_first: bool) -> None:
    pins = Pins(hosts.paths.bpffs)
    pins.mount()
    capacity = Capacity(connections=4096, services=64, destinations=64, slot_words=65536)
    if gate_first:
        gate, tables = Gate.open(hosts.paths), open_tables(pins, capacity)
    else:
        tables = open_tables(pins, capacity)
        gate = Gate.open(hosts.paths)
    gate.claim(boot_time_ns() + LEASE_NS)
    loaded = tables._programs
    assert isinstance(loaded, BpfObject)
    seen = loaded.map("gate_lease").lookup(bytes(4))
    assert seen is not None
    assert int.from_bytes(seen[:8], "little") == gate.until_ns() > 0
    adopted = open_tables(pins, capacity)
    assert adopted.adopted
    gate.close()
    tables.close()
    adopted.close()
