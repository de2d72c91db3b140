"""Which addresses the pair link joins."""

from __future__ import annotations

from ipaddress import ip_address

from piranha.config.parser import parse
from piranha.model.configuration import Configuration
from piranha.replication.ends import ends_of

PAIR = "primary = 192.0.2.1\nbackup = 192.0.2.2\nbackup_active = 1\n"
PRIVATE = "primary_private = 10.0.0.1\nbackup_private = 10.0.0.2\n"


def configuration(text: str) -> Configuration:
    return parse(text, file="lvs.cf").configuration


def ways(text: str, *own: str) -> list[str] | None:
    ends = ends_of(configuration(text), frozenset(ip_address(address) for address in own))
    return None if ends is None else [f"{local} {peer}" for local, peer in ends.ways]


def test_each_director_finds_its_place_by_its_addresses() -> None:
    assert ways(PAIR + PRIVATE, "192.0.2.1", "10.0.0.1") == ["10.0.0.1 10.0.0.2", "192.0.2.1 192.0.2.2"]
    assert ways(PAIR + PRIVATE, "192.0.2.2", "10.0.0.2") == ["10.0.0.2 10.0.0.1", "192.0.2.2 192.0.2.1"]
    assert ways(PAIR, "192.0.2.2") == ["192.0.2.2 192.0.2.1"]


def test_an_address_that_is_not_here_is_no_way() -> None:
    assert ways(PAIR + PRIVATE, "192.0.2.1") == ["192.0.2.1 192.0.2.2"]


def test_there_is_no_link_without_a_pair() -> None:
    assert ways(PAIR, "192.0.2.9") is None
    assert ways(PAIR.replace("backup_active = 1", "backup_active = 0"), "192.0.2.1") is None
    assert ways("primary = 192.0.2.1\n", "192.0.2.1") is None
    assert ways(PAIR, "192.0.2.1", "192.0.2.2") is None


def test_the_port_is_beside_the_heartbeats() -> None:
    own = frozenset({ip_address("192.0.2.1")})
    for line, port in (
        ("", 540),
        ("heartbeat_port = 600\n", 601),
        ("heartbeat_port = 65535\n", 65534),
        ("pair_port = 7\n", 7),
    ):
        ends = ends_of(configuration(line + PAIR), own)
        assert ends is not None
        assert ends.port == port
