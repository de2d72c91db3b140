"""Service and destination records: what each operation leaves in the tables, and what it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.ebpf_tables import HZ, MemoryTables

from piranha.base.clock import ManualClock
from piranha.base.errors import PiranhaError
from piranha.dataplane.ebpf.abi import DestFlag, SettingFlag
from piranha.dataplane.ebpf.records import TRASH_S, Records
from piranha.dataplane.port import (
    AddDestination,
    AddService,
    DeleteDestination,
    DeleteService,
    EditDestination,
    EditService,
    Operation,
    RefusalKind,
    RefusedError,
    SetTimeouts,
)
from piranha.model.service import (
    Destination,
    DestinationKey,
    ForwardingMethod,
    Protocol,
    Service,
    ServiceKey,
    Timeouts,
    TunnelChecksum,
    TunnelType,
)

MASQ, DIRECT, TUNNEL = ForwardingMethod.MASQUERADE, ForwardingMethod.DIRECT, ForwardingMethod.TUNNEL


def key(number: int = 1, port: int = 80) -> ServiceKey:
    return ServiceKey(protocol=Protocol.TCP, address=IPv4Address(0x0A090000 + number), port=port)


def server(number: int, weight: int = 1, method: ForwardingMethod = DIRECT) -> Destination:
    where = DestinationKey(address=IPv4Address(0x0A020000 + number), port=80)
    return Destination(key=where, method=method, weight=weight)


class World:
    """Records on tables in memory."""

    def __init__(self, memory: MemoryTables | None = None) -> None:
        self.memory = memory or MemoryTables()
        self.memory.settings["hz"] = HZ
        self.clock = ManualClock(1000.0)
        self.records = Records(self.memory.tables, self.clock)

    def apply(self, *operations: Operation) -> None:
        """As the plane does: all, then published once."""
        try:
            for operation in operations:
                self.records.apply(operation)
        finally:
            self.records.publish()

    def service(self, number: int = 1, *servers: Destination, scheduler: str = "rr") -> ServiceKey:
        where = key(number)
        self.apply(AddService(service=Service(key=where, scheduler=scheduler)), *self.adds(where, servers))
        return where

    def adds(self, where: ServiceKey, servers: Sequence[Destination]) -> list[AddDestination]:
        return [AddDestination(service=where, destination=s) for s in servers]

    def scheduled(self, where: ServiceKey) -> list[int]:
        """Last numbers of the addresses in the service's table, in order."""
        index = self.records._services[where].index
        return [int(self.memory.dests["addr"][word][15]) for word in self.memory.table_of(index)]

    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.records.collect()

    def again(self) -> World:
        """A new life on the same tables."""
        self.memory.adopted = True
        return World(self.memory)


def test_the_newest_destination_comes_first() -> None:
    world = World()
    where = world.service(1, server(1), server(2), server(3))
    assert world.scheduled(where) == [3, 2, 1]
    assert [d.destination for d in world.records.snapshot()[0].destinations] == [server(1), server(2), server(3)]


def test_a_list_of_operations_is_published_once() -> None:
    world = World()
    where = world.service(1, server(1))
    index = world.records._services[where].index
    before = int(world.memory.services["table"][index])
    for operation in world.adds(where, [server(2), server(3)]):
        world.records.apply(operation)
        assert int(world.memory.services["table"][index]) == before
    world.records.publish()
    assert world.scheduled(where) == [3, 2, 1]


def test_quiesced_is_not_scheduled_but_present() -> None:
    world = World()
    where = world.service(1, server(1), server(2))
    world.apply(EditDestination(service=where, destination=server(2, weight=0)))
    assert world.scheduled(where) == [1]
    index = world.records._services[where].destinations[server(2).key].index
    assert int(world.memory.dests["flags"][index]) & DestFlag.PRESENT
    assert int(world.memory.dests["weight"][index]) == 0


SIX = Destination(key=DestinationKey(address=IPv6Address("fd02::2"), port=80), method=DIRECT)


@pytest.mark.parametrize(
    ("operation", "text"),
    [
        (AddService(service=Service(key=key(1))), "exists already: tcp 10.9.0.1:80"),
        (AddService(service=Service(key=key(2), scheduler="best")), "unknown scheduler best"),
        (EditService(service=Service(key=key(2))), "no such service: tcp 10.9.0.2:80"),
        (EditService(service=Service(key=key(1), scheduler="best")), "unknown scheduler best"),
        (DeleteService(key=key(2)), "no such service"),
        (AddDestination(service=key(2), destination=server(1)), "no such service"),
        (AddDestination(service=key(1), destination=server(1)), "exists already: 10.2.0.1:80"),
        (AddDestination(service=key(1), destination=SIX), "other address family"),
        (EditDestination(service=key(1), destination=server(9)), "no such destination: 10.2.0.9:80"),
        (DeleteDestination(service=key(1), key=server(9).key), "no such destination"),
    ],
)
def test_what_is_refused_changes_nothing(operation: Operation, text: str) -> None:
    world = World()
    where = world.service(1, server(1), server(2))
    before = world.records.snapshot(), world.scheduled(where), world.memory.dests.tobytes()
    with pytest.raises(PiranhaError, match=text):
        world.apply(operation)
    assert (world.records.snapshot(), world.scheduled(where), world.memory.dests.tobytes()) == before


def test_tunnels_may_cross_families() -> None:
    world = World()
    where = world.service(1)
    world.apply(AddDestination(service=where, destination=Destination(key=SIX.key, method=TUNNEL)))
    assert len(world.records.snapshot()[0].destinations) == 1


@pytest.mark.parametrize("checksum", list(TunnelChecksum))
@pytest.mark.parametrize("type_", list(TunnelType))
def test_tunnels_are_written_and_read_back(type_: TunnelType, checksum: TunnelChecksum) -> None:
    world = World()
    where = world.service(1)
    wanted = replace(server(1), method=TUNNEL, tunnel=type_, tunnel_port=6080, tunnel_checksum=checksum)
    world.apply(AddDestination(service=where, destination=replace(wanted, tunnel=TunnelType.IPIP)))
    world.apply(EditDestination(service=where, destination=wanted))
    row = world.memory.dests[1]
    assert (row["tunnel_type"], row["tunnel_port"]) == (list(TunnelType).index(type_), 6080)
    assert row["tunnel_flags"] == {"nocsum": 0, "csum": 1, "remcsum": 2}[checksum]
    (found,) = world.again().records.snapshot()[0].destinations
    assert found.destination == wanted


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_gue_tunnel_needs_a_port(port: int) -> None:
    world = World()
    where = world.service(1)
    gue = replace(server(1), method=TUNNEL, tunnel=TunnelType.GUE, tunnel_port=port)
    with pytest.raises(RefusedError, match="port") as refused:
        world.apply(AddDestination(service=where, destination=gue))
    assert refused.value.kind is RefusalKind.INVALID
    assert not world.records.snapshot()[0].destinations


def test_no_room_for_more() -> None:
    world = World(MemoryTables(destinations=4, services_size=3))
    where = world.service(1, server(1), server(2), server(3))
    with pytest.raises(PiranhaError, match="no room for another destination"):
        world.apply(AddDestination(service=where, destination=server(4)))
    assert world.scheduled(where) == [3, 2, 1]
    world.service(2)
    with pytest.raises(PiranhaError, match="no room for another service"):
        world.service(3)


def test_a_full_slot_pool_leaves_the_old_table_in_force() -> None:
    world = World(MemoryTables(slot_words=16))
    where = world.service(1, server(1, weight=1), scheduler="wrr")
    with pytest.raises(PiranhaError, match="scheduler table is full"):
        world.apply(AddDestination(service=where, destination=server(2, weight=50)))
    assert world.scheduled(where) == [1]
    world.clock.advance(2)
    world.apply(EditDestination(service=where, destination=server(2, weight=2)))
    assert sorted(set(world.scheduled(where))) == [1, 2]


def test_masquerading_is_looked_for_only_while_somebody_may_need_it() -> None:
    world = World()
    where = world.service(1, server(1), server(2, method=MASQ))
    settings = world.memory.settings[0]
    assert int(settings["flags"]) & SettingFlag.MASQ
    world.apply(DeleteDestination(service=where, key=server(2).key))
    assert int(settings["flags"]) & SettingFlag.MASQ, "its connections live on"
    world.wait(TRASH_S + 1)
    assert not int(settings["flags"]) & SettingFlag.MASQ


def test_a_removed_destination_keeps_its_place_while_it_is_used() -> None:
    world = World()
    where = world.service(1, server(1), server(2))
    index = world.records._services[where].destinations[server(1).key].index
    world.memory.dests["active"][index] = 1
    world.memory.stats["conns"][index] = 7
    world.apply(DeleteDestination(service=where, key=server(1).key))
    world.wait(10 * TRASH_S)
    assert server(1).key.address in world.records.addresses
    world.apply(AddDestination(service=where, destination=server(1)))
    (_, back) = world.records.snapshot()[0].destinations
    assert (back.active_connections, back.counters.connections) == (1, 7)
    world.memory.dests["active"][index] = 0
    world.apply(DeleteDestination(service=where, key=server(1).key))
    world.wait(TRASH_S + 1)
    assert server(1).key.address not in world.records.addresses
    world.apply(AddDestination(service=where, destination=server(3)))
    assert world.records._services[where].destinations[server(3).key].index == index
    assert world.records.snapshot()[0].counters.connections == 7, "the service keeps what it counted"
    assert world.records.snapshot()[0].destinations[1].counters.connections == 0


def test_timeouts_in_jiffies() -> None:
    world = World()
    world.apply(SetTimeouts(timeouts=Timeouts(tcp_s=10, udp_s=0.001)))
    settings = world.memory.settings[0]
    assert (int(settings["tcp_timeout"][1]), int(settings["tcp_timeout"][4])) == (10 * HZ, 0)
    assert int(settings["udp_timeout"]) == 1
    world.apply(SetTimeouts(timeouts=Timeouts(tcp_fin_s=10**9)))
    assert int(settings["tcp_timeout"][4]) == 2**31 - 1, "more than the clock can tell apart"


def test_next_hops_reach_every_destination_of_an_address() -> None:
    world = World()
    world.service(1, server(1))
    world.service(2, server(1), server(2))
    world.records.set_next_hop(server(1).key.address, 9, local=True)
    rows = world.memory.dests
    assert sorted(int(n) for n in rows["nexthop"][1:4]) == [0, 9, 9]
    assert sum(bool(int(f) & DestFlag.LOCAL) for f in rows["flags"]) == 2
    world.records.set_next_hop(server(1).key.address, 0, local=False)
    assert not rows["nexthop"].any()
    assert not any(int(f) & DestFlag.LOCAL for f in rows["flags"])


def test_a_new_life_goes_on_with_the_same_table() -> None:
    world = World()
    where = world.service(1, server(1), server(2), server(3))
    other = world.service(2, server(1, weight=3), server(2, weight=1), scheduler="wrr")
    world.apply(DeleteDestination(service=where, key=server(2).key))
    for service in (where, other):
        published = int(world.memory.services["table"][world.records._services[service].index])
        world.memory.slots[published & 0xFFFFFFFF] += 1  # one pick
    words = world.memory.slots.copy()
    later = world.again()
    assert later.records.snapshot() == world.records.snapshot()
    assert (world.memory.slots == words).all(), "no table is written anew, no cursor moves"
    later.apply(AddDestination(service=where, destination=server(2)))
    assert later.scheduled(where) == [2, 3, 1]


operations = st.lists(
    st.tuples(
        st.sampled_from(["service", "delete service", "add", "add", "add", "edit", "edit", "remove", "wait", "again"]),
        st.integers(1, 3),
        st.integers(1, 4),
        st.integers(0, 3),
    ),
    max_size=40,
)


@given(operations)
def test_records_and_tables_stay_one(story: list[tuple[str, int, int, int]]) -> None:
    """After any edits and restarts: the snapshot is what was ordered, and packets are scheduled from just that."""
    world = World()
    ordered: dict[ServiceKey, dict[DestinationKey, Destination]] = {}
    for what, service, number, weight in story:
        where, destination = key(service), server(number, weight)
        if what == "service" and where not in ordered:
            world.service(service)
            ordered[where] = {}
        elif what == "delete service" and where in ordered:
            world.apply(DeleteService(key=where))
            del ordered[where]
        elif what == "add" and where in ordered and destination.key not in ordered[where]:
            world.apply(AddDestination(service=where, destination=destination))
            ordered[where][destination.key] = destination
        elif what == "edit" and destination.key in ordered.get(where, {}):
            world.apply(EditDestination(service=where, destination=destination))
            ordered[where][destination.key] = destination
        elif what == "remove" and destination.key in ordered.get(where, {}):
            world.apply(DeleteDestination(service=where, key=destination.key))
            del ordered[where][destination.key]
        elif what == "wait":
            world.wait(60)
        elif what == "again":
            world = world.again()
    found = {s.service.key: [d.destination for d in s.destinations] for s in world.records.snapshot()}
    assert found == {where: list(destinations.values()) for where, destinations in ordered.items()}
    for where, destinations in ordered.items():
        usable = [d.key.address.packed[3] for d in reversed(destinations.values()) if d.weight]
        assert world.scheduled(where) == usable
    world.wait(TRASH_S + 1)
    used = sum(len(destinations) for destinations in ordered.values())
    assert len(world.memory.dests["service"].nonzero()[0]) == used
    assert world.records.addresses.keys() == {d.address for ds in ordered.values() for d in ds}
