"""Reading the connection table: who is alive, which match, how many; by columns, in the kernel's own clock."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import numpy as np
import pytest
from tests.unit.ebpf_tables import HZ, MemoryTables

from piranha.dataplane.ebpf import abi
from piranha.dataplane.ebpf.conntable import ConnectionTable
from piranha.dataplane.port import ConnectionFilter
from piranha.model.address import IPAddress
from piranha.model.service import Protocol

EVERYTHING = ConnectionFilter()
FOUR, SIX = IPv4Address("10.1.0.2"), IPv6Address("fd01::2")


def put(
    memory: MemoryTables,
    slot: int,
    *,
    client: IPAddress = FOUR,
    port: int = 5000,
    protocol: int = 6,
    state: int = 1,
    inactive: bool = False,
    dest: int = 1,
    left: int = 100 * HZ,
    tag: int = 0x1234_5679,
) -> None:
    memory.tags[slot] = tag
    entry = memory.conns[slot]
    entry["caddr"] = np.frombuffer(abi.pack_address(client), "u1")
    vip = IPv4Address("10.9.0.1") if client.version == 4 else IPv6Address("fd09::1")
    entry["vaddr"] = np.frombuffer(abi.pack_address(vip), "u1")
    entry["cport"], entry["vport"] = port, 80
    entry["life"] = protocol | state << 8 | (abi.CONN_INACTIVE if inactive else 0) << 16
    entry["dest"], entry["expires"] = dest, (memory.now + left) % 2**32


@pytest.fixture
def memory() -> MemoryTables:
    memory = MemoryTables()
    for index, address in ((1, IPv4Address("10.2.0.2")), (2, IPv4Address("10.2.0.3")), (3, IPv6Address("fd02::2"))):
        memory.dests[index]["addr"] = np.frombuffer(abi.pack_address(address), "u1")
        memory.dests[index]["port"] = 8080 if index == 1 else 0
    put(memory, 3)
    put(memory, 4, port=5001, state=4, inactive=True, dest=2)
    put(memory, 17, client=SIX, dest=3)
    put(memory, 90, protocol=17, state=0, inactive=True)
    put(memory, 91, left=0)
    put(memory, 92, left=-5)
    put(memory, 93, tag=0x1234_567B)
    return memory


def test_only_the_living_are_listed(memory: MemoryTables) -> None:
    """Not those that expired, are being written, or are free."""
    table = ConnectionTable(memory.tables)
    page = table.page(EVERYTHING)
    assert (page.total, len(page.rows), table.count()) == (4, 4, 4)
    assert table.counts().tolist() == [[2, 1], [0, 1]]
    assert table.by_destination()[:4].tolist() == [[0, 0], [1, 1], [0, 1], [1, 0]]


def test_sctp_has_its_own_states_and_counts_with_udp(memory: MemoryTables) -> None:
    put(memory, 95, port=5005, protocol=132, state=8)
    put(memory, 96, port=5006, protocol=132, state=11, inactive=True)
    table = ConnectionTable(memory.tables)
    rows = table.page(ConnectionFilter(protocol=Protocol.SCTP)).rows
    assert [row.state for row in rows] == ["ESTABLISHED", "S-ACK-SENT"]
    assert [row.client_port for row in table.page(ConnectionFilter(state="s-ack-sent")).rows] == [5006]
    assert table.page(ConnectionFilter(state="UDP")).total == 1
    assert table.counts().tolist() == [[2, 1], [1, 2]]


def test_a_row(memory: MemoryTables) -> None:
    first, second, third, fourth = ConnectionTable(memory.tables).page(EVERYTHING).rows
    assert (first.client, first.client_port) == (IPv4Address("10.1.0.2"), 5000)
    assert (first.virtual, first.virtual_port) == (IPv4Address("10.9.0.1"), 80)
    assert (first.destination, first.destination_port) == (IPv4Address("10.2.0.2"), 8080)
    assert (first.protocol, first.state, first.expires_s) == (Protocol.TCP, "ESTABLISHED", 100)
    assert (second.state, second.destination_port) == ("FIN_WAIT", 80), "port 0 is the service's own"
    assert third.client == SIX
    assert (fourth.protocol, fourth.state) == (Protocol.UDP, "UDP")


@pytest.mark.parametrize(
    ("wanted", "total"),
    [
        ({"protocol": Protocol.UDP}, 1),
        ({"client": IPv4Address("10.1.0.2")}, 3),
        ({"client": SIX}, 1),
        ({"client": IPv4Address("10.1.0.9")}, 0),
        ({"virtual": IPv6Address("fd09::1")}, 1),
        ({"virtual_port": 80}, 4),
        ({"virtual_port": 81}, 0),
        ({"destination": IPv4Address("10.2.0.2")}, 2),
        ({"destination": IPv6Address("fd02::2")}, 1),
        ({"state": "established"}, 2),
        ({"state": "UDP"}, 1),
        ({"state": "NONE"}, 0),
        ({"state": "no such state"}, 0),
        ({"protocol": Protocol.TCP, "destination": IPv4Address("10.2.0.2")}, 1),
        ({"limit": 2}, 4),
        ({"limit": 0}, 4),
        ({"limit": -1}, 4),
    ],
)
def test_filters(memory: MemoryTables, wanted: dict[str, object], total: int) -> None:
    page = ConnectionTable(memory.tables).page(replace(EVERYTHING, **wanted))  # type: ignore[arg-type]
    assert page.total == total
    limit = wanted.get("limit", 1000)
    assert isinstance(limit, int)
    assert len(page.rows) == (total if limit < 0 else min(limit, total))


@pytest.mark.parametrize("now", [0, 5, 2**31 - 3, 2**31, 2**32 - 5, 2**32 - 1])
def test_the_clock_may_wrap(now: int) -> None:
    memory = MemoryTables(now=now)
    put(memory, 1, left=10 * HZ)
    put(memory, 2, left=-10)
    (row,) = ConnectionTable(memory.tables).page(EVERYTHING).rows
    assert row.expires_s == 10


def test_a_million_entries_without_a_loop() -> None:
    """Counting and filtering look at columns: the rows made are those shown, and no more."""
    memory = MemoryTables(lines=65536)
    memory.tags[:] = 5
    memory.conns["expires"] = memory.now + 1000
    memory.conns["life"] = 6 | 1 << 8
    memory.conns["vport"] = 80
    table = ConnectionTable(memory.tables)
    assert table.count() == len(memory.tags) == 1_048_576
    page = table.page(ConnectionFilter(virtual_port=80, state="ESTABLISHED", limit=10))
    assert (page.total, len(page.rows)) == (1_048_576, 10)
    assert table.counts()[0].tolist() == [1_048_576, 0]
