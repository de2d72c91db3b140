from ipaddress import ip_address

import pytest

from piranha.model.check import Probe, VerdictRules
from piranha.model.configuration import RealServer, VirtualServer
from piranha.model.service import Protocol
from piranha.monitor.rules import HTTP_EXPECT, HTTP_SEND, SHORTEST_S, probe_of

WEB1 = RealServer(name="webserver1", address=ip_address("10.0.0.11"), active=True, port=80)


def probe(server: RealServer = WEB1, **directives: object) -> Probe:
    return probe_of(VirtualServer(name="v", **directives), server)[0]  # type: ignore[arg-type]


def rules(**directives: object) -> VerdictRules:
    return probe_of(VirtualServer(name="v", **directives), WEB1)[1]  # type: ignore[arg-type]


def test_listing_1_of_the_article() -> None:
    virtual = VirtualServer(
        name="virtual", port=80, send=r'"GET / HTTP/1.0\r\n\r\n"', expect='"HTTP"', timeout_s=6, reentry_s=15
    )
    assert probe_of(virtual, WEB1) == (
        Probe(
            address=ip_address("10.0.0.11"),
            port=80,
            protocol=Protocol.TCP,
            timeout_s=6,
            send=b"GET / HTTP/1.0\r\n\r\n",
            expect=b"HTTP",
        ),
        VerdictRules(interval_s=6, rise=2, fall=1),
    )


def test_http_default_follows_the_port_of_the_virtual_server() -> None:
    assert (probe().send, probe().expect) == (HTTP_SEND, HTTP_EXPECT)
    elsewhere = RealServer(name="w", address=WEB1.address, port=8080)
    assert probe(elsewhere).expect == HTTP_EXPECT
    assert probe(port=8080).expect is None


@pytest.mark.parametrize(
    "directives",
    [{"send": "x"}, {"expect": "x"}, {"send_program": "/bin/check %h"}, {"protocol": Protocol.UDP}, {"port": 81}],
)
def test_no_http_default_when_anything_is_set(directives: dict[str, object]) -> None:
    assert probe(**directives).send != HTTP_SEND


def test_star_is_anything_and_empty_is_not_unset() -> None:
    assert probe(expect='"*"').expect_any
    assert probe(expect="*").expect is None
    assert probe(expect="**").expect == b"**"
    assert probe(expect='""').expect == b""
    assert probe(send="x").expect is None


def test_regex_applies_only_where_there_is_a_pattern() -> None:
    assert probe(expect=r"^HTTP/1\.[01] 200", use_regex=True).use_regex
    assert probe(expect=r"^HTTP/1\.[01] 200", use_regex=True).expect == rb"^HTTP/1\.[01] 200"
    assert not probe(expect="*", use_regex=True).use_regex
    assert not probe(port=81, use_regex=True).use_regex


def test_program_is_split_on_blanks_and_send_is_ignored() -> None:
    got = probe(send_program='"/usr/bin/dig\t@%h  http://%h/ %p"', send="x", expect="OK")
    assert got.program == ("/usr/bin/dig", "@%h", "http://%h/", "%p")
    assert got.send is None
    assert got.expect == b"OK"


def test_an_empty_program_is_none() -> None:
    assert probe(send_program='""').program == ()
    assert probe(send_program='""').expect == HTTP_EXPECT


@pytest.mark.parametrize(
    ("directives", "expected"),
    [
        ({}, VerdictRules(interval_s=10, rise=18)),
        ({"timeout_s": 10, "reentry_s": 5}, VerdictRules(interval_s=10, rise=1)),
        ({"timeout_s": 6, "reentry_s": 17.9}, VerdictRules(interval_s=6, rise=2)),
        ({"timeout_s": 0.1, "reentry_s": 0.3}, VerdictRules(interval_s=0.1, rise=3)),
        ({"timeout_s": 2, "reentry_s": 10, "interval_s": 5}, VerdictRules(interval_s=5, rise=2)),
        ({"rise": 4, "fall": 3}, VerdictRules(interval_s=10, rise=4, fall=3)),
        ({"timeout_s": 0, "reentry_s": 0}, VerdictRules(interval_s=SHORTEST_S, rise=1)),
        ({"timeout_s": -5, "reentry_s": -7, "rise": 0, "fall": -1}, VerdictRules(interval_s=SHORTEST_S, rise=1)),
    ],
)
def test_rules(directives: dict[str, object], expected: VerdictRules) -> None:
    assert rules(**directives) == expected


def test_interval_does_not_change_the_deadline() -> None:
    assert probe(timeout_s=3, interval_s=30).timeout_s == 3


def test_ipv6_and_equal_checks() -> None:
    server = RealServer(name="six", address=ip_address("2001:db8::1"), port=25)
    assert probe(server, expect="220").address == ip_address("2001:db8::1")
    assert probe(server, expect="220") == probe(server, expect='"220"', reentry_s=5)


def test_a_server_without_an_address_cannot_be_checked() -> None:
    with pytest.raises(ValueError, match="has no address"):
        probe(RealServer(name="nobody"))
