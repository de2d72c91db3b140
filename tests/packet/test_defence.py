"""drop_packet, drop_entry, secure_tcp: off, always, and while room in the table is short."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from scapy.layers.inet import UDP

from piranha.dataplane.ebpf.abi import DefenceFlag
from piranha.dataplane.ebpf.defence import defences
from piranha.dataplane.port import AddService, SetSettings
from piranha.model.rules import PlaneRules
from piranha.model.service import ForwardingMethod, Protocol, Service, ServiceKey
from tests.packet.bench import Bench

ROUNDS = 2000  # an entry is looked at 62 times in them


def settle(bench: Bench, **rules: int) -> None:
    bench.plane.apply([SetSettings(settings=PlaneRules(**rules))])  # type: ignore[arg-type]


def verdicts(bench: Bench, count: int) -> list[str]:
    return [bench.run(bench.to_vip(flags="S")).verdict for _ in range(count)]


def thin(bench: Bench) -> None:
    """Let drop_entry look at every line."""
    for _ in range(ROUNDS):
        bench.sweep()


def test_the_defaults_are_those_of_ipvs_and_nothing_is_in_force(bench: Bench) -> None:
    assert bench.plane.rules() == PlaneRules()
    assert bench.tables.settings["defences"][0] == 0
    assert defences(bench.tables) == {}


def test_what_is_set_is_read_back(tc: Bench) -> None:
    wanted = PlaneRules(drop_entry=1, drop_packet=3, secure_tcp=1, amemthresh=9, am_droprate=4, lblc_expiration=60,
                        lblcr_expiration=70)  # fmt: skip
    tc.plane.apply([SetSettings(settings=wanted)])
    assert tc.plane.rules() == wanted


def test_drop_packet_takes_the_first_and_then_every_nth_new_connection(bench: Bench) -> None:
    bench.server(bench.service())
    settle(bench, drop_packet=3, am_droprate=4)
    assert verdicts(bench, 9) == ["drop", *["redirect"] * 3] * 2 + ["drop"]
    assert bench.reasons()["defence_drop"] == 3
    assert len(bench.connections()) == 6


def test_drop_packet_leaves_established_connections_alone(bench: Bench) -> None:
    bench.server(bench.service())
    port = bench.next_port()
    bench.run(bench.to_vip(sport=port, flags="S"))
    settle(bench, drop_packet=3, am_droprate=1)
    assert bench.run(bench.to_vip(sport=port, flags="A")).verdict == "redirect"
    assert bench.run(bench.to_vip(flags="S")).verdict == "drop"
    settle(bench)
    assert bench.run(bench.to_vip(flags="S")).verdict == "redirect"


@pytest.mark.parametrize(("live", "rate"), [(0, 0), (3996, 0), (3997, 100), (4046, 2), (4047, 1), (4096, 1), (5000, 1)])
def test_while_room_is_short_the_rate_grows_with_the_shortage(tc: Bench, live: int, rate: int) -> None:
    """One in threshold / (threshold - room), which is IPVS's formula; the table is made for 4096."""
    settle(tc, drop_packet=1, amemthresh=100)
    tc.tables.weigh(live)
    assert int(tc.tables.defence["drop_rate"][0]) == rate
    assert bool(tc.tables.settings["defences"][0] & DefenceFlag.DROP_PACKET) == bool(rate)


def test_automatic_defences_come_and_go_with_the_fill(tc: Bench) -> None:
    settle(tc, drop_packet=1, drop_entry=1, secure_tcp=1, amemthresh=1000)
    tc.tables.weigh(10)
    assert tc.tables.settings["defences"][0] == 0
    assert defences(tc.tables) == {
        **dict.fromkeys(("drop_entry", "drop_packet", "secure_tcp"), "waiting: there is room"),
        "room": "for 4086 connections, short below 1000",
    }
    tc.tables.weigh(3597)
    assert tc.tables.settings["defences"][0] == 7
    assert defences(tc.tables)["drop_packet"] == "on: one new connection's packet in 1 is dropped"
    tc.tables.weigh(3000)
    assert tc.tables.settings["defences"][0] == 0


def test_secure_tcp_does_not_take_a_bare_ack_for_a_handshake(bench: Bench) -> None:
    bench.server(bench.service())
    settle(bench, secure_tcp=3)
    port = bench.next_port()
    for flags in "SA":
        bench.run(bench.to_vip(sport=port, flags=flags))
    assert bench.state() == "SYN_RECV"
    bench.run(bench.from_server(8080, port, flags="SA"), "rs")
    assert bench.state() == "SYNACK"
    bench.run(bench.from_server(8080, port, flags="A"), "rs")
    assert bench.state() == "ESTABLISHED"


def test_drop_entry_takes_half_open_connections(tc: Bench) -> None:
    service = tc.service()
    tc.server(service)
    verdicts(tc, 20)
    port = tc.next_port()
    tc.run(tc.to_vip(sport=port, flags="S"))
    tc.run(tc.to_vip(sport=port, flags="A"))
    thin(tc)
    assert len(tc.connections()) == 21
    settle(tc, drop_entry=3)
    thin(tc)
    assert [row.state for row in tc.connections()] == ["ESTABLISHED"]
    assert int(tc.tables.defence["entries_dropped"][0]) == 20
    tc.age(1)
    tc.sweep()
    status = tc.status(service).destinations[0]
    assert (status.active_connections, status.inactive_connections) == (1, 0)


@pytest.mark.parametrize(("packets", "idle_s", "left"), [(1, 61, 0), (8, 61, 0), (1, 55, 3), (9, 61, 3)])
def test_drop_entry_takes_idle_ones_of_few_packets(tc: Bench, packets: int, idle_s: float, left: int) -> None:
    tc.server(tc.service(protocol=Protocol.UDP), method=ForwardingMethod.DIRECT)
    settle(tc, drop_entry=3)
    for _ in range(3):
        port = tc.next_port()
        for _ in range(packets):
            tc.run(tc.to_vip(l4=UDP, sport=port))
    tc.age(idle_s)
    thin(tc)
    assert len(tc.connections()) == left


def test_of_idle_connections_with_n_packets_one_in_n_goes(tc: Bench) -> None:
    tc.server(tc.service(protocol=Protocol.UDP), method=ForwardingMethod.DIRECT)
    settle(tc, drop_entry=3)
    for _ in range(5):
        tc.run(tc.to_vip(l4=UDP, sport=4000))
    tc.age(61)
    counter = tc.tables.defence["idle_counter"][0]
    counter[5] = 5
    while len(tc.connections()):
        before = int(counter[5])
        tc.sweep()
        assert before - int(counter[5]) in (0, 1) or counter[5] == 5
    assert int(counter[5]) == 5


def test_templates_go_unless_proven_or_in_use(tc: Bench) -> None:
    key = ServiceKey(protocol=Protocol.UDP, address=ip_address("10.9.0.1"), port=80)
    tc.plane.apply([AddService(service=Service(key=key, persistent_s=600))])
    tc.server(key)
    tc.run(tc.to_vip(l4=UDP, sport=4000))
    settle(tc, drop_entry=3)
    thin(tc)
    assert len(tc.connections()) == 2, "it holds a connection"
    tc.age(301)
    tc.sweep()
    assert [row.is_template for row in tc.connections()] == [True]
    thin(tc)
    assert tc.connections() == ()
    tc.sweep()
    assert tc.status(key).destinations[0].persistent_connections == 0
