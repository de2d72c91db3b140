"""The connection table: every flow its own entry, none lost, none evicted, none leaked."""

from __future__ import annotations

import random
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address

import numpy as np
import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from piranha.dataplane.ebpf import abi
from piranha.dataplane.ebpf.conntable import ConnectionTable
from piranha.dataplane.ebpf.tables import Capacity, Tables
from piranha.dataplane.port import (
    AddDestination,
    ConnectionFilter,
    DeleteDestination,
    DeleteService,
    EditDestination,
)
from piranha.model.service import Destination, ForwardingMethod, Protocol, ServiceKey
from tests.packet.bench import VIP, Bench, Net

SMALL = Capacity(connections=64, services=16, destinations=64, slot_words=1024)
Flow = tuple[int, int, str, int]
"""IP version, protocol number, client address, client port."""


def template(bench: Bench, version: int, protocol: int) -> bytes:
    """A frame to the VIP whose addresses and ports are written anew for each flow; checksums do not matter here."""
    ip = (IP if version == 4 else IPv6)(dst=VIP[version])
    l4 = TCP(flags="S", dport=80) if protocol == 6 else UDP(dport=80)
    return bytes(Ether(src="02:00:00:00:00:c1", dst=bench.net.mac["cl"]) / ip / l4 / b"payload")


class Sender:
    """Packets of many flows, without the price of making each by scapy."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.frames = {(v, p): template(bench, v, p) for v in (4, 6) for p in (6, 17)}

    def frame(self, flow: Flow, flags: int = 0x02) -> bytes:
        version, protocol, client, port = flow
        frame = bytearray(self.frames[version, protocol])
        source, l4 = (26, 34) if version == 4 else (22, 54)
        packed = ip_address(client).packed
        frame[source : source + len(packed)] = packed
        struct.pack_into(">H", frame, l4, port)
        if protocol == 6:
            frame[l4 + 13] = flags
        return bytes(frame)

    def send(self, flow: Flow, flags: int = 0x02) -> str:
        return self.bench.run(self.frame(flow, flags)).verdict


def random_flows(seed: int, count: int) -> list[Flow]:
    dice = random.Random(seed)
    found: set[Flow] = set()
    while len(found) < count:
        version = dice.choice((4, 6))
        if version == 4:
            client = str(IPv4Address(0x0A010000 | dice.randrange(2, 40)))
        else:
            client = str(IPv6Address(int(IPv6Address("fd01::")) | dice.randrange(2, 2**32)))
        found.add((version, dice.choice((6, 17)), client, dice.randrange(1024, 65536)))
    return sorted(found, key=lambda _: dice.random())


def all_services(bench: Bench, scheduler: str = "rr", method: ForwardingMethod = ForwardingMethod.MASQUERADE) -> None:
    for version in (4, 6):
        for protocol in (Protocol.TCP, Protocol.UDP):
            service = bench.service(version, protocol, scheduler)
            for host in (2, 3):
                bench.server(service, f"10.2.0.{host}" if version == 4 else f"fd02::{host}", method=method)


def flows_in(bench: Bench) -> Counter[Flow]:
    rows = bench.plane.connections(ConnectionFilter(limit=-1)).rows
    return Counter((r.client.version, int(r.protocol), str(r.client), r.client_port) for r in rows)


def assert_counts(bench: Bench) -> None:
    """The destinations' counts are what a recount of the entries gives."""
    counted = ConnectionTable(bench.tables).by_destination()
    rows = bench.tables.dests
    assert rows["active"].tolist() == counted[:, 0].tolist()
    assert rows["inactive"].tolist() == counted[:, 1].tolist()


def assert_empty(bench: Bench) -> None:
    assert not bench.tables.tags.any()
    assert not reverse_words(bench).any()
    assert not bench.tables.dests["active"].any()
    assert not bench.tables.dests["inactive"].any()


def reverse_words(bench: Bench) -> np.ndarray:
    return bench.tables.maps["rev_tags"].array(abi.REV_LINE)["word"].reshape(-1)


@pytest.fixture
def small(hook: str, net: Net, tables_of: Callable[[Capacity], Tables]) -> Bench:
    """192 entries, and the same places for the same flows in every run."""
    tables = tables_of(SMALL)
    tables.settings["key"] = [random.Random(number).getrandbits(64) | 1 for number in range(6)]
    return Bench(net, hook, tables)


def test_thousands_of_flows_each_find_their_own_entry(bench: Bench) -> None:
    all_services(bench)
    sender, flows = Sender(bench), random_flows(1, 3000)
    first = {flow: bench.run(sender.frame(flow)).raw[:74] for flow in flows}
    assert flows_in(bench) == Counter(flows)
    packets = bench.tables.conns["packets"]
    for flow in random.Random(2).sample(flows, 1500):
        assert bench.run(sender.frame(flow, 0x10)).raw[14:34] == first[flow][14:34] or flow[0] == 6
    assert flows_in(bench) == Counter(flows)
    assert Counter(packets[bench.tables.tags != 0].tolist()) == {1: 1500, 2: 1500}
    assert_counts(bench)
    assert np.count_nonzero(reverse_words(bench)) == 3000
    bench.age(1000)
    assert bench.sweep() == (0, 3000)
    assert_empty(bench)


def test_replies_find_the_same_entry(bench: Bench) -> None:
    """Every masqueraded flow is found by its server's reply, and by no other packet."""
    service = bench.service()
    bench.server(service, port=8080)
    sender = Sender(bench)
    ports = random.Random(3).sample(range(1024, 65536), 300)
    for port in ports:
        sender.send((4, 6, "10.1.0.2", port))
    for port in ports[:30]:
        out = bench.run(bench.from_server(8080, port, flags="SA"), "rs")
        assert (out.packet[IP].src, out.packet[TCP].sport, out.packet[TCP].dport) == (VIP[4], 80, port)
    stranger = next(p for p in range(1024, 65536) if p not in ports)
    for packet in (bench.from_server(8080, stranger, flags="SA"), bench.from_server(8081, ports[0], flags="SA")):
        assert bench.run(packet, "rs").verdict == "pass"


def test_duplicate_syn_belongs_to_the_same_entry(bench: Bench) -> None:
    all_services(bench)
    sender = Sender(bench)
    flow: Flow = (4, 6, "10.1.0.2", 5000)
    seen = {bench.run(sender.frame(flow)).raw[30:34] for _ in range(3)}
    assert len(seen) == 1
    assert flows_in(bench) == Counter([flow])
    assert sum(s.counters.connections for s in bench.plane.snapshot()) == 1


def test_a_full_table_refuses_and_evicts_nobody(small: Bench) -> None:
    all_services(small)
    sender, flows = Sender(small), random_flows(4, 400)
    taken = [flow for flow in flows if sender.send(flow) == "redirect"]
    # The reverse index has one word for each entry; its lines are full before the last of them is taken.
    assert len(taken) > 0.9 * len(small.tables.conns)
    assert small.reasons()["table_full"] == 400 - len(taken)
    assert flows_in(small) == Counter(taken)
    for flow in taken:
        assert sender.send(flow, 0x10) == "redirect"
    assert small.reasons()["table_full"] == 400 - len(taken)
    assert flows_in(small) == Counter(taken)
    assert_counts(small)


def test_expired_entries_make_room_on_the_packet_path(small: Bench) -> None:
    """Nobody sweeps: a new flow whose lines are full frees what has expired there, and nothing else."""
    all_services(small, method=ForwardingMethod.DIRECT)
    sender, flows = Sender(small), random_flows(5, 1200)
    old = [flow for flow in flows[:600] if sender.send(flow) == "redirect"]
    assert len(old) == len(small.tables.conns)
    dead = np.array(sorted(random.Random(6).sample(range(len(old)), 60)))
    small.tables.conns["expires"][dead] = small.tables.jiffies() - 100
    before = flows_in(small)
    new = [flow for flow in flows[600:] if sender.send(flow) == "redirect"]
    assert len(new) == 60
    assert flows_in(small) == before + Counter(new)
    assert_counts(small)


def lines_of(bench: Bench, flow: Flow) -> tuple[int, int]:
    """The two lines that bpf/conn.h looks in (`flow_hash`, `flow_place`)."""
    version, protocol, client, port = flow
    key = [int(k) for k in bench.tables.settings["key"][0]]
    ends = [int(d) for a in (client, VIP[version]) for d in np.frombuffer(abi.pack_address(ip_address(a)), "<u8")]
    swapped = [int.from_bytes(number.to_bytes(2, "big"), "little") for number in (port, 80)]
    ends.append(swapped[0] << 32 | swapped[1] << 8 | protocol)
    mixed = sum(a * b for a, b in zip(ends, key[:5], strict=True)) % 2**64
    mixed = (mixed ^ mixed >> 32) * key[5] % 2**64
    mixed ^= mixed >> 29
    tag, high, lines = mixed & 0xFFFFFFFC | 1, mixed >> 32, len(bench.tables.tags) // abi.CONN_WAYS
    return high * lines >> 32, (high ^ tag * 0x85EBCA6B % 2**32) * lines >> 32


@pytest.mark.parametrize("side", [0, 1])
def test_either_line_of_a_flow_makes_room(small: Bench, side: int) -> None:
    all_services(small, method=ForwardingMethod.DIRECT)
    sender, flows = Sender(small), random_flows(8, 1200)
    for flow in flows[:600]:
        sender.send(flow)
    assert small.tables.tags.all()
    stranger = next(f for f in flows[600:] if 0 not in lines_of(small, f))
    guest = next(f for f in flows[600:] if lines_of(small, f)[side] == 0 != lines_of(small, f)[1 - side])
    small.tables.conns["expires"][5] = small.tables.jiffies() - 100  # of line 0
    assert sender.send(stranger) == "drop"
    assert sender.send(guest) == "redirect"
    assert flows_in(small)[guest] == 1
    assert sender.send(guest, 0x10) == "redirect"


def test_what_dies_in_a_full_table_leaves_the_reverse_index_too(small: Bench) -> None:
    all_services(small)
    sender = Sender(small)
    for flow in random_flows(5, 600):
        sender.send(flow)
        if small.tables.tags.all():
            break
    lived = np.count_nonzero(small.tables.tags)
    small.tables.conns["expires"][:] = small.tables.jiffies() - 100
    for flow in random_flows(6, 600):
        sender.send(flow)
    assert_counts(small)
    assert np.count_nonzero(reverse_words(small)) == np.count_nonzero(small.tables.tags) > 0.9 * lived
    small.age(1000)
    small.sweep()
    assert_empty(small)


def test_just_expired_entries_wait_for_the_grace_time(tc: Bench) -> None:
    all_services(tc)
    sender = Sender(tc)
    sender.send((4, 6, "10.1.0.2", 5000))
    now = tc.tables.jiffies()
    tc.tables.conns["expires"][tc.tables.tags != 0] = now + 1_000_000
    assert tc.sweep() == (1, 0)
    tc.tables.conns["expires"][tc.tables.tags != 0] = tc.tables.jiffies() - 1000
    assert tc.sweep() == (0, 1)


def test_a_flow_that_expired_starts_anew(bench: Bench) -> None:
    all_services(bench)
    sender = Sender(bench)
    flow: Flow = (4, 17, "10.1.0.2", 5000)
    picks = []
    for _ in range(4):
        picks.append(bench.run(sender.frame(flow)).raw[33])
        bench.age(301)
    assert picks == [3, 2, 3, 2]
    assert np.count_nonzero(bench.tables.tags) == 1
    assert np.count_nonzero(reverse_words(bench)) == 1
    bench.sweep()
    assert_empty(bench)


def test_a_half_written_entry_of_the_same_flow_is_a_lost_race(bench: Bench) -> None:
    """Another CPU is making the connection: this packet is dropped and counted, and no second entry appears."""
    all_services(bench)
    sender = Sender(bench)
    flow: Flow = (4, 17, "10.1.0.2", 5000)
    sender.send(flow)
    (slot,) = np.flatnonzero(bench.tables.tags)
    tag = int(bench.tables.tags[slot])
    bench.tables.tags[slot] = tag | abi.TAG_WRITING
    assert sender.send(flow) == "drop"
    assert bench.reasons()["creation_race"] == 1
    assert np.flatnonzero(bench.tables.tags).tolist() == [slot]
    assert np.count_nonzero(reverse_words(bench)) == 1
    bench.sweep()
    assert int(bench.tables.tags[slot]) == tag | abi.TAG_WRITING, "an entry that is being written is its writer's"
    bench.tables.tags[slot] = tag
    assert sender.send(flow) == "redirect"
    assert_counts(bench)


@pytest.mark.parametrize("seed", range(6))
def test_counts_are_right_after_random_traffic(bench: Bench, seed: int) -> None:
    """Packets with any flags from both sides, ageing, sweeps, and edits of the table, in any order."""
    dice = random.Random(seed)
    bench.plane.apply([])
    service = bench.service(scheduler=dice.choice(("rr", "wrr", "lc", "wlc")))
    udp = bench.service(4, Protocol.UDP)
    servers = [
        bench.server(service, f"10.2.0.{n}", port=80, method=dice.choice(list(ForwardingMethod))) for n in (2, 3, 4)
    ]
    bench.server(udp, "10.2.0.2", port=80)
    sender = Sender(bench)
    gone: set[Destination] = set()
    for _ in range(1500):
        flow: Flow = (4, dice.choice((6, 6, 6, 17)), "10.1.0.2", dice.randrange(2000, 2040))
        what = dice.random()
        if what < 0.6:
            sender.send(flow, dice.choice((0x02, 0x02, 0x10, 0x11, 0x04, 0x12, 0x18, 0)))
        elif what < 0.9:
            l4, flags = (TCP, {"flags": dice.choice(("SA", "A", "FA", "R"))}) if flow[1] == 6 else (UDP, {})
            if dice.random() < 0.2:
                bench.run(bench.from_server(80, flow[3], 4, l4, **flags), "rs")
        elif what < 0.94:
            bench.age(dice.choice((3, 11, 61, 130)))
        elif what < 0.97:
            bench.sweep()
        else:
            server = dice.choice(servers)
            if server in gone:
                bench.plane.apply([AddDestination(service=service, destination=server)])
                gone.discard(server)
            elif dice.random() < 0.5:
                bench.plane.apply([DeleteDestination(service=service, key=server.key)])
                gone.add(server)
            else:
                edited = Destination(
                    key=server.key, method=dice.choice(list(ForwardingMethod)), weight=dice.randrange(3)
                )
                bench.plane.apply([EditDestination(service=service, destination=edited)])
    bench.sweep()
    assert_counts(bench)
    assert max(flows_in(bench).values(), default=1) == 1
    bench.age(1000)
    bench.sweep()
    assert_empty(bench)
    assert not [r for r in bench.reasons() if r in ("table_full", "creation_race", "rewrite_failed", "no_route")]


# ---- destinations and services that go and come back ----


def test_a_removed_destination_that_returns_has_its_connections_back(bench: Bench) -> None:
    service = bench.service()
    server = bench.server(service)
    sender = Sender(bench)
    flow: Flow = (4, 6, "10.1.0.2", 5000)
    sender.send(flow)
    sender.send(flow, 0x10)
    bench.plane.apply([DeleteDestination(service=service, key=server.key)])
    assert sender.send(flow, 0x10) == "drop"
    assert bench.reasons() == {"destination_removed": 1}
    bench.clock.advance(119)
    bench.plane._records.collect()
    bench.plane.apply([AddDestination(service=service, destination=server)])
    assert sender.send(flow, 0x10) == "redirect"
    (status,) = bench.status(service).destinations
    assert (status.active_connections, status.counters.connections, status.counters.in_packets) == (1, 1, 3)


def test_a_removed_destination_is_forgotten_when_idle_for_120_s(bench: Bench) -> None:
    service = bench.service()
    server = bench.server(service)
    Sender(bench).send((4, 6, "10.1.0.2", 5000))
    bench.plane.apply([DeleteDestination(service=service, key=server.key)])
    for seconds, ageing in ((121, 0), (1, 61)):
        bench.clock.advance(seconds)
        bench.age(ageing)
        bench.sweep()
        index = np.flatnonzero(bench.tables.dests["service"])
        assert len(index) == 1, "still in the trash"
        bench.plane._records.collect()
    assert not bench.tables.dests["service"].any()
    assert bench.status(service).counters.connections == 1, "what it counted stays with the service"
    bench.plane.apply([AddDestination(service=service, destination=server)])
    (status,) = bench.status(service).destinations
    assert status.counters.connections == 0


def test_a_deleted_service_that_returns_has_its_connections_back(bench: Bench) -> None:
    """Meanwhile its packets are dropped, not given to the local stack, which would reset the connection."""
    service = bench.service()
    server = bench.server(service)
    sender = Sender(bench)
    flow: Flow = (4, 6, "10.1.0.2", 5000)
    sender.send(flow)
    sender.send(flow, 0x10)
    bench.plane.apply([DeleteService(key=service)])
    assert sender.send(flow, 0x10) == "drop"
    assert sender.send((4, 6, "10.1.0.2", 5001)) == "pass"
    assert bench.reasons() == {"destination_removed": 1, "no_service": 1}
    bench.clock.advance(5)
    bench.plane._records.collect()
    again = bench.service()
    bench.server(again, "10.2.0.3")
    bench.plane.apply([AddDestination(service=again, destination=server)])
    assert sender.send(flow, 0x10) == "redirect"
    assert [d.active_connections for d in bench.status(again).destinations] == [0, 1]


def test_nothing_is_left_of_a_deleted_service(bench: Bench) -> None:
    service = bench.service()
    bench.server(service)
    sender = Sender(bench)
    sender.send((4, 6, "10.1.0.2", 5000))
    bench.plane.apply([DeleteService(key=service)])
    bench.age(61)
    bench.sweep()
    bench.clock.advance(121)
    bench.plane._records.collect()
    assert not bench.tables.filter["word"].any()
    assert not bench.tables.settings["flags"].any()
    assert not bench.tables.dests["service"].any()
    assert bench.plane._records._trash == {}
    assert sender.send((4, 6, "10.1.0.2", 5000)) == "pass"
    assert "no_service" not in bench.reasons(), "the address filter lets it go at once"


def test_indices_are_used_again(tc: Bench) -> None:
    """Services and destinations come and go far more often than the tables are long."""
    for _ in range(600):
        service: ServiceKey = tc.service()
        tc.server(service)
        tc.plane.apply([DeleteService(key=service)])
        tc.clock.advance(121)
        tc.plane._records.collect()
    assert tc.plane._records._service_indices.top < 8
    assert tc.plane._records._dest_indices.top < 8


# ---- a new life of lvsd ----


@contextmanager
def counting_numpy_errors() -> Iterator[None]:
    with np.errstate(all="raise"):
        yield


def test_wrap_of_the_clock(bench: Bench) -> None:
    """`expires` lives in the low half of jiffies: the end of the range is a moment like any other."""
    all_services(bench)
    sender = Sender(bench)
    sender.send((4, 17, "10.1.0.2", 5000))
    now = bench.tables.jiffies()
    with counting_numpy_errors():
        bench.tables.conns["expires"][bench.tables.tags != 0] = (now + 2**31 - 1000) % 2**32
        assert len(flows_in(bench)) == 1
        bench.tables.conns["expires"][bench.tables.tags != 0] = (now - 2**31 + 10_000) % 2**32
        assert not flows_in(bench)
    assert bench.sweep() == (0, 1)
