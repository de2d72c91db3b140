"""IPVS's switches about packets of no connection: schedule_icmp, nat_icmp_send, cache_bypass. TC does them; XDP hands on."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6PacketTooBig, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from piranha.dataplane.port import AddService, DeleteDestination, EditDestination, SetMarkRules, SetSettings
from piranha.model.mark import MarkRule
from piranha.model.rules import PlaneRules
from piranha.model.service import Destination, ForwardingMethod, Protocol, Service, ServiceKey
from tests.packet.bench import CLIENT, CLIENT_MAC, DIRECTOR, SERVER, VIP, Bench, Result
from tests.packet.test_icmp import ERRORS, ROUTER, Ends, assert_right, frame, quoted, quoted_flow

BOTH = pytest.mark.parametrize("version", [4, 6])
IP_LAYER: dict[int, type[Packet]] = {4: IP, 6: IPv6}
FAR = SERVER  # an address behind us that is none of ours and none of a destination


def switch(bench: Bench, **rules: object) -> None:
    bench.plane.apply([SetSettings(settings=PlaneRules(**rules))])  # type: ignore[arg-type]
    assert bench.plane.rules() == PlaneRules(**rules)  # type: ignore[arg-type]


def unreachable(out: Result, version: int) -> bool:
    if version == 4:
        return ICMP in out.packet and (out.packet[ICMP].type, out.packet[ICMP].code) == (3, 3)
    return ICMPv6DestUnreach in out.packet and int(out.packet[ICMPv6DestUnreach].code) == 4


# ---- schedule_icmp ----


def stray_error(bench: Bench, version: int, l4: type[Packet], port: int = 80) -> Result:
    """A router's error about an answer that nobody gave."""
    about = quoted(version, l4, Ends(VIP[version], port, CLIENT[version], 5000))
    return bench.run(frame(bench, "cl", ROUTER[version], VIP[version], version, ERRORS[version][0], about))


@BOTH
@pytest.mark.parametrize("l4", [TCP, UDP])
def test_an_error_begins_a_connection(tc: Bench, version: int, l4: type[Packet]) -> None:
    service = tc.service(version, Protocol.TCP if l4 is TCP else Protocol.UDP)
    tc.server(service, port=8080)
    assert stray_error(tc, version, l4).verdict == "pass"
    assert tc.connections() == ()
    switch(tc, schedule_icmp=True)
    out = stray_error(tc, version, l4)
    assert out.verdict == "redirect"
    assert quoted_flow(out.packet, version, l4) == Ends(SERVER[version], 8080, CLIENT[version], 5000)
    assert_right(out.raw)
    (made,) = tc.connections()
    assert (made.client_port, made.virtual_port, made.state) == (5000, 80, "NONE" if l4 is TCP else "UDP")
    assert 2 < made.expires_s <= 3
    assert stray_error(tc, version, l4).verdict == "redirect"
    assert len(tc.connections()) == 1


def test_an_error_begins_nothing_where_nobody_serves(tc: Bench) -> None:
    switch(tc, schedule_icmp=True)
    service = tc.service()
    assert stray_error(tc, 4, TCP).verdict == "drop"
    assert tc.reasons() == {"no_destination": 1}
    tc.server(service)
    assert stray_error(tc, 4, TCP, port=81).verdict == "pass"
    assert stray_error(tc, 4, UDP).verdict == "pass"
    assert tc.connections() == ()


# ---- nat_icmp_send ----


@pytest.fixture
def telling(bench: Bench) -> Bench:
    switch(bench, nat_icmp_send=True)
    return bench


def told(bench: Bench, packet: Packet, version: int = 4) -> bool:
    """Is the server told that nobody waits? By XDP the packet is handed on and TC does it."""
    out = bench.run(packet, "rs")
    if bench.hook == "xdp" and out.verdict == "pass":
        out = bench.run(packet, "rs", hook="tc")
    if out.verdict == "pass":
        return False
    ip = out.packet[IP_LAYER[version]]
    assert (out.verdict, ip.src, ip.dst) == ("redirect", DIRECTOR[version], SERVER[version])
    assert unreachable(out, version)
    return True


@BOTH
@pytest.mark.parametrize("l4", [TCP, UDP])
def test_a_server_that_answers_nobody_is_told(telling: Bench, version: int, l4: type[Packet]) -> None:
    service = telling.service(version, Protocol.TCP if l4 is TCP else Protocol.UDP)
    server = telling.server(service, port=8080)
    stray = telling.from_server(8080, 6000, version, l4)
    assert told(telling, stray, version)
    assert not told(telling, telling.from_server(8081, 6000, version, l4), version)
    assert not told(telling, telling.from_server(8080, 6000, version, UDP if l4 is TCP else TCP), version)
    if l4 is TCP:
        assert not told(telling, telling.from_server(8080, 6000, version, TCP, flags="R"), version)
    telling.plane.apply([DeleteDestination(service=service, key=server.key)])
    assert not told(telling, stray, version)


def test_a_mark_s_server_is_told_whatever_the_protocol(telling: Bench) -> None:
    key = ServiceKey.of_mark(5)
    telling.plane.apply([AddService(service=Service(key=key, scheduler="rr"))])
    telling.server(key, port=8080)
    assert told(telling, telling.from_server(8080, 6000))
    assert told(telling, telling.from_server(8080, 6000, 4, UDP))


def test_only_masqueraded_servers_are_told(telling: Bench) -> None:
    service = telling.service()
    server = telling.server(service, port=80)
    assert told(telling, telling.from_server(80, 6000))
    direct = Destination(key=server.key, method=ForwardingMethod.DIRECT)
    telling.plane.apply([EditDestination(service=service, destination=direct)])
    assert not told(telling, telling.from_server(80, 6000))


def test_of_two_services_with_one_server_the_other_stays(telling: Bench) -> None:
    keys = [telling.service(), telling.service(port=81)]
    servers = [telling.server(key, port=8080) for key in keys]
    for number, (key, server) in enumerate(zip(keys, servers, strict=True), 1):
        telling.plane.apply([DeleteDestination(service=key, key=server.key)])
        assert told(telling, telling.from_server(8080, 6000)) == (number == 1)


# ---- cache_bypass ----


def marked(bench: Bench, version: int, network: str, **fields: bool) -> ServiceKey:
    key = ServiceKey.of_mark(5, version)
    rule = MarkRule(mark=5, network=ip_network(network))
    bench.plane.apply([AddService(service=Service(key=key, scheduler="rr", **fields)), SetMarkRules(rules=(rule,))])  # type: ignore[arg-type]
    return key


def to_far(bench: Bench, version: int, l4: type[Packet], sport: int, **fields: object) -> Result:
    packet = bench.to_vip(version, l4, sport, **fields)
    packet[IP_LAYER[version]].dst = FAR[version]
    return bench.run(Ether(bytes(packet)))


@BOTH
def test_what_nobody_serves_goes_where_it_was_going(tc: Bench, version: int) -> None:
    key = marked(tc, version, FAR[version])
    assert unreachable(to_far(tc, version, TCP, 5000, flags="S"), version)
    switch(tc, cache_bypass=True)
    out = to_far(tc, version, TCP, 5000, flags="S")
    ip = out.packet[IP_LAYER[version]]
    assert (out.verdict, ip.src, ip.dst) == ("redirect", CLIENT[version], FAR[version])
    assert (ip.ttl if version == 4 else ip.hlim) == 63
    (made,) = tc.connections()
    assert (str(made.virtual), made.destination_port, made.state) == (FAR[version], 0, "SYN_RECV")
    assert made.destination == type(made.virtual)(0)
    # Of one connection for good, though a server comes; both halves count as seen, as in IPVS.
    tc.server(key, "10.2.0.9" if version == 4 else "fd02::9", port=0)
    for flags, state in (("A", "ESTABLISHED"), ("FA", "CLOSE_WAIT")):
        out = to_far(tc, version, TCP, 5000, flags=flags)
        assert (out.verdict, out.packet[IP_LAYER[version]].dst) == ("redirect", FAR[version])
        assert [c.state for c in tc.connections()] == [state]
    (destination,) = tc.status(key).destinations
    assert (destination.active_connections, destination.inactive_connections) == (0, 0)


def test_our_own_addresses_are_not_bypassed(tc: Bench) -> None:
    switch(tc, cache_bypass=True)
    marked(tc, 4, DIRECTOR[4])
    packet = tc.to_vip(4, TCP, 5000, flags="S")
    packet[IP].dst = DIRECTOR[4]
    assert unreachable(tc.run(Ether(bytes(packet))), 4)
    assert tc.connections() == ()


def test_a_service_without_mark_is_not_bypassed(tc: Bench) -> None:
    switch(tc, cache_bypass=True)
    key = ServiceKey(protocol=Protocol.TCP, address=ip_network(FAR[4]).network_address, port=80)
    tc.plane.apply([AddService(service=Service(key=key, scheduler="rr"))])
    assert unreachable(to_far(tc, 4, TCP, 5000, flags="S"), 4)


def test_a_bypassed_datagram_alone_leaves_nothing(tc: Bench) -> None:
    switch(tc, cache_bypass=True)
    marked(tc, 4, FAR[4], one_packet=True)
    out = to_far(tc, 4, UDP, 5000)
    assert (out.verdict, out.packet[IP].dst) == ("redirect", FAR[4])
    assert tc.connections() == ()


@BOTH
def test_a_bypassed_packet_that_is_too_big_is_refused(tc: Bench, version: int) -> None:
    switch(tc, cache_bypass=True)
    marked(tc, version, FAR[version])
    big = {"load": b"." * 1480, "flags": "S"}
    out = to_far(tc, version, TCP, 5000, **(big | ({"ip": {"flags": "DF"}} if version == 4 else {})))
    if version == 4:
        assert (out.packet[ICMP].type, out.packet[ICMP].code, out.packet[ICMP].nexthopmtu) == (3, 4, 1500)
    else:
        assert out.packet[ICMPv6PacketTooBig].mtu == 1500
    assert out.packet.dst == CLIENT_MAC


def test_xdp_leaves_the_bypassed_to_tc(xdp: Bench) -> None:
    switch(xdp, cache_bypass=True)
    marked(xdp, 4, FAR[4])
    assert to_far(xdp, 4, TCP, 5000, flags="S").verdict == "pass"
    packet = xdp.to_vip(4, TCP, 5000, flags="S")
    packet[IP].dst = FAR[4]
    assert xdp.run(Ether(bytes(packet)), hook="tc").verdict == "redirect"
    assert to_far(xdp, 4, TCP, 5000, flags="A").verdict == "pass"
