"""The gate as nftables rules, on a real wire: the same promises as in test_gate.py. The picture is in two_hosts.py."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from piranha.pulse import gate_nft
from piranha.pulse.gate import FOREVER, boot_time_ns
from piranha.pulse.gate_nft import NftGate
from tests.netns.test_gate import ALL, LEASE_NS, answering
from tests.netns.two_hosts import DIRECTOR, NEIGHBOUR, VIP, Asker, TwoHosts, mac_of, two_hosts, wait_for

HOUR_NS = 3600 * 10**9

HEARTBEATS = """
import os, socket, sys, time
if len(sys.argv) > 4:
    os.setuid(int(sys.argv[4]))
link = socket.socket(socket.AF_INET6 if ":" in sys.argv[2] else socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(int(sys.argv[3])):
    link.sendto(sys.argv[1].encode() + b"....", (sys.argv[2], 539))
    time.sleep(0.02)
"""


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[TwoHosts]:
    with two_hosts(tmp_path, "gn") as made:
        made.ip(
            made.director, f"addr add {VIP[4]}/32 dev eth0", f"addr add {VIP[6]}/128 dev eth0 nodad preferred_lft 0"
        )
        yield made


def opened() -> NftGate:
    gate = NftGate.open()
    gate.set_addresses([ip_address(VIP[4]), ip_address(VIP[6])])
    gate.enable(active_word=b"PiA1", heartbeat_port=539, lease_ns=LEASE_NS)
    assert gate.attach(["eth0"]) == []
    assert gate.attached() == {"eth0"}
    return gate


@pytest.fixture
def gate(hosts: TwoHosts) -> Iterator[NftGate]:
    gate = hosts.inside(hosts.director, opened)
    yield gate
    gate.close()


@pytest.fixture
def asker(hosts: TwoHosts) -> Iterator[Asker]:
    asker = hosts.inside(hosts.neighbour, Asker)
    yield asker
    asker.close()


@pytest.fixture
def mac(hosts: TwoHosts) -> bytes:
    return hosts.inside(hosts.director, lambda: mac_of("eth0"))


def beat(hosts: TwoHosts, word: str, to: str, count: int, *more: str) -> subprocess.Popen[str]:
    return hosts.start(hosts.director, HEARTBEATS, word, to, str(count), *more)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("fault", [signal.SIGSTOP, signal.SIGKILL])
def test_a_director_that_does_not_run_falls_silent(
    hosts: TwoHosts, gate: NftGate, asker: Asker, mac: bytes, fault: signal.Signals, version: int
) -> None:
    assert answering(hosts, asker, mac) == set()
    gate.claim(boot_time_ns() + 20 * 10**9)
    director = beat(hosts, "PiA1", NEIGHBOUR[version], 10**6)
    try:
        wait_for(lambda: gate.state().renewals >= 3, "heartbeats renew the lease")
        wait_for(lambda: answering(hosts, asker, mac) == ALL, "an active director answers")
        os.kill(director.pid, fault)
        wait_for(lambda: gate.until_ns() == 0, "the lease ends")
        asker.frames()
        assert answering(hosts, asker, mac) == set()
        counted = gate.state().counters
        assert min(counted[name] for name in ("arp_dropped", "ndp_dropped", "ipv4_dropped", "ipv6_dropped")) > 0
        if fault is signal.SIGSTOP:
            os.kill(director.pid, signal.SIGCONT)
            wait_for(lambda: gate.state().counters["late_heartbeats"] >= 3, "the thawed director sends again")
            assert answering(hosts, asker, mac) == set()
        assert gate.until_ns() == 0
    finally:
        director.kill()
        director.communicate(timeout=30)


def test_what_renews_nothing(hosts: TwoHosts, gate: NftGate) -> None:
    """A backup's heartbeats, another user's, forged ones that come in."""
    gate.claim(boot_time_ns() + HOUR_NS)
    assert beat(hosts, "PiB1", NEIGHBOUR[4], 3).wait(30) == 0
    assert beat(hosts, "PiA1", NEIGHBOUR[4], 3, "65534").wait(30) == 0
    assert hosts.start(hosts.neighbour, HEARTBEATS, "PiA1", DIRECTOR[4], "3").wait(30) == 0
    state = gate.state()
    assert (state.renewals, state.counters["foreign_heartbeats"]) == (0, 3)
    assert abs(state.until_ns - boot_time_ns() - HOUR_NS) < 600 * 10**9, "not cut down to a lease from now"


def test_claimed_dropped_for_ever_and_disabled(hosts: TwoHosts, gate: NftGate, asker: Asker, mac: bytes) -> None:
    gate.claim(FOREVER)
    assert beat(hosts, "PiA1", NEIGHBOUR[4], 1).wait(30) == 0
    assert gate.until_ns() == FOREVER
    assert answering(hosts, asker, mac) == ALL
    gate.claim(boot_time_ns() - 1)
    assert gate.until_ns() == 0
    assert answering(hosts, asker, mac) == set()
    gate.claim(boot_time_ns() + HOUR_NS)
    assert answering(hosts, asker, mac) == ALL
    gate.drop()
    assert answering(hosts, asker, mac) == set()
    hosts.inside(hosts.director, gate.disable)
    assert answering(hosts, asker, mac) == ALL
    assert not gate.state().enabled


def test_nothing_of_ours_claims_a_vip_while_it_is_shut(hosts: TwoHosts, gate: NftGate) -> None:
    from piranha.pulse.addresses import CarriedAddress
    from piranha.pulse.announce import Announcer
    from piranha.pulse.links import Links

    links = hosts.inside(hosts.director, Links)
    announcer = hosts.inside(hosts.director, lambda: Announcer(links))
    vips = [CarriedAddress(address=ip_address(VIP[v]), device="eth0", prefix_length=32) for v in (4, 6)]
    announcer.announce(vips)
    announcer.send()
    assert gate.state().counters["announcements_dropped"] == 3
    gate.claim(boot_time_ns() + HOUR_NS)
    announcer.announce(vips)
    announcer.send()
    assert gate.state().counters["announcements_dropped"] == 3
    announcer.close()
    links.close()


def test_it_is_adopted_put_back_and_removed(hosts: TwoHosts, asker: Asker, mac: bytes) -> None:
    first = hosts.inside(hosts.director, opened)
    first.claim(boot_time_ns() + HOUR_NS)
    first.close()
    adopted = hosts.inside(hosts.director, NftGate.open)
    adopted.set_addresses([])
    adopted.attach([])
    assert hosts.inside(hosts.director, NftGate.open).attached() == {"eth0"}, "before it is told, nothing is opened"
    adopted.close()
    second = hosts.inside(hosts.director, opened)
    assert second.until_ns() > boot_time_ns(), "a new life writes the rules anew and leaves the lease"
    assert answering(hosts, asker, mac) == ALL
    second.drop()
    subprocess.run(["ip", "netns", "exec", hosts.director, "nft", "flush", "ruleset"], check=True)
    assert hosts.inside(hosts.director, second.attached) == frozenset()
    (failure,) = hosts.inside(hosts.director, lambda: second.attach(["eth0", "eth7"]))
    assert "eth7" in failure
    assert answering(hosts, asker, mac) == set()
    second.close()
    assert hosts.inside(hosts.director, gate_nft.unload)
    assert not hosts.inside(hosts.director, gate_nft.unload)
    assert answering(hosts, asker, mac) == ALL
