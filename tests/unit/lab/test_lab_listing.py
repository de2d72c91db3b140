"""The lab's lvs.cf: the article's Listing 1 with addresses."""

from __future__ import annotations

import itertools
import re

import pytest

from piranha.lab.listing import lvs_cf
from piranha.lab.options import LabOptions
from piranha.lab.topology import plan_topology
from piranha.model.service import ForwardingMethod

ARTICLE = """\
serial_no = 40
primary =
service = lvs
backup_active = 1
backup =
heartbeat = 1
heartbeat_port = 539
keepalive = 6
deadtime = 18
network = direct
debug_level = NONE
monitor_links = 1
syncdaemon = 1
virtual {
active = 1
address = eth0:0
vip_nmask =
port = 80
send = "GET / HTTP/1.0\\r\\n\\r\\n"
expect = "HTTP"
use_regex = 0
load_monitor = rup
scheduler = rr
protocol = tcp
timeout = 6
reentry = 15
quiesce_server = 1
server webserver1 {
address =
active = 1
weight = 1
}
server webserver2 {
address =
active = 1
weight = 1
}
}
"""


def text(options: LabOptions) -> str:
    return lvs_cf(plan_topology(options), options)


def without_addresses(line: str) -> str:
    line = line.strip()
    line = re.sub(r"^(primary|backup|vip_nmask) = \S+$", r"\1 =", line)
    line = re.sub(r"^address = (\S+) (eth\S+)$", r"address = \2", line)
    line = re.sub(r"^address = [\d.]+$", "address =", line)
    line = re.sub(r"^virtual \S+ \{$", "virtual {", line)
    return re.sub(r"^server web(\d) \{$", r"server webserver\1 {", line)


def test_it_is_listing_1_with_the_addresses_filled_in() -> None:
    lines = text(LabOptions()).splitlines()
    assert [without_addresses(line) for line in lines] == ARTICLE.splitlines()
    assert "    address = 10.0.0.100 eth0:0" in lines
    assert "primary = 10.0.0.2" in lines


def test_a_pair_reacts_as_fast_as_its_profile_says() -> None:
    lines = text(LabOptions(directors=2, profile="fast")).splitlines()
    assert "profile = fast" in lines
    assert not any(line.startswith(("keepalive", "deadtime")) for line in lines)
    assert {"primary = 10.0.0.2", "backup = 10.0.0.3", "syncd_link_port = 8849"} <= set(lines)


def test_a_pair_that_masquerades_speaks_over_both_networks_and_moves_the_gateway() -> None:
    lines = text(LabOptions(directors=2, forward=ForwardingMethod.MASQUERADE)).splitlines()
    assert {"primary_private = 10.0.1.2", "backup_private = 10.0.1.3", "nat_router = 10.0.1.1 eth1:1"} <= set(lines)


def test_masquerading_names_the_inner_address_and_maps_the_port() -> None:
    lines = text(LabOptions(forward=ForwardingMethod.MASQUERADE, server_port=8080)).splitlines()
    assert "network = nat" in lines
    assert "nat_router = 10.0.1.1 eth1:1" in lines
    assert lines.count("        port = 8080") == 2
    assert lines.count("    port = 80") == 1


@pytest.mark.parametrize(
    ("forward", "ipv6", "udp", "directors"),
    [
        choice
        for choice in itertools.product(ForwardingMethod, (False, True), (False, True), (1, 2))
        if choice[0] is not ForwardingMethod.MASQUERADE or not choice[1] or choice[3] == 1
    ],
)
def test_the_products_own_reader_finds_no_problem(
    forward: ForwardingMethod, ipv6: bool, udp: bool, directors: int
) -> None:
    from piranha.config.parser import parse

    options = LabOptions(
        forward=forward, ipv6=ipv6, udp=udp, hook="tc", scheduler="wlc", directors=directors, profile="fast"
    )
    reading = parse(text(options))
    assert [str(p) for p in reading.problems if p.severity.value == "error"] == []
    virtuals = reading.configuration.virtuals
    assert len(virtuals) == (1 + ipv6) * (1 + udp)
    assert {v.scheduler for v in virtuals} == {"wlc"}
    assert all(len(v.servers) == 2 and all(s.address for s in v.servers) for v in virtuals)
