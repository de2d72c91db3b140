"""Netmasks as lengths."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from piranha.model.address import prefix_length


@pytest.mark.parametrize("length", [0, 1, 8, 24, 31, 32])
def test_masks_in_a_row(length: int) -> None:
    assert prefix_length(ip_network(f"0.0.0.0/{length}").netmask) == length


@pytest.mark.parametrize(
    ("mask", "length"),
    [("255.0.255.0", None), ("0.0.0.255", None), ("ffff:ffff::", 32), ("ffff::1", None), ("::", 0)],
)
def test_masks_with_holes_and_of_ipv6(mask: str, length: int | None) -> None:
    assert prefix_length(ip_address(mask)) == length
