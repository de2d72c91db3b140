"""Every kind of service that IPVS has, from the file's values to the data plane's."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from piranha.config.parser import parse
from piranha.dataplane.port import Capabilities
from piranha.director.health import targets_of
from piranha.director.layout import Layout, Member, lay_out
from piranha.model.configuration import Configuration, DeviceAddress, RealServer, SchedulerFlagWord, VirtualServer
from piranha.model.mark import MarkBlock, MarkRule
from piranha.model.service import (
    Destination,
    DestinationKey,
    ForwardingMethod,
    Protocol,
    SchedulerFlag,
    Service,
    ServiceKey,
    TunnelChecksum,
    TunnelType,
)

ABLE = Capabilities(
    schedulers=frozenset({"wlc", "sh", "mh", "none"}),
    persistence=True,
    firewall_marks=True,
    protocols=frozenset({Protocol.TCP, Protocol.UDP, Protocol.SCTP}),
    scheduler_flags=frozenset({"sh", "mh"}),
    all_ports=True,
    one_packet=True,
    thresholds=True,
    engines=frozenset({"sip"}),
    tunnels=frozenset(TunnelType),
)
VIP4, VIP6 = (DeviceAddress(address=ip_address(text), device="eth0:1") for text in ("10.0.0.100", "2001:db8::100"))
RIP4, RIP6 = ip_address("10.0.0.11"), ip_address("2001:db8::11")
SERVER = RealServer(name="web1", address=RIP4, active=True)
VIRTUAL = VirtualServer(name="V", active=True, address=VIP4, servers=(SERVER,))
NAT, DIRECT, TUNNEL = ForwardingMethod.MASQUERADE, ForwardingMethod.DIRECT, ForwardingMethod.TUNNEL


def laid_out(virtual: VirtualServer, network: ForwardingMethod = NAT, marks: tuple[MarkBlock, ...] = ()) -> Layout:
    return lay_out(Configuration(network=network, virtuals=(virtual,), marks=marks), ABLE)


def service(virtual: VirtualServer) -> Service:
    layout = laid_out(virtual)
    assert layout.refusals == ()
    return layout.services[0].service


def member(server: RealServer, virtual: VirtualServer = VIRTUAL, network: ForwardingMethod = NAT) -> Member:
    layout = laid_out(replace(virtual, servers=(server,)), network)
    assert layout.refusals == ()
    return layout.services[0].members[0]


@pytest.mark.parametrize(
    ("pmask", "address", "prefix"),
    [
        (None, VIP4, None),
        (ip_address("255.255.255.0"), VIP4, 24),
        (24, VIP4, 24),
        (32, VIP4, None),
        (ip_address("255.0.255.0"), VIP4, ip_address("255.0.255.0")),
        (32, VIP6, 32),
        (128, VIP6, None),
        (ip_address("ffff:ffff:ffff:ffff::"), VIP6, 64),
    ],
)
def test_masks_become_prefixes(pmask: object, address: DeviceAddress, prefix: object) -> None:
    virtual = replace(VIRTUAL, persistent_s=300, pmask=pmask, address=address, servers=())
    assert service(virtual).persistence_prefix == prefix


@pytest.mark.parametrize(
    ("pmask", "address"),
    [(33, VIP4), (0, VIP4), (129, VIP6), (ip_address("ffff::ffff"), VIP6), (ip_address("255.255.255.0"), VIP6)],
)
def test_masks_that_are_none_cost_their_service(pmask: object, address: DeviceAddress) -> None:
    layout = laid_out(replace(VIRTUAL, persistent_s=300, pmask=pmask, address=address))
    assert layout.services == ()
    assert str(layout.refusals[0]).startswith(f"virtual V: pmask = {pmask} is ")


def test_a_mask_without_persistence_has_no_effect() -> None:
    assert service(replace(VIRTUAL, pmask=ip_address("255.0.255.0"))).persistence_prefix is None


def test_a_part_of_a_second_of_persistence_is_a_whole_one() -> None:
    assert service(replace(VIRTUAL, persistent_s=0.5)).persistent_s == 1


@pytest.mark.parametrize(
    ("scheduler", "words", "flags"),
    [
        ("sh", ("sh-port",), SchedulerFlag.SCHED2),
        ("sh", ("sh-fallback", "sh-port"), SchedulerFlag.SCHED1 | SchedulerFlag.SCHED2),
        ("mh", ("mh-fallback",), SchedulerFlag.SCHED1),
        ("mh", ("mh-port", "flag-3"), SchedulerFlag.SCHED2 | SchedulerFlag.SCHED3),
        ("sh", ("flag-1", "flag-2", "flag-3"), SchedulerFlag(0x38)),
    ],
)
def test_scheduler_flags(scheduler: str, words: tuple[str, ...], flags: SchedulerFlag) -> None:
    virtual = replace(VIRTUAL, scheduler=scheduler, scheduler_flags=tuple(map(SchedulerFlagWord, words)))
    assert service(virtual).flags == flags


def test_one_packet_engine_and_sctp() -> None:
    datagrams = replace(VIRTUAL, protocol=Protocol.UDP, one_packet=True, persistent_s=60, persistence_engine="sip")
    made = service(datagrams)
    assert (made.one_packet, made.engine, made.persistent_s) == (True, "sip", 60)
    assert str(service(replace(VIRTUAL, protocol=Protocol.SCTP, scheduler="none")).key) == "sctp 10.0.0.100:80"


def test_thresholds_and_tunnels_of_a_server() -> None:
    server = replace(
        SERVER,
        upper_threshold=100,
        lower_threshold=80,
        forward=TUNNEL,
        tunnel=TunnelType.GUE,
        tunnel_port=6080,
        tunnel_checksum=TunnelChecksum.REMOTE,
    )
    assert member(server).fit == Destination(
        key=DestinationKey(address=RIP4, port=80),
        method=TUNNEL,
        upper_threshold=100,
        lower_threshold=80,
        tunnel=TunnelType.GUE,
        tunnel_port=6080,
        tunnel_checksum=TunnelChecksum.REMOTE,
    )
    assert member(server).quiesced == replace(member(server).fit, weight=0)


def test_what_a_tunnel_does_not_have_is_no_difference() -> None:
    """A plane would say the default, and the reconciler would repair for ever."""
    wrapped = replace(SERVER, forward=TUNNEL, tunnel_port=6080, tunnel_checksum=TunnelChecksum.FULL)
    plain = Destination(key=DestinationKey(address=RIP4, port=80), method=TUNNEL)
    assert member(wrapped).fit == plain
    assert member(replace(wrapped, tunnel=TunnelType.GUE, forward=DIRECT)).fit == replace(plain, method=DIRECT)
    gre = replace(wrapped, tunnel=TunnelType.GRE)
    assert member(gre).fit == replace(plain, tunnel=TunnelType.GRE, tunnel_checksum=TunnelChecksum.FULL)


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        (replace(SERVER, lower_threshold=1), "lower_threshold = 1 stands without an upper_threshold"),
        (replace(SERVER, forward=TUNNEL, tunnel=TunnelType.GUE), "tunnel = gue needs the UDP port"),
        (
            replace(SERVER, forward=TUNNEL, tunnel=TunnelType.GRE, tunnel_checksum=TunnelChecksum.REMOTE),
            "tunnel_checksum = remcsum is for gue, not for gre",
        ),
    ],
)
def test_a_server_that_contradicts_itself_costs_only_itself(server: RealServer, reason: str) -> None:
    other = replace(SERVER, name="web2", address=ip_address("10.0.0.12"))
    layout = laid_out(replace(VIRTUAL, servers=(server, other)))
    (refusal,) = layout.refusals
    assert (refusal.server, refusal.reason[: len(reason)]) == ("web1", reason)
    assert [m.server.name for m in layout.services[0].members] == ["web2"]


def test_what_a_lesser_plane_lacks_costs_the_server_that_asks_for_it() -> None:
    servers = (replace(SERVER, upper_threshold=9), replace(SERVER, name="web2", forward=TUNNEL, tunnel=TunnelType.GRE))
    lesser = Capabilities(schedulers=frozenset({"wlc"}))
    layout = lay_out(Configuration(virtuals=(replace(VIRTUAL, servers=servers),)), lesser)
    assert [str(refusal) for refusal in layout.refusals] == [
        "virtual V, server web1: upper_threshold = 9 cannot be kept by this data plane: remove the line",
        "virtual V, server web2: tunnel = gre cannot be switched by this data plane: choose one that it has (ipip)",
    ]


ALL_PORTS = replace(VIRTUAL, port=0, persistent_s=300)


@pytest.mark.parametrize("network", list(ForwardingMethod))
def test_packets_to_all_ports_keep_their_port_and_the_check_has_the_server_s(network: ForwardingMethod) -> None:
    layout = laid_out(replace(ALL_PORTS, servers=(replace(SERVER, port=8080),)), network)
    assert (layout.refusals, layout.warnings) == ((), ())
    (planned,) = layout.services
    assert str(planned.service.key) == "tcp 10.0.0.100:0"
    assert planned.members[0].fit.key.port == 0
    (target,) = targets_of(layout).values()
    assert target.checks[0].probe.port == 8080


def test_without_a_port_to_check_a_server_is_left_out_unless_a_program_checks() -> None:
    unchecked = replace(ALL_PORTS, servers=(replace(SERVER, port=0),))
    assert laid_out(unchecked).refusals[0].reason == "no port is named that could be checked"
    assert laid_out(replace(unchecked, send_program="/bin/check %h")).refusals == ()


MARKED = replace(VIRTUAL, fwmark=5, port=8080)


def test_a_mark_s_service_has_the_family_of_the_vip() -> None:
    assert service(MARKED).key == ServiceKey.of_mark(5)
    six = replace(MARKED, address=VIP6, servers=(replace(SERVER, address=RIP6),))
    assert service(six).key == ServiceKey.of_mark(5, 6)
    layout = laid_out(replace(six, servers=(SERVER,)))
    assert "for a VIP of the other family" in layout.refusals[0].reason


@pytest.mark.parametrize(
    ("networks", "version"), [(("10.0.0.0/8",), 4), (("::/0",), 6), (("::/0", "0.0.0.0/0"), 4), ((), 4)]
)
def test_without_a_vip_the_mark_s_blocks_say_the_family(networks: tuple[str, ...], version: int) -> None:
    block = MarkBlock(mark=5, addresses=tuple(map(ip_network, networks)))
    layout = laid_out(replace(MARKED, address=None, servers=()), marks=(block,))
    assert layout.services[0].service.key == ServiceKey.of_mark(5, version)


def test_one_mark_may_have_a_service_of_each_family() -> None:
    six = replace(MARKED, name="six", address=VIP6, servers=())
    layout = lay_out(Configuration(virtuals=(MARKED, six, replace(MARKED, name="again"))), ABLE)
    assert [str(s.service.key) for s in layout.services] == ["fwmark 5", "fwmark 5 ipv6"]
    assert str(layout.refusals[0]).startswith("virtual again: fwmark 5 already belongs to virtual V: ")


@pytest.mark.parametrize(
    ("virtual", "network", "port", "expected", "warned"),
    [
        (MARKED, NAT, 8080, 0, False),
        (MARKED, NAT, 9090, 9090, False),
        (MARKED, NAT, 0, 0, False),
        (MARKED, DIRECT, 9090, 0, False),
        (replace(MARKED, persistent_s=300), NAT, 9090, 0, True),
        (replace(MARKED, persistent_s=300), NAT, 8080, 0, False),
    ],
)
def test_packets_of_a_mark_keep_their_port_unless_the_server_has_one_of_its_own(
    virtual: VirtualServer, network: ForwardingMethod, port: int, expected: int, warned: bool
) -> None:
    layout = laid_out(replace(virtual, servers=(replace(SERVER, port=port),)), network)
    (planned,) = layout.services
    assert planned.members[0].fit.key.port == expected
    assert bool(layout.warnings) is warned
    (target,) = targets_of(layout).values()
    assert target.checks[0].probe.port == (port or 8080)


def test_the_protocol_and_check_of_a_mark_are_the_virtual_server_s() -> None:
    datagrams = replace(MARKED, protocol=Protocol.UDP, one_packet=True)
    assert service(datagrams).one_packet
    (target,) = targets_of(laid_out(datagrams)).values()
    assert (target.checks[0].probe.protocol, target.checks[0].probe.address) == (Protocol.UDP, RIP4)


def test_the_layout_has_the_rules_of_all_blocks() -> None:
    text = "mark 80 {\naddress = 10.0.0.100\nprotocol = tcp\nport = [ 80 443 ]\n}\nmark 5 {\naddress = ::/0\n}\n"
    layout = lay_out(parse(text).configuration, ABLE)
    vip = ip_network("10.0.0.100")
    assert layout.mark_rules == (
        MarkRule(mark=80, network=vip, protocol=Protocol.TCP, first_port=80, last_port=80),
        MarkRule(mark=80, network=vip, protocol=Protocol.TCP, first_port=443, last_port=443),
        MarkRule(mark=5, network=ip_network("::/0")),
    )
