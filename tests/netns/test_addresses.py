"""VIPs on real devices: raised, put back, lowered; announced to a neighbour's cache, asked for on the wire.

The picture is in two_hosts.py.
"""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from piranha.pulse.addresses import OURS, Addresses, CarriedAddress, Change
from piranha.pulse.announce import FRAMES_AT_ONCE, Announcer
from piranha.pulse.links import LOOK_AT_MOST_EVERY_NS, Links
from piranha.pulse.probe import Prober, Sighting
from tests.netns.two_hosts import DIRECTOR, NEIGHBOUR, VIP, Asker, TwoHosts, mac_of, two_hosts, wait_for

NOW = 10**12


def carry(address: str, device: str = "eth0", prefix: int | None = None) -> CarriedAddress:
    ip = ip_address(address)
    return CarriedAddress(address=ip, device=device, prefix_length=ip.max_prefixlen if prefix is None else prefix)


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[TwoHosts]:
    with two_hosts(tmp_path, "pa") as made:
        yield made


@pytest.fixture
def links(hosts: TwoHosts) -> Iterator[Links]:
    links = hosts.inside(hosts.director, Links)
    yield links
    links.close()


def shown(host: str, device: str = "eth0") -> dict[str, dict[str, Any]]:
    """`ip addr` of a device, by address."""
    out = subprocess.run(["ip", "-n", host, "-d", "-j", "addr", "show", "dev", device], capture_output=True, check=True)
    return {row["local"]: row for row in json.loads(out.stdout)[0]["addr_info"]}


def news(links: Links, clock: list[int]) -> None:
    """Wait for a notification and take it in, later than the last look."""
    select.select([links], [], [], 30)
    clock[0] += LOOK_AT_MOST_EVERY_NS
    links.read(clock[0])


def test_raised_put_back_and_lowered(hosts: TwoHosts, links: Links) -> None:
    wanted = [
        carry(VIP[4], "eth0:1", 24),
        carry("10.20.0.1", "eth0:2", 16),
        carry(VIP[6]),
        carry("fd20::1", "eth0", 64),
    ]
    addresses = Addresses(links, wanted)
    assert addresses.converge(NOW) == []
    before = shown(hosts.director)
    assert {c.change for c in hosts.inside(hosts.director, lambda: addresses.raise_all(NOW))} == {Change.RAISED}
    rows = shown(hosts.director)
    assert set(rows) == set(before) | {str(w.address) for w in wanted}
    assert (rows[VIP[4]]["label"], rows[VIP[4]]["prefixlen"], rows[VIP[4]]["broadcast"]) == ("eth0:1", 24, "10.9.0.255")
    assert (rows["10.20.0.1"]["label"], rows["10.20.0.1"]["broadcast"]) == ("eth0:2", "10.20.255.255")
    assert rows[VIP[6]]["prefixlen"] == 128
    for six in (VIP[6], "fd20::1"):
        assert rows[six]["nodad"]
        assert (rows[six]["preferred_life_time"], rows[six]["valid_life_time"]) == (0, 4294967295)
        assert not rows[six].get("tentative")
    assert {held.protocol for held in links.addresses if str(held.address) in {str(w.address) for w in wanted}} == {
        OURS
    }
    assert all(row.up and not row.foreign and not row.trouble for row in addresses.status())
    assert addresses.converge(NOW, look=True) == [], "nothing to do twice"

    clock = [NOW]
    hosts.ip(hosts.director, f"addr del {VIP[4]}/24 dev eth0", f"addr del {VIP[6]}/128 dev eth0")

    def restored() -> set[str]:
        news(links, clock)
        return {str(c.address) for c in addresses.converge(clock[0]) if c.change is Change.RESTORED}

    back: set[str] = set()
    while back != {VIP[4], VIP[6]}:
        back |= restored()
    assert set(shown(hosts.director)) == set(rows)

    lowered = addresses.lower_all(clock[0])
    assert {c.change for c in lowered} == {Change.LOWERED}
    assert shown(hosts.director) == before


def test_an_interface_that_goes_down_loses_nothing(hosts: TwoHosts, links: Links) -> None:
    """Linux takes IPv6 addresses off an interface that is set down."""
    addresses = Addresses(links, [carry(VIP[4]), carry(VIP[6])])
    addresses.raise_all(NOW)
    clock = [NOW]
    hosts.ip(hosts.director, "link set eth0 down", "link set eth0 up")
    while VIP[6] not in shown(hosts.director) or not links.links["eth0"].up:
        news(links, clock)
        addresses.converge(clock[0])
    assert {VIP[4], VIP[6]} <= set(shown(hosts.director))
    assert not shown(hosts.director)[VIP[6]].get("tentative")


def test_others_addresses_are_never_touched(hosts: TwoHosts, links: Links) -> None:
    hosts.ip(hosts.director, f"addr add {VIP[4]}/32 dev eth0")
    addresses = Addresses(links, [carry(VIP[4], "eth0:1", 24), carry("10.20.0.1", "eth0:2", 24)])
    (change,) = addresses.raise_all(NOW)
    assert (str(change.address), change.change) == ("10.20.0.1", Change.RAISED)
    assert [row.foreign for row in addresses.status()] == [True, False]
    # The VIP is the first of its network, somebody adds a second: the kernel would remove it with the first.
    hosts.ip(hosts.director, "addr add 10.20.0.9/24 dev eth0")
    promote = "net.ipv4.conf.eth0.promote_secondaries"
    subprocess.run(["ip", "netns", "exec", hosts.director, "sysctl", "-qw", f"{promote}=0"], check=True)
    hosts.inside(hosts.director, lambda: addresses.lower_all(NOW))
    rows = shown(hosts.director)
    assert rows[VIP[4]]["prefixlen"] == 32
    assert "10.20.0.9" in rows
    assert "10.20.0.1" not in rows
    said = subprocess.run(
        ["ip", "netns", "exec", hosts.director, "sysctl", "-n", promote], capture_output=True, text=True
    )
    assert said.stdout.strip() == "0"


def test_a_missing_device_is_named_and_served_when_it_comes(hosts: TwoHosts, links: Links) -> None:
    addresses = Addresses(links, [carry("10.30.0.1", "eth7:1"), carry(VIP[4], "eth0:a-label-that-is-too-long")])
    changes = addresses.raise_all(NOW)
    assert {c.change for c in changes} == {Change.FAILED}
    assert {c.why for c in changes} >= {"there is no interface eth7; it is raised when that appears"}
    assert addresses.converge(NOW + 1) == [], "said once"
    assert addresses.due_ns() is not None
    clock = [NOW]
    hosts.ip(hosts.director, "link add eth7 type veth peer name eth8")
    found: list[str] = []
    while not found:
        news(links, clock)
        found = [str(c.address) for c in addresses.converge(clock[0]) if c.change is Change.RAISED]
    assert found == ["10.30.0.1"]
    assert [bool(row.trouble) for row in addresses.status()] == [False, True]


def test_a_later_life_knows_its_own(hosts: TwoHosts, links: Links) -> None:
    Addresses(links, [carry(VIP[4]), carry("10.30.0.1")]).raise_all(NOW)
    later = Addresses(links, [carry(VIP[4], "eth0:1", 24)])
    changes = {(str(c.address), c.change) for c in later.raise_all(NOW)}
    assert changes == {(VIP[4], Change.LOWERED), (VIP[4], Change.RAISED), ("10.30.0.1", Change.LOWERED)}
    assert shown(hosts.director)[VIP[4]]["prefixlen"] == 24
    later.set_wanted([], NOW)
    assert VIP[4] not in shown(hosts.director)


def test_many_go_in_one_batch_and_a_fight_is_bounded(hosts: TwoHosts, links: Links) -> None:
    many = [carry(f"10.40.{n // 250}.{n % 250 + 1}") for n in range(300)]
    addresses = Addresses(links, many)
    assert len(addresses.raise_all(NOW)) == 300
    assert sum(row.up for row in addresses.status()) == 300
    assert len(addresses.lower_all(NOW)) == 300
    few = Addresses(links, [carry(VIP[4])])
    few.raise_all(NOW)
    restorations = 0
    for _ in range(60):
        hosts.inside(hosts.director, lambda: _delete(hosts, VIP[4]))
        restorations += len(few.converge(NOW + 1, look=True))
    assert 10 < restorations < 30
    due = few.due_ns()
    assert due is not None
    assert [c.change for c in few.converge(due, look=True)] == [Change.RESTORED]


def _delete(hosts: TwoHosts, address: str) -> None:
    with contextlib.suppress(Exception):
        hosts.ip(hosts.director, f"addr del {address}/32 dev eth0")


def test_links_tell_carrier_owner_and_bonds(hosts: TwoHosts, links: Links) -> None:
    assert links.carrier("eth0")
    assert not links.carrier("nothing")
    assert links.owner(ip_address(DIRECTOR[4])) == links.owner(ip_address(DIRECTOR[6])) == "eth0"
    assert links.owner(ip_address("192.0.2.1")) is None
    clock = [NOW]
    hosts.ip(hosts.neighbour, "link set eth0 down")
    while links.carrier("eth0"):
        news(links, clock)
    hosts.ip(hosts.neighbour, "link set eth0 up")
    while not links.carrier("eth0"):
        news(links, clock)
    try:
        hosts.ip(
            hosts.director,
            "link add bond0 type bond mode active-backup", "link add a type veth peer name ap",
            "link add b type veth peer name bp", "link set a master bond0", "link set b master bond0",
            "link set ap up", "link set bp up", "link set bond0 up",
        )  # fmt: skip
    except Exception as error:
        pytest.skip(f"this kernel makes no bond: {error}")
    wait_for(lambda: (links.look() or True) and links.carrier("bond0"), "the bond has a carrier")
    bond = links.links["bond0"]
    assert (bond.kind, set(bond.slaves)) == ("bond", {"a", "b"})
    assert bond.active_slave in ("a", "b")
    hosts.ip(hosts.director, f"link set {bond.active_slave}p down")
    wait_for(
        lambda: (links.look() or True) and links.links["bond0"].active_slave not in (bond.active_slave, ""),
        "it fails over",
    )
    assert links.carrier("bond0")
    hosts.ip(hosts.director, "link set ap down", "link set bp down")
    wait_for(lambda: (links.look() or True) and not links.carrier("bond0"), "no slave has a carrier")


# ---- announcements ----


def test_a_neighbour_with_a_stale_entry_learns_the_new_mac(hosts: TwoHosts, links: Links) -> None:
    """F40: entries of another MAC, usable ones, for each family."""
    old = "02:00:00:00:00:99"
    hosts.ip(
        hosts.neighbour, f"neigh replace {VIP[4]} lladdr {old} dev eth0 nud stale",
        f"neigh replace {VIP[6]} lladdr {old} dev eth0 nud stale",
    )  # fmt: skip
    announcer = hosts.inside(hosts.director, lambda: Announcer(links))
    announcer.announce([carry(VIP[4]), carry(VIP[6]), carry("10.9.0.8", "eth7")])
    assert announcer.pending
    assert old in _neighbours(hosts).values()
    announcer.send()
    assert not announcer.pending
    assert announcer.sent == 3
    own = hosts.inside(hosts.director, lambda: mac_of("eth0")).hex(":")
    wait_for(lambda: (_neighbours(hosts)[VIP[4]], _neighbours(hosts)[VIP[6]]) == (own, own), "both entries are ours")
    announcer.close()


def _neighbours(hosts: TwoHosts) -> dict[str, str]:
    out = subprocess.run(["ip", "-n", hosts.neighbour, "-j", "neigh"], capture_output=True, check=True)
    return {row["dst"]: row.get("lladdr", "") for row in json.loads(out.stdout)}


def test_announcements_are_paced_cancelled_and_survive_a_dead_interface(hosts: TwoHosts, links: Links) -> None:
    announcer = hosts.inside(hosts.director, lambda: Announcer(links))
    many = [carry(f"10.40.0.{n}") for n in range(1, 101)]
    announcer.announce(many)
    announcer.announce(many)
    announcer.send()
    assert announcer.sent == FRAMES_AT_ONCE
    assert announcer.pending
    announcer.stop()
    announcer.send()
    assert announcer.sent == FRAMES_AT_ONCE
    hosts.ip(hosts.director, "link set eth0 down")
    announcer.announce(many[:2])
    announcer.send()
    assert set(announcer.unsent) == {"eth0"}
    assert not announcer.pending
    hosts.ip(hosts.director, "link set eth0 up")
    announcer.announce(many[:2])
    announcer.send()
    assert announcer.unsent == {}
    announcer.close()


# ---- probes ----


@pytest.fixture
def prober(hosts: TwoHosts, links: Links) -> Iterator[Prober]:
    prober = hosts.inside(hosts.director, lambda: Prober(links))
    yield prober
    prober.close()


def heard(prober: Prober, count: int) -> list[Sighting]:
    found: list[Sighting] = []
    while len(found) < count:
        assert select.select(prober.filenos(), [], [], 30)[0]
        found += prober.read()
    return found


def silent(prober: Prober) -> bool:
    """Nothing has come; the kernel delivers before the call that sent a frame returns, but for what softirqs delay."""
    return not select.select(prober.filenos(), [], [], 0.3)[0] or prober.read() == []


@pytest.mark.parametrize("with_source", [True, False])
@pytest.mark.parametrize("version", [4, 6])
def test_whoever_has_the_vip_answers(
    hosts: TwoHosts, links: Links, prober: Prober, version: int, with_source: bool
) -> None:
    prober.watch([ip_address(VIP[4]), ip_address(VIP[6])])
    if not with_source:
        hosts.ip(hosts.director, "addr flush dev eth0")
        links.look()
    assert prober.ask([carry(VIP[version])]) == []
    assert silent(prober)
    hosts.ip(hosts.neighbour, f"addr add {VIP[4]}/32 dev eth0", f"addr add {VIP[6]}/128 dev eth0 nodad")
    assert prober.ask([carry(VIP[version])]) == []
    (sighting,) = heard(prober, 1)
    mac = hosts.inside(hosts.neighbour, lambda: mac_of("eth0"))
    # Without an own address IPv6 asks as duplicate address detection does, which is answered to all.
    answer = version == 4 or with_source
    assert sighting == Sighting(address=ip_address(VIP[version]), mac=mac, device="eth0", answer=answer)


def test_announcements_of_others_are_seen_our_own_and_other_traffic_not(
    hosts: TwoHosts, links: Links, prober: Prober
) -> None:
    prober.watch([ip_address(VIP[4]), ip_address(VIP[6])])
    ours = hosts.inside(hosts.director, lambda: Announcer(links))
    ours.announce([carry(VIP[4]), carry(VIP[6])])
    ours.send()
    theirs_links = hosts.inside(hosts.neighbour, Links)
    theirs = hosts.inside(hosts.neighbour, lambda: Announcer(theirs_links))
    theirs.announce([carry("10.9.0.77"), carry("fd09::77"), carry("10.9.0.78")])
    theirs.send()
    assert silent(prober)
    theirs.announce([carry(VIP[4]), carry(VIP[6])])
    theirs.send()
    found = heard(prober, 2)
    assert {str(s.address) for s in found} == {VIP[4], VIP[6]}
    assert {s.answer for s in found} == {False}
    assert {s.mac for s in found} == {hosts.inside(hosts.neighbour, lambda: mac_of("eth0"))}
    for each in (ours, theirs, theirs_links):
        each.close()


def test_many_watched_addresses_and_missing_devices(hosts: TwoHosts, prober: Prober) -> None:
    prober.watch([ip_address(f"10.40.{n // 250}.{n % 250 + 1}") for n in range(300)])
    asker = hosts.inside(hosts.neighbour, Asker)
    for sender in ("10.9.0.44", "10.40.1.50"):
        asker.ask_arp(NEIGHBOUR[4], sender=sender)
    (sighting,) = heard(prober, 1)
    assert str(sighting.address) == "10.40.1.50"
    asker.close()
    (trouble,) = prober.ask([carry("10.40.0.1", "eth7")])
    assert "eth7" in trouble


def test_the_peers_mac_is_in_the_kernels_cache(hosts: TwoHosts, links: Links) -> None:
    code = "import socket, sys\nsocket.socket(2, 2).sendto(b'x', (sys.argv[1], 539))"
    assert hosts.start(hosts.director, code, NEIGHBOUR[4]).wait(30) == 0
    mac = hosts.inside(hosts.neighbour, lambda: mac_of("eth0"))
    wait_for(lambda: links.neighbour_macs([ip_address(NEIGHBOUR[4])]) == {mac}, "the neighbour is resolved")
    assert links.neighbour_macs([ip_address("10.9.0.55")]) == frozenset()
