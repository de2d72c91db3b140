"""The default gateway: who it is, and whether it answers. It tells a fault of ours from one of the other director."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from piranha.model.address import IPAddress

TRIES = 3
WAIT_S = 1.0
_ECHO_V4, _ECHO_REPLY_V4, _ECHO_V6, _ECHO_REPLY_V6 = 8, 0, 128, 129
_GATEWAY = 0x2
_ROUTE4 = Path("/proc/net/route")
_ROUTE6 = Path("/proc/net/ipv6_route")


def default_gateway(route4: Path = _ROUTE4, route6: Path = _ROUTE6) -> tuple[IPAddress, str] | None:
    """The gateway of the default route and its interface, IPv4 before IPv6; None where there is none."""
    best: tuple[int, IPAddress, str] | None = None
    for line in _lines(route4)[1:]:
        words = line.split()
        if len(words) < 8 or words[1] != "00000000" or words[7] != "00000000" or not int(words[3], 16) & _GATEWAY:
            continue
        metric = int(words[6])
        if best is None or metric < best[0]:
            best = metric, IPv4Address(struct.pack("<I", int(words[2], 16))), words[0]
    if best is not None:
        return best[1], best[2]
    for line in _lines(route6):
        words = line.split()
        if len(words) >= 10 and words[1] == "00" and words[0] == "0" * 32 and int(words[8], 16) & _GATEWAY:
            return IPv6Address(bytes.fromhex(words[4])), words[9]
    return None


async def answers(gateway: IPAddress, device: str, *, tries: int = TRIES, wait_s: float = WAIT_S) -> bool:
    """Whether it answers one of `tries` echo requests. Raises PermissionError without CAP_NET_RAW."""
    loop = asyncio.get_running_loop()
    six = gateway.version == 6
    kind = socket.getprotobyname("ipv6-icmp" if six else "icmp")
    with socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_RAW, kind) as sender:
        sender.setblocking(False)
        identity = os.getpid() & 0xFFFF
        target: tuple[object, ...] = (str(gateway), 0)
        if six:
            target = (str(gateway), 0, 0, socket.if_nametoindex(device) if gateway.is_link_local else 0)
        for number in range(tries):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    try:
                        await loop.sock_sendto(sender, _request(six, identity, number), target)
                    except OSError:
                        await asyncio.sleep(wait_s)
                        continue
                    while not _is_reply(await loop.sock_recv(sender, 2048), six, identity, number):
                        continue
                    return True
    return False


def _request(six: bool, identity: int, number: int) -> bytes:
    head = struct.pack("!BBHHH", _ECHO_V6 if six else _ECHO_V4, 0, 0, identity, number)
    # The kernel sums ICMPv6 itself.
    return head if six else head[:2] + _checksum(head) + head[4:]


def _is_reply(packet: bytes, six: bool, identity: int, number: int) -> bool:
    if not six:
        if not packet:
            return False
        packet = packet[(packet[0] & 0xF) * 4 :]
    if len(packet) < 8:
        return False
    kind, _, _, of, at = struct.unpack_from("!BBHHH", packet)
    return (kind, of, at) == (_ECHO_REPLY_V6 if six else _ECHO_REPLY_V4, identity, number)


def _checksum(data: bytes) -> bytes:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    folded: int = (total & 0xFFFF) + (total >> 16)
    return (~folded & 0xFFFF).to_bytes(2, "big")


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
