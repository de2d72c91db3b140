"""Mark blocks flattened to rules, and which rules share packets."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piranha.model.mark import MarkBlock, MarkRule, PortRange, rules_of
from piranha.model.service import Protocol


def rule(network: str, protocol: Protocol = Protocol.IP, first: int = 0, last: int = 65535, mark: int = 1) -> MarkRule:
    return MarkRule(mark=mark, network=ip_network(network), protocol=protocol, first_port=first, last_port=last)


def test_every_address_with_every_port_in_the_order_of_the_file() -> None:
    web = MarkBlock(
        mark=80,
        addresses=(ip_network("10.0.0.1"), ip_network("2001:db8::/64")),
        protocol=Protocol.TCP,
        ports=(PortRange(80, 80), PortRange(8000, 8010)),
    )
    rest = MarkBlock(mark=1, addresses=(ip_network("0.0.0.0/0"),))
    assert [str(one) for one in rules_of((web, MarkBlock(mark=7), rest))] == [
        "mark 80: tcp 10.0.0.1 port 80",
        "mark 80: tcp 10.0.0.1 port 8000-8010",
        "mark 80: tcp 2001:db8::/64 port 80",
        "mark 80: tcp 2001:db8::/64 port 8000-8010",
        "mark 1: 0.0.0.0/0",
    ]


def test_ports_without_a_protocol_are_those_of_the_protocols_that_have_some() -> None:
    block = MarkBlock(mark=5, addresses=(ip_network("10.0.0.1"),), ports=(PortRange(53, 53),))
    assert [one.protocol for one in rules_of((block,))] == [Protocol.TCP, Protocol.UDP, Protocol.SCTP]


@pytest.mark.parametrize(
    ("one", "other", "overlap", "covered"),
    [
        (rule("10.0.0.0/24"), rule("10.0.0.9", Protocol.TCP, 80, 80), True, True),
        (rule("10.0.0.9", Protocol.TCP, 80, 80), rule("10.0.0.0/24"), True, False),
        (rule("10.0.0.9", Protocol.TCP, 1, 80), rule("10.0.0.9", Protocol.TCP, 80, 90), True, False),
        (rule("10.0.0.9", Protocol.TCP, 1, 79), rule("10.0.0.9", Protocol.TCP, 80, 90), False, False),
        (rule("10.0.0.9", Protocol.TCP), rule("10.0.0.9", Protocol.UDP), False, False),
        (rule("0.0.0.0/0"), rule("::/0"), False, False),
        (rule("10.0.0.0/25"), rule("10.0.0.128/25"), False, False),
    ],
)
def test_rules_that_share_packets(one: MarkRule, other: MarkRule, overlap: bool, covered: bool) -> None:
    assert one.overlaps(other) is other.overlaps(one) is overlap
    assert one.covers(other) is covered


RULES = st.builds(
    MarkRule,
    mark=st.just(1),
    network=st.tuples(st.integers(0, 7), st.integers(29, 32)).map(
        lambda pair: ip_network((0x0A000000 + pair[0], pair[1]), strict=False)
    ),
    protocol=st.sampled_from(Protocol),
    first_port=st.integers(1, 4),
    last_port=st.integers(1, 4),
)


@given(RULES, RULES)
def test_overlap_and_cover_are_those_of_the_packets(one: MarkRule, other: MarkRule) -> None:
    def packets(of: MarkRule) -> set[tuple[int, Protocol, int]]:
        protocols = tuple(Protocol) if of.protocol is Protocol.IP else (of.protocol,)
        ports = range(of.first_port, of.last_port + 1)
        return {(int(address), p, port) for address in of.network for p in protocols for port in ports}

    if one.first_port > one.last_port or other.first_port > other.last_port:
        return
    assert one.overlaps(other) is bool(packets(one) & packets(other))
    assert one.covers(other) is (packets(other) <= packets(one))
