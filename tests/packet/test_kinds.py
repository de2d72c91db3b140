"""Service kinds beside address and port: all ports, firewall marks, persistence, one packet, thresholds, each by packets."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from piranha.dataplane.port import (
    AddService,
    DeleteService,
    EditDestination,
    EditService,
    RefusedError,
    SetMarkRules,
    SetSettings,
    ZeroCounters,
)
from piranha.model.mark import MarkRule
from piranha.model.rules import PlaneRules
from piranha.model.service import Protocol, Service, ServiceKey
from tests.packet.bench import CLIENT, SERVER, VIP, Bench

SERVERS = {4: ["10.2.0.2", "10.2.0.3", "10.2.0.4"], 6: ["fd02::2", "fd02::3", "fd02::4"]}
IP_LAYER = {4: IP, 6: IPv6}
BOTH = pytest.mark.parametrize("version", [4, 6])


def farm(bench: Bench, service: Service, port: int = 0) -> ServiceKey:
    bench.plane.apply([AddService(service=service)])
    for address in SERVERS[service.key.address.version]:
        bench.server(service.key, address, port=port)
    return service.key


def syn(bench: Bench, version: int, source: str | None = None, dport: int = 80, vip: str | None = None) -> str:
    """Send a SYN from a new port; the server it went to, or the verdict."""
    packet = bench.to_vip(version, TCP, flags="S", dport=dport)
    layer = IP_LAYER[version]
    packet[layer].src = source or CLIENT[version]
    packet[layer].dst = vip or VIP[version]
    out = bench.run(Ether(bytes(packet)))
    return str(out.packet[layer].dst) if out.verdict == "redirect" else out.verdict


def key(version: int, port: int = 80, protocol: Protocol = Protocol.TCP) -> ServiceKey:
    return ServiceKey(protocol=protocol, address=ip_address(VIP[version]), port=port)


def set_marks(bench: Bench, rules: list[MarkRule]) -> None:
    bench.plane.apply([SetMarkRules(rules=tuple(rules))])
    assert bench.plane.mark_rules() == tuple(rules)


@BOTH
def test_a_client_stays_with_its_server(bench: Bench, version: int) -> None:
    service = farm(bench, Service(key=key(version), scheduler="rr", persistent_s=300))
    other = {4: "10.1.0.77", 6: "fd01::77"}[version]
    first = {syn(bench, version) for _ in range(4)}
    second = {syn(bench, version, other) for _ in range(4)}
    assert len(first) == len(second) == 1
    assert first != second
    status = bench.status(service)
    assert sum(d.persistent_connections for d in status.destinations) == 2
    assert sum(d.active_connections for d in status.destinations) == 8
    templates = [c for c in bench.connections() if c.is_template]
    assert {(t.client_port, t.virtual_port, t.state) for t in templates} == {(0, 80, "NONE")}


@pytest.mark.parametrize(("version", "prefix", "near", "far"), [
    (4, 24, "10.1.0.200", "10.1.1.2"), (4, 8, "10.200.3.4", "11.1.0.2"), (6, 64, "fd01::ffff", "fd01:0:0:1::2"),
    (6, 48, "fd01:0:0:5::1", "fd01:0:1::2"),
])  # fmt: skip
def test_a_mask_joins_a_network(bench: Bench, version: int, prefix: int, near: str, far: str) -> None:
    farm(bench, Service(key=key(version), scheduler="rr", persistent_s=300, persistence_prefix=prefix))
    assert syn(bench, version) == syn(bench, version, near)
    assert syn(bench, version, far) != syn(bench, version)


def test_templates_last_as_long_as_their_connections(tc: Bench) -> None:
    service = farm(tc, Service(key=key(4), scheduler="rr", persistent_s=30))
    before = syn(tc, 4)
    tc.age(31)  # the template is past its time, the connection (SYN_RECV, 60 s) is not
    alive, freed = tc.sweep()
    assert (alive, freed) == (2, 0)
    assert syn(tc, 4) == before
    tc.age(200)
    tc.sweep()
    tc.age(200)
    tc.sweep()
    assert not tc.connections()
    status = tc.status(service)
    assert [d.persistent_connections for d in status.destinations] == [0, 0, 0]
    assert syn(tc, 4) != before


def test_a_quiesced_server_keeps_its_clients_unless_told(tc: Bench) -> None:
    service = farm(tc, Service(key=key(4), scheduler="rr", persistent_s=300))
    mine = syn(tc, 4)
    destination = next(d.destination for d in tc.status(service).destinations if str(d.destination.key.address) == mine)
    tc.plane.apply([EditDestination(service=service, destination=replace(destination, weight=0))])
    assert syn(tc, 4) == mine
    rules = PlaneRules(expire_quiescent_template=True)
    tc.plane.apply([SetSettings(settings=rules)])
    assert tc.plane.rules() == rules
    moved = syn(tc, 4)
    assert moved != mine
    assert syn(tc, 4) == moved


@BOTH
def test_all_ports_go_to_one_server(bench: Bench, version: int) -> None:
    farm(bench, Service(key=key(version, 0), scheduler="rr", persistent_s=300))
    packet = bench.to_vip(version, TCP, flags="S", dport=2222)
    out = bench.run(packet)
    assert out.packet[TCP].dport == 2222
    assert {syn(bench, version, dport=port) for port in (80, 443, 2222, 65535)} == {
        str(out.packet[IP_LAYER[version]].dst)
    }


def test_an_exact_port_goes_before_all_ports(tc: Bench) -> None:
    farm(tc, Service(key=key(4, 0), scheduler="rr", persistent_s=300))
    exact = key(4, 8080)
    tc.plane.apply([AddService(service=Service(key=exact, scheduler="rr"))])
    tc.server(exact, "10.2.0.9", port=9090)
    assert syn(tc, 4, dport=8080) == "10.2.0.9"
    assert syn(tc, 4, dport=8081) in SERVERS[4]


def test_all_ports_need_persistence(tc: Bench) -> None:
    with pytest.raises(RefusedError, match="persistent"):
        tc.plane.apply([AddService(service=Service(key=key(4, 0), scheduler="rr"))])


@BOTH
def test_a_mark_joins_vips_and_ports(bench: Bench, version: int) -> None:
    service = farm(bench, Service(key=ServiceKey.of_mark(7, version), scheduler="rr", persistent_s=300))
    vips = {4: ["10.9.0.1", "10.9.0.2"], 6: ["fd09::1", "fd09::2"]}[version]
    set_marks(
        bench,
        [
            MarkRule(mark=7, network=ip_network(vips[0]), protocol=Protocol.TCP, first_port=80, last_port=80),
            MarkRule(mark=7, network=ip_network(vips[1]), protocol=Protocol.TCP, first_port=440, last_port=450),
        ],
    )
    chosen = {
        syn(bench, version, dport=80, vip=vips[0]),
        syn(bench, version, dport=443, vip=vips[1]),
        syn(bench, version, dport=450, vip=vips[1]),
    }
    assert len(chosen) == 1
    assert chosen < set(SERVERS[version])
    assert syn(bench, version, dport=451, vip=vips[1]) == "pass"
    assert syn(bench, version, dport=443, vip=vips[0]) == "pass"
    (template,) = [c for c in bench.connections() if c.is_template]
    assert (template.protocol, template.mark) == (Protocol.IP, 7)
    assert bench.status(service).service.key.mark == 7


def test_a_rule_of_a_network_or_of_everything(tc: Bench) -> None:
    farm(tc, Service(key=ServiceKey.of_mark(9), scheduler="rr"), port=8080)
    set_marks(tc, [MarkRule(mark=9, network=ip_network("10.9.0.0/28"), first_port=1, last_port=100)])
    assert syn(tc, 4, vip="10.9.0.15") in SERVERS[4]
    assert syn(tc, 4, vip="10.9.0.16") == "pass"
    set_marks(tc, [MarkRule(mark=9, network=ip_network("0.0.0.0/0"))])
    assert syn(tc, 4, vip="192.0.2.1", dport=7777) in SERVERS[4]
    set_marks(tc, [])
    assert syn(tc, 4, vip="192.0.2.1", dport=7777) == "pass"


def test_one_packet_scheduling_keeps_nothing(bench: Bench) -> None:
    service = farm(bench, Service(key=key(4, 53, Protocol.UDP), scheduler="rr", one_packet=True), port=53)
    seen = [bench.run(bench.to_vip(4, UDP, 5353, dport=53)).packet[IP].dst for _ in range(6)]
    assert seen == SERVERS[4][::-1] * 2
    assert not bench.connections()
    status = bench.status(service)
    assert status.counters.connections == status.counters.in_packets == 6
    assert sum(d.inactive_connections for d in status.destinations) == 0


def test_thresholds_take_a_server_out_and_back(tc: Bench) -> None:
    service = key(4)
    tc.plane.apply([AddService(service=Service(key=service, scheduler="rr"))])
    destination = tc.server(service, SERVER[4])
    tc.plane.apply([EditDestination(service=service, destination=replace(destination, upper_threshold=4))])
    assert [syn(tc, 4) for _ in range(6)] == [SERVER[4]] * 4 + ["redirect"] * 0 + [tc_refused(tc)] * 2
    tc.tables.conns["expires"][tc.tables.conns["life"] > 0] -= 0
    tc.age(1000)
    tc.sweep()
    assert syn(tc, 4) == SERVER[4]


def tc_refused(bench: Bench) -> str:
    """In TC a refused SYN comes back as an ICMP error: its destination is the client."""
    return CLIENT[4]


def test_zeroing_counters(tc: Bench) -> None:
    service = farm(tc, Service(key=key(4), scheduler="rr"), port=80)
    for _ in range(3):
        syn(tc, 4)
    assert tc.status(service).counters.connections == 3
    tc.plane.apply([ZeroCounters(key=service)])
    assert tc.status(service).counters.connections == 0
    assert tc.status(service).destinations[0].active_connections == 1


def test_editing_a_service_to_persistent(tc: Bench) -> None:
    service = farm(tc, Service(key=key(4), scheduler="rr"), port=80)
    assert len({syn(tc, 4) for _ in range(3)}) == 3
    tc.plane.apply([EditService(service=Service(key=service, scheduler="rr", persistent_s=60))])
    assert len({syn(tc, 4) for _ in range(3)}) == 1


def test_a_service_that_returns_begins_to_count_at_zero(tc: Bench) -> None:
    """Its destinations get their counters back (IPVS's trash), the service does not."""
    service = farm(tc, Service(key=key(4), scheduler="rr"), port=80)
    for _ in range(3):
        syn(tc, 4)
    tc.plane.apply([DeleteService(key=service)])
    farm(tc, Service(key=key(4), scheduler="rr"), port=80)
    status = tc.status(service)
    assert status.counters.connections == 0
    assert [d.counters.connections for d in status.destinations] == [1, 1, 1]
    syn(tc, 4)
    assert tc.status(service).counters.connections == 1
