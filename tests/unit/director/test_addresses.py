"""VIPs that this host lacks."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from piranha.dataplane.port import Capabilities
from piranha.director.addresses import add_address_command, host_addresses, missing_vips
from piranha.director.layout import lay_out
from piranha.model.configuration import Configuration, DeviceAddress, VirtualServer

HTTP = VirtualServer(
    name="HTTP", active=True, address=DeviceAddress(address=ip_address("10.0.0.100"), device="eth0:1"), scheduler="rr"
)


@pytest.mark.parametrize(
    ("virtual", "command"),
    [
        (HTTP, "ip addr add 10.0.0.100/32 dev eth0"),
        (replace(HTTP, vip_nmask=ip_address("255.255.254.0")), "ip addr add 10.0.0.100/23 dev eth0"),
        (
            replace(HTTP, address=DeviceAddress(address=ip_address("2001:db8::1"), device="eth1")),
            "ip addr add 2001:db8::1/128 dev eth1",
        ),
    ],
)
def test_the_mend_is_a_command(virtual: VirtualServer, command: str) -> None:
    assert add_address_command(virtual) == command


def test_each_missing_vip_is_named_once() -> None:
    other = replace(HTTP, name="B", port=81)
    there = replace(HTTP, name="C", address=DeviceAddress(address=ip_address("10.0.0.101"), device="eth0"))
    layout = lay_out(Configuration(virtuals=(HTTP, other, there)), Capabilities(schedulers=frozenset({"rr"})))
    (sentence,) = missing_vips(layout.services, frozenset({ip_address("10.0.0.101")}))
    assert sentence.startswith("virtual HTTP: VIP 10.0.0.100 is not on this host")


def test_the_vip_of_a_mark_is_that_of_its_virtual_server() -> None:
    able = Capabilities(schedulers=frozenset({"rr"}), firewall_marks=True)
    unnamed = replace(HTTP, name="B", fwmark=6, address=None)
    layout = lay_out(Configuration(virtuals=(replace(HTTP, fwmark=5), unnamed)), able)
    (sentence,) = missing_vips(layout.services, frozenset())
    assert sentence.startswith("virtual HTTP: VIP 10.0.0.100 is not on this host")


def test_this_host_has_its_loopback() -> None:
    assert ip_address("127.0.0.1") in host_addresses()
