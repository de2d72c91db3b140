"""A network namespace of the bench's own. It has no name, and is gone when the process ends.

   clients 10.128.0.0/9, fd05::/64 ── gateway 10.1.0.2, fd01::2 ──┐
                                                                  ├── b0 (10.1.0.1, fd01::1), the director's one device
   real servers 10.1.1.0/24, fd01::100/120 ───────────────────────┘

Nothing is ever sent: the programs are run on packets that exist in memory only.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

_CLONE_NEWNET = 0x40000000
GATEWAY_MAC = bytes.fromhex("0200000000c1")
SERVER_MAC = bytes.fromhex("020000000051")
VIP = {4: ip_address("10.9.0.1"), 6: ip_address("fd09::a09:1")}
CLIENTS = {4: ip_address("10.128.0.0"), 6: ip_address("fd05::a80:0")}
DIRECTOR = {4: ip_address("10.1.0.1"), 6: ip_address("fd01::1")}
_SERVERS = {4: ip_address("10.1.1.0"), 6: ip_address("fd01::100")}


@dataclass(frozen=True, slots=True)
class Net:
    """The device that packets seem to come from."""

    ifindex: int
    mac: bytes


def server(version: int, number: int) -> IPv4Address | IPv6Address:
    """One of 254 real servers, from 1."""
    return _SERVERS[version] + number


def enter() -> Net:
    """Move the calling thread into a new namespace and furnish it. Raises OSError without the rights."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, f"cannot make a network namespace ({os.strerror(number)}); the bench needs root")
    for command in (
        "link set lo up",
        "link add b0 type veth peer name b1",
        "link set b0 up",
        "link set b1 up",
        "addr add 10.1.0.1/16 dev b0",
        "addr add fd01::1/64 dev b0 nodad",
        "neigh replace 10.1.0.2 lladdr 02:00:00:00:00:c1 dev b0 nud permanent",
        "neigh replace fd01::2 lladdr 02:00:00:00:00:c1 dev b0 nud permanent",
        "route add 10.128.0.0/9 via 10.1.0.2 dev b0",
        "route add 10.64.0.0/10 via 10.1.0.2 dev b0",
        "route add fd05::/64 via fd01::2 dev b0",
    ):
        subprocess.run(["ip", *command.split()], check=True, timeout=20)
    for knob in ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"):
        (Path("/proc/sys") / knob).write_text("1")
    return Net(socket.if_nametoindex("b0"), _mac("b0"))


def _mac(name: str) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        answer = fcntl.ioctl(asker.fileno(), 0x8927, struct.pack("256s", name.encode()))  # SIOCGIFHWADDR
    return answer[18:24]
