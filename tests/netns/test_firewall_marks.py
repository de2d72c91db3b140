"""Firewall marks by nftables: what a packet of another machine, and of this one, carries when it arrives.

```
 netns pm-<id>-client                netns pm-<id>-director
   c0 10.78.0.2/24 ---- veth ----- d0 10.78.0.1/24, the marks
      fd78::2/64                      fd78::1/64
```
(The user-mode kernel of the IPVS tests has no nf_tables for IP, so this half of the plane is tested on this kernel.)
"""

from __future__ import annotations

import shutil
import socket
import struct
import subprocess
import uuid
from collections.abc import Iterator
from ipaddress import ip_network

import pytest

from piranha.dataplane.ipvs.marks import TABLE, MarkTable
from piranha.lab.namespace import entered, ip_batch
from piranha.model.mark import MarkRule
from piranha.model.service import Protocol

SO_MARK, SO_RCVMARK = 36, 75
RULES = (
    MarkRule(mark=5, network=ip_network("10.78.0.1"), protocol=Protocol.UDP, first_port=53, last_port=53),
    MarkRule(mark=6, network=ip_network("10.78.0.0/24"), protocol=Protocol.UDP, first_port=50, last_port=60),
    MarkRule(mark=7, network=ip_network("10.78.0.1"), protocol=Protocol.TCP),
    MarkRule(mark=0xFFFFFFFF, network=ip_network("fd78::/64")),
    MarkRule(mark=8, network=ip_network("0.0.0.0/0"), first_port=8000, last_port=8010),
    MarkRule(mark=9, network=ip_network("::/0"), protocol=Protocol.SCTP, first_port=1, last_port=2),
)


@pytest.fixture
def namespaces() -> Iterator[tuple[str, str]]:
    if shutil.which("nft") is None:
        pytest.skip("nft is not installed")
    prefix = f"pm-{uuid.uuid4().hex[:6]}"
    client, director = f"{prefix}-client", f"{prefix}-director"
    try:
        for name in (client, director):
            subprocess.run(["ip", "netns", "add", name], check=True)
        subprocess.run(
            ["ip", "-n", client, "link", "add", "c0", "type", "veth", "peer", "d0", "netns", director], check=True
        )
        for name, device, host in ((client, "c0", 2), (director, "d0", 1)):
            ip_batch(name, (
                "link set lo up",
                f"address add 10.78.0.{host}/24 dev {device}",
                f"address add fd78::{host}/64 dev {device} nodad",
                f"link set {device} up",
            ))  # fmt: skip
        yield client, director
    finally:
        for name in (client, director):
            subprocess.run(["ip", "netns", "delete", name], check=False)


def mark_of(sender: str, receiver: str, address: str, port: int) -> int:
    """The mark of a datagram that `sender` sends to `address` of `receiver`, as it is when it arrives."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with entered(receiver):
        server = socket.socket(family, socket.SOCK_DGRAM)
    with entered(sender):
        client = socket.socket(family, socket.SOCK_DGRAM)
    with server, client:
        try:
            server.setsockopt(socket.SOL_SOCKET, SO_RCVMARK, 1)
        except OSError:
            pytest.skip("this kernel does not tell the mark of a received packet (SO_RCVMARK, Linux 5.19)")
        server.bind((address, port))
        server.settimeout(5)
        client.sendto(b"mark", (address, port))
        data, ancillary, *_ = server.recvmsg(64, 64)
    assert data == b"mark"
    (mark,) = (struct.unpack("=I", value)[0] for level, kind, value in ancillary if kind == SO_MARK)
    return int(mark)


@pytest.mark.parametrize(
    ("address", "port", "mark"),
    [
        ("10.78.0.1", 53, 5),  # the first rule that matches counts
        ("10.78.0.1", 54, 6),
        ("10.78.0.1", 61, 0),
        ("10.78.0.1", 8010, 8),
        ("fd78::1", 53, 0xFFFFFFFF),
    ],
)
def test_packets_arrive_with_their_mark(namespaces: tuple[str, str], address: str, port: int, mark: int) -> None:
    client, director = namespaces
    with entered(director):
        MarkTable().install(RULES)
    assert mark_of(client, director, address, port) == mark
    assert mark_of(director, director, address, port) == mark


def test_the_table_is_replaced_read_back_kept_and_removed(namespaces: tuple[str, str]) -> None:
    client, director = namespaces

    def tables() -> str:
        return subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout

    with entered(director):
        subprocess.run(["nft", "add", "table", "ip", "somebody_elses"], check=True)
        marks = MarkTable()
        marks.install(RULES)
        assert MarkTable().rules() == marks.rules() == RULES
        assert not marks.keep()
        marks.install(RULES[:1])
        assert MarkTable().rules() == RULES[:1]
        assert f"table inet {TABLE}\n" in tables()
        subprocess.run(["nft", "flush", "ruleset"], check=True)
        assert marks.keep()
        assert not marks.keep()
        assert MarkTable().rules() == RULES[:1]
        subprocess.run(["nft", "add", "table", "ip", "somebody_elses"], check=True)
    assert mark_of(client, director, "10.78.0.1", 53) == 5
    with entered(director):
        marks.install(())
        assert tables() == "table ip somebody_elses\n"
        assert MarkTable().rules() == ()
    assert mark_of(client, director, "10.78.0.1", 53) == 0


def test_a_table_that_is_not_as_we_write_it_goes(namespaces: tuple[str, str]) -> None:
    with entered(namespaces[1]):
        MarkTable().install(RULES[:1])
        subprocess.run(["nft", "add", "rule", "inet", TABLE, "prerouting", "counter"], check=True)
        marks = MarkTable()
        assert marks.rules() == ()
        assert TABLE not in subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout
