"""Rules that give packets their firewall mark: `mark N { … }` of lvs.cf, flattened."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from piranha.model.service import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkRule:
    """Packets to `network` with `protocol` (IP is any) and a destination port in the range get `mark` (1 to 2**32 - 1).

    Of several rules that match a packet the first counts.
    """

    mark: int
    network: IPv4Network | IPv6Network
    protocol: Protocol = Protocol.IP
    first_port: int = 0
    last_port: int = 65535
