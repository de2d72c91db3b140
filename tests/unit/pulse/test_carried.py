"""Which addresses a file lays on which devices."""

from __future__ import annotations

from ipaddress import ip_address

from piranha.model.configuration import Configuration, DeviceAddress, ServiceMode, VirtualServer
from piranha.model.service import ForwardingMethod
from piranha.pulse.addresses import CarriedAddress, carried


def at(address: str, device: str) -> DeviceAddress:
    return DeviceAddress(address=ip_address(address), device=device)


def virtual(name: str, address: str, device: str, mask: str | None = None, *, active: bool = True) -> VirtualServer:
    return VirtualServer(
        name=name, active=active, address=at(address, device), vip_nmask=ip_address(mask) if mask else None
    )


def rows(configuration: Configuration) -> list[tuple[str, str, str, int]]:
    return [(str(c.address), c.device, c.interface, c.prefix_length) for c in carried(configuration)]


def test_the_nat_router_comes_first_and_each_address_once() -> None:
    configuration = Configuration(
        nat_router=at("10.2.0.1", "eth1:1"),
        nat_nmask=ip_address("255.255.0.0"),
        virtuals=(
            virtual("web", "10.0.0.100", "eth0:1", "255.255.255.0"),
            virtual("mail", "10.0.0.100", "eth0:7"),
            virtual("off", "10.0.0.101", "eth0:2", active=False),
            virtual("six", "fd00::1", "eth0", "ffff:ffff:ffff:ffff::"),
            virtual("alone", "10.0.0.102", "eth0:3"),
            VirtualServer(name="marked", active=True),
        ),
    )
    assert rows(configuration) == [
        ("10.2.0.1", "eth1:1", "eth1", 16),
        ("10.0.0.100", "eth0:1", "eth0", 24),
        ("fd00::1", "eth0", "eth0", 64),
        ("10.0.0.102", "eth0:3", "eth0", 32),
    ]


def test_the_nat_router_is_of_nat_alone() -> None:
    configuration = Configuration(network=ForwardingMethod.DIRECT, nat_router=at("10.2.0.1", "eth1:1"))
    assert carried(configuration) == ()


def test_failover_services_carry_their_own() -> None:
    configuration = Configuration(
        service=ServiceMode.FOS,
        virtuals=(virtual("web", "10.0.0.100", "eth0:1"),),
        failovers=(virtual("db", "10.0.0.200", "eth0:1"),),
    )
    assert carried(configuration) == (
        CarriedAddress(address=ip_address("10.0.0.200"), device="eth0:1", prefix_length=32),
    )
