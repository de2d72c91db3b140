"""Frames that the driver makes streams of: templates, and where in them the changing words lie."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

from bench.net import CLIENTS, GATEWAY_MAC, SERVER_MAC, VIP, Net, server

VIP_PORT, SERVER_PORT = 80, 8080
SYN, ACK, RST, FIN = 0x02, 0x10, 0x04, 0x01
_LENGTH = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """`depends_at`: the word that a forwarded frame holds from the destination's record (see bench/bpf/wrap.bpf.c)."""

    raw: bytes
    client_at: int
    port_at: int
    network: int
    vip_at: int
    vip: int
    depends_at: int = 0

    def in_tc(self) -> Frame:
        """For the TC program, which leaves the MAC addresses alone: the rewritten destination address is waited for."""
        return replace(self, depends_at=self.vip_at)


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _frame(version: int, macs: bytes, source: bytes, target: bytes, ports: tuple[int, int], flags: int) -> bytes:
    payload = bytes(_LENGTH - 14 - (20 if version == 4 else 40) - 20)
    tcp = struct.pack("!HHIIBBHHH", *ports, 1, 1, 0x50, flags, 65535, 0, 0) + payload
    pseudo = source + target + struct.pack("!II", len(tcp), 6)
    tcp = tcp[:16] + struct.pack("!H", _checksum(pseudo + tcp)) + tcp[18:]
    if version == 4:
        head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 1, 0x4000, 64, 6, 0, source, target)
        head = head[:10] + struct.pack("!H", _checksum(head)) + head[12:]
        return macs + b"\x08\x00" + head + tcp
    return macs + b"\x86\xdd" + struct.pack("!IHBB16s16s", 6 << 28, len(tcp), 6, 64, source, target) + tcp


def request(net: Net, flags: int, version: int = 4) -> Frame:
    """A client's packet to the VIP, in TCP."""
    client, vip = CLIENTS[version], VIP[version]
    raw = _frame(version, net.mac + GATEWAY_MAC, client.packed, vip.packed, (1024, VIP_PORT), flags)
    source_end = 30 if version == 4 else 38
    return Frame(
        raw=raw,
        client_at=source_end - 4,
        port_at=34 if version == 4 else 54,
        network=int(client) & 0xFFFFFFFF,
        vip_at=30 if version == 4 else 50,
        vip=int(vip) & 0xFFFFFFFF,
    )


def reply(net: Net, flags: int, version: int = 4) -> Frame:
    """The first real server's packet to a client."""
    client, real = CLIENTS[version], server(version, 1)
    raw = _frame(version, net.mac + SERVER_MAC, real.packed, client.packed, (SERVER_PORT, 1024), flags)
    return replace(
        request(net, flags, version), raw=raw, client_at=30 if version == 4 else 50, port_at=36 if version == 4 else 56
    )


def stranger(net: Net) -> Frame:
    """TCP of a client to an address that is no VIP."""
    frame = request(net, ACK)
    return replace(frame, raw=frame.raw[:30] + bytes([10, 200, 0, 1]) + frame.raw[34:])


def not_ip(net: Net) -> Frame:
    frame = request(net, ACK)
    return replace(frame, raw=frame.raw[:12] + b"\x88\xcc" + frame.raw[14:])
