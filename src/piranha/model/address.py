"""IP addresses as values."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

IPAddress = IPv4Address | IPv6Address


def parse_address(text: str) -> IPAddress:
    """An IPv4 or IPv6 address from its usual text, with or without brackets around IPv6.

    Raises ValueError for anything else.
    """
    if text.startswith("[") and text.endswith("]"):
        return IPv6Address(text[1:-1])
    return ip_address(text)


def format_endpoint(address: IPAddress, port: int) -> str:
    """`10.0.0.1:80` or `[2001:db8::1]:80`."""
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def prefix_length(mask: IPAddress) -> int | None:
    """How many one-bits a netmask begins with; None where one-bits follow a zero-bit."""
    inverted = int(mask) ^ ((1 << mask.max_prefixlen) - 1)
    return None if inverted & (inverted + 1) else mask.max_prefixlen - inverted.bit_length()
