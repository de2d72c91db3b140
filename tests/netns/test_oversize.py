"""Packets longer than the way to the servers, from real senders: super-packets, and checksums left to the device.

client ── 1500 ── lb1 (lvsd, eBPF, masquerading) ── 1400 ── web1, web2
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from piranha.lab.options import LabOptions
from piranha.lab.topology import UDP_PORT
from piranha.model.service import ForwardingMethod
from tests.netns.lab import VIP, LabUnderTest, lab_up, wait_until
from tests.netns.test_traffic import bulk_arrives, servers_up, start_bulk

# The network behind, as its route says; the servers' own answers may be longer.
NARROW = "ip {family} route change $(ip {family} route show dev eth1 proto kernel | grep -v ^fe80) dev eth1 mtu 1400"
WITHOUT_DF = "s.setsockopt(0, 10, 0)"  # IP_MTU_DISCOVER, IP_PMTUDISC_DONT


@pytest.fixture(scope="module")
def lab() -> Iterator[LabUnderTest]:
    options = LabOptions(
        prefix="pntoversize-", forward=ForwardingMethod.MASQUERADE, hook="tc", udp=True, ipv6=True, server_port=8080
    )
    with lab_up(options) as lab:
        wait_until(lambda: all(s["up"] == 2 for s in servers_up(lab)))
        for family in ("-4", "-6"):
            lab.run("lb1", "sh", "-c", NARROW.format(family=family))
        wait_until(lambda: told(lab))
        yield lab


def told(lab: LabUnderTest) -> bool:
    """Is a client with DF told of the narrow way yet?"""
    code = f"import socket; socket.socket(socket.AF_INET,socket.SOCK_DGRAM).sendto(bytes(1472),('{VIP[4]}',{UDP_PORT}))"
    lab.run("client", sys.executable, "-c", code)
    return too_big(lab) > 0


def put_together(lab: LabUnderTest) -> int:
    """Packets that the servers' kernels put together from fragments."""
    total = 0
    for node in lab.topology.real_servers:
        names, values = (line.split() for line in lab.run(node.name, "grep", "^Ip:", "/proc/net/snmp").splitlines())
        total += int(values[names.index("ReasmOKs")])
    return total


def too_big(lab: LabUnderTest) -> int:
    return int(lab.status()["plane"]["reasons"].get("too_big", 0))


def test_datagrams_as_long_as_the_clients_link(lab: LabUnderTest) -> None:
    """Cut on the way; the servers' kernels put them together, and would drop one whose checksum is wrong."""
    code = (
        "import socket\n"
        "for n in range(8):\n"
        " s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.settimeout(5)\n"
        f" {WITHOUT_DF}\n"
        f" s.sendto(bytes(range(1,185))*8,('{VIP[4]}',{UDP_PORT}))\n"
        " print(s.recv(100).decode().split()[0])\n"
    )
    before, joined = too_big(lab), put_together(lab)
    found = lab.run("client", sys.executable, "-c", code, timeout_s=60).split()
    assert sorted(found) == ["web1"] * 4 + ["web2"] * 4
    assert too_big(lab) == before, "nothing was refused"
    assert put_together(lab) == joined + 8


def test_a_stream_without_df(lab: LabUnderTest) -> None:
    """Segments of super-packets are made shorter, single ones are cut."""
    start_bulk(lab)
    before = too_big(lab)
    assert bulk_arrives(lab, 4, WITHOUT_DF)
    assert too_big(lab) == before, "nothing was refused"


@pytest.mark.parametrize("version", [4, 6])
def test_a_stream_with_df_learns_the_size_of_the_way(lab: LabUnderTest, version: int) -> None:
    start_bulk(lab)
    lab.run("client", "ip", "route", "flush", "cache")  # what it was told before
    before = too_big(lab)
    assert bulk_arrives(lab, version)
    assert too_big(lab) > before
