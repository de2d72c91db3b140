from __future__ import annotations

from ipaddress import ip_address

import pytest

from piranha.base.errors import PiranhaError
from piranha.cluster.heartbeat import Place
from piranha.config.parser import parse
from piranha.pulse.reading import PulseConfiguration, of_configuration
from piranha.pulse.who import who_are_we

PAIR = """
primary = 192.0.2.1
primary_private = 10.0.0.1
backup = 192.0.2.2
backup_private = 10.0.0.2
backup_active = 1
heartbeat_port = 1539
network = nat
nat_router = 10.0.0.254 eth1:1
nat_nmask = 255.255.255.0
active_cmd = "/bin/true now"
profile = fast
failback = 1
virtual a {
active = 1
address = 192.0.2.100 eth0:1
port = 80
server s { address = 10.0.0.11
active = 1
}
}
virtual b {
active = 1
address = 192.0.2.100 eth0:2
port = 443
}
virtual c {
active = 0
address = 192.0.2.101 eth0:3
port = 443
}
"""


def configuration(text: str = PAIR) -> PulseConfiguration:
    return of_configuration(parse(text).configuration)


def devices(**given: str) -> dict[object, str]:
    return {ip_address(address): device for device, address in given.items()}


def test_the_primary_has_a_link_for_each_pair_of_addresses() -> None:
    who = who_are_we(configuration(), devices(eth0="192.0.2.1", eth1="10.0.0.1"))
    assert who.place is Place.PRIMARY
    assert [(str(link.ours), str(link.theirs), link.device) for link in who.links] == [
        ("192.0.2.1", "192.0.2.2", "eth0"),
        ("10.0.0.1", "10.0.0.2", "eth1"),
    ]


def test_the_backup_is_found_by_any_of_its_addresses() -> None:
    who = who_are_we(configuration(), devices(eth1="10.0.0.2", lo="127.0.0.1"))
    assert who.place is Place.SECONDARY
    assert [str(link.theirs) for link in who.links] == ["10.0.0.1"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (devices(eth0="192.0.2.9"), "none of the directors' addresses"),
        (devices(eth0="192.0.2.1", eth1="10.0.0.2"), "two hosts"),
    ],
)
def test_guessing_is_refused(given: dict[object, str], said: str) -> None:
    with pytest.raises(PiranhaError, match=said):
        who_are_we(configuration(), given)


def test_two_ip_versions_are_refused() -> None:
    text = "primary = 192.0.2.1\nbackup = 2001:db8::2\nbackup_active = 1\n"
    with pytest.raises(PiranhaError, match="two IP versions"):
        who_are_we(configuration(text), devices(eth0="192.0.2.1"))


def test_without_a_backup_the_director_stands_alone() -> None:
    who = who_are_we(configuration("primary = 192.0.2.1\nbackup_active = 0\n"), devices(eth0="192.0.2.9"))
    assert (who.place, who.links) == (Place.PRIMARY, ())


def test_what_pulse_takes_from_the_file() -> None:
    taken = configuration()
    assert [(str(one.address), one.device, one.prefix_length) for one in taken.floating] == [
        ("10.0.0.254", "eth1:1", 24),
        ("192.0.2.100", "eth0:1", 32),
    ]
    assert (taken.heartbeat_port, taken.sealed, taken.profile, taken.failback) == (1539, True, "fast", True)
    assert (taken.keepalive_s, taken.deadtime_s, taken.active_cmd) == (None, None, "/bin/true now")


def test_the_reader_hands_it_over_as_text() -> None:
    taken = configuration()
    assert PulseConfiguration.from_json(taken.to_json()) == taken
    for damaged in ("{}", "[]", "x", '{"primary": 1}'):
        with pytest.raises(ValueError, match=r"."):
            PulseConfiguration.from_json(damaged)
