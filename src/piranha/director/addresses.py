"""Which addresses this host has: a VIP that is nowhere receives no packet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pyroute2 import IPRoute

from piranha.director.layout import PlannedService
from piranha.model.address import IPAddress, parse_address
from piranha.model.configuration import VirtualServer

_V4_BITS = 32


def host_addresses() -> frozenset[IPAddress]:
    """Every address on every interface of this network namespace. Blocks for a netlink dump; OSError where it fails."""
    found: set[IPAddress] = set()
    with IPRoute() as netlink:
        for message in netlink.get_addr():
            # IFA_ADDRESS is the peer's on a point-to-point link, IFA_LOCAL is ours; IPv6 has only the former.
            text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
            if text:
                found.add(parse_address(text))
    return frozenset(found)


def missing_vips(services: Iterable[PlannedService], present: frozenset[IPAddress]) -> Iterator[str]:
    """One sentence with its mend for every VIP that this host does not have, each VIP once."""
    said: set[IPAddress] = set()
    for planned in services:
        if planned.virtual.address is None:
            continue
        address = planned.virtual.address.address
        if address in present or address in said:
            continue
        said.add(address)
        yield (
            f"virtual {planned.virtual.name}: VIP {address} is not on this host, so no packet for it arrives: "
            f"{add_address_command(planned.virtual)}"
        )


def add_address_command(virtual: VirtualServer) -> str:
    """The `ip` command that puts the VIP of `virtual` on its device."""
    assert virtual.address is not None, "a planned service has an address"
    address = virtual.address.address
    device = virtual.address.device.partition(":")[0] or "DEVICE"
    bits = _V4_BITS if address.version == 4 else 128
    if virtual.vip_nmask is not None and address.version == 4 == virtual.vip_nmask.version:
        bits = int(virtual.vip_nmask).bit_count()
    return f"ip addr add {address}/{bits} dev {device}"
