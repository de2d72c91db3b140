"""The lab as a value, and the commands that build it."""

from __future__ import annotations

import pytest

from piranha.lab.network import cable_lines, node_lines, switch_end
from piranha.lab.options import MAX_REAL_SERVERS, LabOptions
from piranha.lab.topology import VIP4, VIP6, Role, is_lab_namespace, plan_topology
from piranha.model.service import ForwardingMethod


def topology(forward: ForwardingMethod = ForwardingMethod.DIRECT, real_servers: int = 2):  # type: ignore[no-untyped-def]
    return plan_topology(LabOptions(forward=forward, real_servers=real_servers))


def test_the_articles_cluster() -> None:
    lab = topology()
    assert lab.namespaces == ("plab-sw", "plab-client", "plab-lb1", "plab-web1", "plab-web2")
    assert [str(lab.node(n).address(4)) for n in ("client", "lb1", "web1", "web2")] == [
        "10.0.0.50", "10.0.0.2", "10.0.0.11", "10.0.0.12",
    ]  # fmt: skip
    assert str(lab.node("web2").address(6)) == "fd00:10::12"
    assert lab.vips == (VIP4, VIP6)


@pytest.mark.parametrize("forward", list(ForwardingMethod))
def test_the_directors_of_a_pair_have_addresses_of_their_own_and_no_vip(forward: ForwardingMethod) -> None:
    lab = plan_topology(LabOptions(forward=forward, directors=2))
    assert lab.is_pair
    assert [str(node.address(4)) for node in lab.directors] == ["10.0.0.2", "10.0.0.3"]
    assert not any(port.vips for node in lab.directors for port in node.ports)
    gateways = {gateway for node in lab.real_servers for gateway in node.gateways}
    own = {i.ip for node in lab.directors for port in node.ports for i in port.addresses}
    assert not gateways & own
    assert bool(gateways) == (forward is ForwardingMethod.MASQUERADE)


@pytest.mark.parametrize("forward", [ForwardingMethod.DIRECT, ForwardingMethod.TUNNEL])
def test_one_network_without_masquerading(forward: ForwardingMethod) -> None:
    lab = topology(forward)
    assert lab.networks == ("net0",)
    assert {port.network for node in lab.nodes for port in node.ports} == {"net0"}
    assert all(not node.gateways for node in lab.nodes)


def test_masquerading_needs_the_director_as_gateway() -> None:
    lab = topology(ForwardingMethod.MASQUERADE)
    director = lab.node("lb1")
    assert [port.network for port in director.ports] == ["net0", "net1"]
    inside = {i.ip for i in director.ports[1].addresses}
    for server in lab.real_servers:
        assert set(server.gateways) == inside
        assert all(i.network in {j.network for j in director.ports[1].addresses} for i in server.ports[0].addresses)


@pytest.mark.parametrize("forward", list(ForwardingMethod))
def test_no_two_nodes_share_an_address_however_many_there_are(forward: ForwardingMethod) -> None:
    lab = topology(forward, MAX_REAL_SERVERS)
    every = [i.ip for node in lab.nodes for port in node.ports for i in port.addresses]
    every += list(lab.vips)
    assert len(every) == len(set(every))
    assert len(lab.real_servers) == MAX_REAL_SERVERS


def test_every_cable_has_its_own_end_in_the_switch() -> None:
    lab = topology(ForwardingMethod.MASQUERADE, 5)
    ends = [switch_end(node, port) for node in lab.nodes for port in node.ports]
    assert len(ends) == len(set(ends))
    assert all(len(end) <= 15 for end in ends)


def test_only_the_director_forwards_and_has_the_vip_on_a_device() -> None:
    lab = topology()
    for node in lab.nodes:
        forwards = ("net.ipv4.ip_forward", "1") in node.sysctls
        assert forwards == (node.role is Role.DIRECTOR)
        assert any(port.vips for port in node.ports) == (node.role is Role.DIRECTOR)


def test_ipv6_addresses_skip_duplicate_detection_and_the_vip_is_never_a_source() -> None:
    lines = node_lines(topology().node("lb1"))
    v6 = [line for line in lines if "fd00" in line]
    assert v6
    assert all(" nodad" in line for line in v6)
    assert "addr add fd00:10::100/128 dev eth0 nodad preferred_lft 0" in lines
    assert "addr add 10.0.0.100/32 dev eth0 label eth0:0" in lines


def test_tunnelled_servers_leave_room_for_the_outer_header() -> None:
    lines = node_lines(topology(ForwardingMethod.TUNNEL).node("web1"))
    assert sum("advmss 1400" in line for line in lines) == 2
    assert not any("advmss" in line for line in node_lines(topology().node("web1")))


def test_a_cable_begins_in_the_switch_and_ends_in_the_node() -> None:
    lab = topology()
    node = lab.node("web1")
    assert cable_lines(node, node.ports[0], "plab-web1") == [
        "link add web1 type veth peer name eth0 netns plab-web1",
        "link set web1 master net0 up",
    ]


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("plab-sw", True), ("plab-client", True), ("plab-lb1", True), ("plab-lb2", True), ("plab-web60", True),
        ("plab-", False), ("plab-web", False), ("plab-web0", False), ("plab-database", False), ("plab-web1x", False),
        ("plab2-web1", False), ("xplab-web1", False), ("web1", False),
    ],
)  # fmt: skip
def test_what_down_may_remove(name: str, ours: bool) -> None:
    assert is_lab_namespace(name, "plab-") is ours
