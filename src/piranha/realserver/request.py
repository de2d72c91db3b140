"""What a person asks of a real server, and what the machine offers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address

from piranha.model.address import IPAddress


class ArpMethod(StrEnum):
    """How the VIP is kept out of ARP: kernel settings, or the article's rules that drop and mangle ARP packets."""

    SYSCTL = "sysctl"
    ARPTABLES = "arptables"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupRequest:
    """`device` carries the VIPs. `persist` also writes the files that set everything up again at boot."""

    vips: tuple[IPAddress, ...]
    device: str = "lo"
    method: ArpMethod = ArpMethod.SYSCTL
    tunnel: bool = False
    persist: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """What decides how a request can be met here.

    `interfaces` are the network devices other than loopback that are up; `rip` is the address ARP answers may carry
    (needed by the arptables method); `tunnel_kinds` are those of `ipip` and `ip6tnl` that the kernel has; `command`
    is how to start `piranha` at boot.
    """

    interfaces: tuple[str, ...] = ()
    rip: IPv4Address | None = None
    tunnel_kinds: frozenset[str] = frozenset()
    has_nft: bool = False
    has_systemd: bool = False
    command: str = "piranha"
