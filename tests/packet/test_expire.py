"""Connections of a server that is out end at once, where the director says so, and are counted off."""

from __future__ import annotations

from scapy.layers.inet import UDP

from piranha.dataplane.port import DeleteDestination
from piranha.model.service import DestinationKey, Protocol
from tests.packet.bench import Bench

OTHER = "10.30.0.12"


def test_flows_of_one_server_end_and_are_counted_off(tc: Bench) -> None:
    service = tc.service(protocol=Protocol.UDP)
    dead = tc.server(service)
    for _ in range(5):
        tc.run(tc.to_vip(l4=UDP, sport=tc.next_port()))
    assert len(tc.connections()) == 5
    tc.plane.apply([DeleteDestination(service=service, key=dead.key)])
    alive = tc.server(service, OTHER)
    tc.run(tc.to_vip(l4=UDP, sport=tc.next_port()))
    assert tc.plane.expire(service, dead.key) == 5, "also when it is out of the table"
    assert [row.destination for row in tc.connections()] == [alive.key.address]
    tc.age(1)
    tc.sweep()
    assert [d.inactive_connections for d in tc.status(service).destinations] == [1]
    assert tc.plane.expire(service, dead.key) == 0


def test_a_flow_begins_anew_with_its_next_datagram(tc: Bench) -> None:
    service = tc.service(protocol=Protocol.UDP)
    dead = tc.server(service)
    port = tc.next_port()
    tc.run(tc.to_vip(l4=UDP, sport=port))
    alive = tc.server(service, OTHER)
    tc.plane.apply([DeleteDestination(service=service, key=dead.key)])
    tc.plane.expire(service, dead.key)
    tc.run(tc.to_vip(l4=UDP, sport=port))
    assert [row.destination for row in tc.connections()] == [alive.key.address]


def test_what_was_never_there_has_no_flows(tc: Bench) -> None:
    service = tc.service(protocol=Protocol.UDP)
    stranger = tc.server(service).key
    unknown = DestinationKey(address=stranger.address, port=9)
    assert tc.plane.expire(service, unknown) == 0
