"""The desired table from configuration and health."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from piranha.config.parser import parse
from piranha.dataplane.port import Capabilities
from piranha.director.admission import Admission, Facts
from piranha.director.desired import desired_entries
from piranha.director.layout import Layout, lay_out
from piranha.model.configuration import (
    Configuration,
    DeviceAddress,
    RealServer,
    SchedulerFlagWord,
    ServiceMode,
    VirtualServer,
)
from piranha.model.health import Health
from piranha.model.service import Destination, DestinationKey, ForwardingMethod, Protocol
from piranha.monitor.target import TargetKey

CAPABLE = Capabilities(schedulers=frozenset({"rr", "wlc"}))
WEB1 = RealServer(name="web1", address=ip_address("10.0.0.11"), active=True, weight=3)
WEB2 = RealServer(name="web2", address=ip_address("10.0.0.12"), active=True)
HTTP = VirtualServer(
    name="HTTP",
    active=True,
    address=DeviceAddress(address=ip_address("10.0.0.100"), device="eth0:1"),
    servers=(WEB1, WEB2),
)


def configuration(*virtuals: VirtualServer, network: ForwardingMethod = ForwardingMethod.DIRECT) -> Configuration:
    return Configuration(network=network, virtuals=virtuals)


def pool(layout: Layout, *verdicts: Health, held: dict[int, bool] | None = None) -> list[tuple[str, int]]:
    """Destinations and weights of the first service, with a verdict for each of its members in order."""
    members = layout.services[0].members
    health = {m.key: v for m, v in zip(members, verdicts, strict=True) if v is not Health.UNKNOWN}
    holds = {members[n].key: weighted for n, weighted in (held or {}).items()}
    admitted = Admission().decide(layout, Facts(health=health, held=holds, advised={}), 0.0)
    return [(str(d.key), d.weight) for d in desired_entries(layout, admitted)[0].destinations]


UP, DOWN, UNKNOWN = Health.UP, Health.DOWN, Health.UNKNOWN


@pytest.mark.parametrize(
    ("verdicts", "quiesce", "expected"),
    [
        ((UP, UP), False, [("10.0.0.11:80", 3), ("10.0.0.12:80", 1)]),
        ((UP, DOWN), False, [("10.0.0.11:80", 3)]),
        ((DOWN, UP), True, [("10.0.0.11:80", 0), ("10.0.0.12:80", 1)]),
        ((UNKNOWN, UP), True, [("10.0.0.12:80", 1)]),
        ((UNKNOWN, UNKNOWN), False, []),
    ],
)
def test_health_decides_who_is_in_the_pool(
    verdicts: tuple[Health, Health], quiesce: bool, expected: list[tuple[str, int]]
) -> None:
    layout = lay_out(configuration(replace(HTTP, quiesce_server=quiesce)), CAPABLE)
    assert pool(layout, *verdicts) == expected


def test_configured_weight_zero_is_quiesced() -> None:
    layout = lay_out(configuration(replace(HTTP, servers=(replace(WEB1, weight=0),))), CAPABLE)
    assert pool(layout, UP) == [("10.0.0.11:80", 0)]


@pytest.mark.parametrize(
    ("verdicts", "quiesce", "expected"),
    [
        ((UP, DOWN), False, [("10.0.0.11:80", 3)]),
        ((DOWN, DOWN), False, [("10.0.0.99:80", 1)]),
        ((DOWN, DOWN), True, [("10.0.0.11:80", 0), ("10.0.0.12:80", 0), ("10.0.0.99:80", 1)]),
        ((UNKNOWN, UNKNOWN), False, [("10.0.0.99:80", 1)]),
    ],
)
def test_the_sorry_server_stands_in_when_no_real_server_is_up(
    verdicts: tuple[Health, Health], quiesce: bool, expected: list[tuple[str, int]]
) -> None:
    virtual = replace(HTTP, sorry_server=ip_address("10.0.0.99"), quiesce_server=quiesce)
    assert pool(lay_out(configuration(virtual), CAPABLE), *verdicts) == expected


def test_a_quiesced_real_server_may_be_the_sorry_server() -> None:
    virtual = replace(HTTP, sorry_server=WEB1.address, quiesce_server=True)
    layout = lay_out(configuration(virtual), CAPABLE)
    assert pool(layout, DOWN, DOWN) == [("10.0.0.12:80", 0), ("10.0.0.11:80", 1)]
    assert pool(layout, UP, DOWN) == [("10.0.0.11:80", 3), ("10.0.0.12:80", 0)]


def test_the_sorry_server_stands_in_for_servers_of_weight_zero() -> None:
    virtual = replace(HTTP, sorry_server=ip_address("10.0.0.99"), servers=(replace(WEB1, weight=0),))
    assert pool(lay_out(configuration(virtual), CAPABLE), UP) == [("10.0.0.11:80", 0), ("10.0.0.99:80", 1)]


def test_a_held_member_stays_as_it_is_until_its_verdict() -> None:
    layout = lay_out(configuration(HTTP), CAPABLE)
    assert pool(layout, UNKNOWN, UNKNOWN, held={0: True, 1: False}) == [("10.0.0.11:80", 3), ("10.0.0.12:80", 0)]
    assert pool(layout, DOWN, UP, held={0: True, 1: False}) == [("10.0.0.12:80", 1)]


def test_forwarding_method_from_the_server_or_the_network() -> None:
    virtual = replace(HTTP, servers=(replace(WEB1, forward=ForwardingMethod.TUNNEL), WEB2))
    layout = lay_out(configuration(virtual, network=ForwardingMethod.MASQUERADE), CAPABLE)
    assert [m.fit.method for m in layout.services[0].members] == [
        ForwardingMethod.TUNNEL,
        ForwardingMethod.MASQUERADE,
    ]


def test_masquerading_keeps_the_servers_port_and_the_other_methods_the_virtuals() -> None:
    virtual = replace(
        HTTP,
        servers=(replace(WEB1, port=8080), replace(WEB2, port=8080, forward=ForwardingMethod.MASQUERADE)),
    )
    layout = lay_out(configuration(virtual), CAPABLE)
    assert pool(layout, UP, UP) == [("10.0.0.11:80", 3), ("10.0.0.12:8080", 1)]
    (warning,) = layout.warnings
    assert "virtual HTTP, server web1: port = 8080" in warning


def test_inactive_things_are_not_switched() -> None:
    layout = lay_out(
        configuration(
            replace(HTTP, servers=(replace(WEB1, active=False), WEB2)), replace(HTTP, name="off", port=81, active=False)
        ),
        CAPABLE,
    )
    assert [s.virtual.name for s in layout.services] == ["HTTP"]
    assert pool(layout, UP) == [("10.0.0.12:80", 1)]
    assert layout.refusals == ()


@pytest.mark.parametrize(
    ("virtual", "text"),
    [
        (
            replace(HTTP, scheduler="lblc"),
            "virtual HTTP: scheduler = lblc is not in this data plane: choose one that it has (rr, wlc)",
        ),
        (replace(HTTP, persistent_s=300), "virtual HTTP: persistent = 300 cannot be kept by this data plane: remove"),
        (replace(HTTP, fwmark=7), "virtual HTTP: fwmark = 7 cannot be switched by this data plane: remove"),
        (replace(HTTP, address=None), "virtual HTTP: it has no address: add address = VIP DEVICE"),
        (replace(HTTP, port=0), "virtual HTTP: port = 0 (every port) needs persistence"),
        (replace(HTTP, port=0, persistent_s=300), "virtual HTTP: port = 0 (every port) cannot be switched"),
        (replace(HTTP, protocol=Protocol.SCTP), "virtual HTTP: protocol = sctp cannot be switched by this data plane"),
        (
            replace(HTTP, protocol=Protocol.UDP, one_packet=True),
            "virtual HTTP: one_packet = 1 cannot be switched by this data plane: remove the line",
        ),
        (replace(HTTP, one_packet=True), "virtual HTTP: one_packet is for UDP and firewall marks, not for tcp"),
        (
            replace(HTTP, scheduler_flags=(SchedulerFlagWord.FLAG_1,)),
            "virtual HTTP: scheduler_flags = [ flag-1 ] are not in this data plane",
        ),
        (
            replace(HTTP, scheduler_flags=(SchedulerFlagWord.SH_PORT,)),
            "virtual HTTP: sh-port is a flag of scheduler sh, not of wlc: remove it, or write scheduler = sh",
        ),
        (replace(HTTP, persistence_engine="sip"), "virtual HTTP: persistence_engine = sip needs persistence"),
    ],
    ids=lambda case: str(case)[13:40] if isinstance(case, str) else "",
)
def test_what_the_plane_cannot_do_is_refused_by_name_and_the_rest_served(virtual: VirtualServer, text: str) -> None:
    layout = lay_out(configuration(virtual, replace(HTTP, name="other", port=81)), CAPABLE)
    (refusal,) = layout.refusals
    assert str(refusal).startswith(text)
    assert [s.virtual.name for s in layout.services] == ["other"]


def test_a_capable_plane_refuses_less() -> None:
    able = Capabilities(schedulers=frozenset({"wlc"}), persistence=True, firewall_marks=True)
    layout = lay_out(configuration(replace(HTTP, persistent_s=300), replace(HTTP, port=81, fwmark=1)), able)
    assert layout.refusals == ()


def test_the_first_of_two_equal_services_wins() -> None:
    layout = lay_out(configuration(HTTP, replace(HTTP, name="again", scheduler="rr")), CAPABLE)
    assert [s.virtual.name for s in layout.services] == ["HTTP"]
    assert str(layout.refusals[0]).startswith("virtual again: tcp 10.0.0.100:80 already belongs to virtual HTTP: ")


def test_the_first_of_two_equal_servers_wins() -> None:
    virtual = replace(HTTP, servers=(WEB1, replace(WEB1, name="twin", port=8080)))
    layout = lay_out(configuration(virtual), CAPABLE)
    assert pool(layout, UP) == [("10.0.0.11:80", 3)]
    assert str(layout.refusals[0]).startswith("virtual HTTP, server twin: 10.0.0.11:80 is already server web1: ")


def test_a_server_without_address_costs_only_itself() -> None:
    layout = lay_out(configuration(replace(HTTP, servers=(replace(WEB1, address=None), WEB2))), CAPABLE)
    assert pool(layout, UP) == [("10.0.0.12:80", 1)]
    assert str(layout.refusals[0]).startswith("virtual HTTP, server web1: it has no address: ")


def test_only_a_tunnel_joins_the_address_families() -> None:
    six = replace(WEB1, address=ip_address("2001:db8::11"))
    virtual = replace(
        HTTP,
        servers=(six, replace(six, name="far", forward=ForwardingMethod.TUNNEL)),
        sorry_server=ip_address("2001:db8::99"),
    )
    layout = lay_out(configuration(virtual), CAPABLE)
    assert pool(layout, UP) == [("[2001:db8::11]:80", 3)]
    assert [r.server for r in layout.refusals] == ["web1", ""]
    assert "sorry_server = 2001:db8::99" in layout.refusals[1].reason


def test_fos_switches_nothing_and_says_so() -> None:
    layout = lay_out(replace(configuration(HTTP), service=ServiceMode.FOS), CAPABLE)
    assert layout.services == ()
    assert layout.warnings[0].startswith("service = fos")


def test_the_key_of_a_member_is_what_the_table_holds() -> None:
    layout = lay_out(configuration(replace(HTTP, servers=(replace(WEB1, port=8080),))), CAPABLE)
    (member,) = layout.services[0].members
    assert member.key == TargetKey(
        service=layout.services[0].service.key,
        destination=DestinationKey(address=ip_address("10.0.0.11"), port=80),
    )
    assert member.server.port == 8080
    assert member.quiesced == Destination(key=member.fit.key, method=ForwardingMethod.DIRECT, weight=0)


def test_refusals_and_warnings_name_the_line() -> None:
    text = (
        "primary = 10.0.0.1\nnetwork = direct\nvirtual A {\n active = 1\n address = 10.0.0.100 eth0:1\n port = 80\n"
        " scheduler = rr\n server s {\n  active = 1\n  address = 10.0.0.11\n  port = 81\n }\n}\n"
        "virtual B {\n active = 1\n address = 10.0.0.101 eth0:2\n scheduler = lblc\n}\n"
    )
    parsed = parse(text)
    assert parsed.is_usable
    layout = lay_out(parsed.configuration, CAPABLE, parsed.places)
    assert str(layout.refusals[0]).startswith("virtual B (line 17): scheduler = lblc")
    assert layout.warnings[0].startswith("virtual A, server s (line 11): port = 81")
