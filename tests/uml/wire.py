"""A director's two wires, held by the test: what it sends and receives as clients and as real servers.

    clients (any address) --- client0 [ director ] server0 --- real servers 10.2.0.N, fd02::N
                            192.0.2.1  VIPs 10.9/16,   10.2.0.254
                            2001:db8::1     fd09::/64   fd02::fffe

Both interfaces are taps whose other end is a file of this process: a frame written is received by the director, a frame
read was sent by it. Nobody answers by itself, so every connection is exactly the packets of the scenario. The director
routes everything it does not know to the client side. A frame to a real server carries that server's MAC, so the
direct method shows which one was chosen. After each packet a marker is sent through the director to the servers' side:
when it comes out, everything before it has been decided, so a drop needs no waiting.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import struct
import subprocess
import time
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from tests.uml.packets import Address, Endpoint, Segment, build_frame, build_packet
from tests.uml.reading import Seen, read_frames

CLIENT_SIDE, SERVER_SIDE = "client0", "server0"
GATEWAY_MAC = bytes.fromhex("020000010001")
GATEWAYS = {4: "192.0.2.2", 6: "2001:db8::2"}
DIRECTOR_MACS = {CLIENT_SIDE: bytes.fromhex("020000000c01"), SERVER_SIDE: bytes.fromhex("020000000501")}
MARKER_TARGET = Endpoint(address=IPv4Address("10.2.0.253"), port=9)
MARKER_SOURCE = Endpoint(address=IPv4Address("192.0.2.2"), port=9)
MARKER = build_packet(Segment(protocol="udp", source=MARKER_SOURCE, target=MARKER_TARGET))
VIRTUAL_NETWORKS = ("10.9.0.0/16", "fd09::/64")
LOCAL_NODES = ("10.2.0.254", "fd02::fffe")

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TAP_NO_PI = 0x1002
ANSWER_LIMIT_S = 5.0


def enter_new_network() -> None:
    """Give the calling thread a network namespace of its own; it goes when the thread and its files are gone."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, f"unshare: {os.strerror(number)}")


def server_mac(address: Address) -> bytes:
    """The MAC by which a real server is known: its family and the last two bytes of its address."""
    return bytes([2, 0, 2, address.version]) + address.packed[-2:]


def set_kernel(name: str, value: object) -> None:
    Path("/proc/sys", name.replace(".", "/")).write_text(str(value))


def _open_tap(name: str) -> int:
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP_NO_PI))
    return fd


class Wire:
    """The two taps in the calling thread's namespace, configured; `servers` get their neighbour entries at once."""

    def __init__(self, servers: Iterable[Address]) -> None:
        self._fds = {name: _open_tap(name) for name in (CLIENT_SIDE, SERVER_SIDE)}
        self._servers = {server_mac(address): address for address in servers}
        self.gue_port = 0
        for name in ("net.ipv4.icmp_ratelimit", "net.ipv6.icmp.ratelimit", "net.ipv4.conf.all.rp_filter",
                     "net.ipv4.conf.default.rp_filter", "net.ipv4.conf.all.send_redirects"):  # fmt: skip
            set_kernel(name, 0)
        for name in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
            set_kernel(name, 1)
        subprocess.run(["ip", "-batch", "-"], input="\n".join(self._configuration()), text=True, check=True)
        for name in self._fds:
            set_kernel(f"net.ipv4.conf.{name}.send_redirects", 0)
            set_kernel(f"net.ipv4.conf.{name}.rp_filter", 0)

    def _configuration(self) -> list[str]:
        lines = ["link set lo up"]
        for name, mac in DIRECTOR_MACS.items():
            lines += [f"link set {name} addrgenmode none", f"link set {name} address {mac.hex(':')} up"]
        lines += [f"addr add 192.0.2.1/24 dev {CLIENT_SIDE}", f"addr add 2001:db8::1/64 dev {CLIENT_SIDE} nodad",
                  f"addr add 10.2.0.254/16 dev {SERVER_SIDE}", f"addr add fd02::fffe/64 dev {SERVER_SIDE} nodad"]  # fmt: skip
        for gateway in GATEWAYS.values():
            lines.append(f"neigh add {gateway} lladdr {GATEWAY_MAC.hex(':')} dev {CLIENT_SIDE} nud permanent")
            lines.append(f"route add default via {gateway} dev {CLIENT_SIDE}")
        lines += [f"route add local {network} dev lo" for network in VIRTUAL_NETWORKS]
        for address in (MARKER_TARGET.address, *self._servers.values()):
            known_as = server_mac(address).hex(":")
            lines.append(f"neigh add {address} lladdr {known_as} dev {SERVER_SIDE} nud permanent")
        return lines

    def close(self) -> None:
        for fd in self._fds.values():
            os.close(fd)

    def from_client(self, *packets: bytes) -> tuple[list[Seen], list[Seen]]:
        """Send IP packets as a client; what then came out to the servers, and what to the clients."""
        for packet in packets:
            self._write(CLIENT_SIDE, packet, GATEWAY_MAC)
        return self._collect()

    def from_server(self, packet: bytes, server: Address) -> tuple[list[Seen], list[Seen]]:
        """The same, as the real server with this address."""
        self._write(SERVER_SIDE, packet, server_mac(server))
        return self._collect()

    def set_mtu(self, side: str, mtu: int) -> None:
        subprocess.run(["ip", "link", "set", side, "mtu", str(mtu)], check=True)

    def server_of(self, seen: Seen) -> Address | None:
        """Which real server's MAC a frame had."""
        return self._servers.get(seen.mac)

    def _write(self, side: str, packet: bytes, source_mac: bytes) -> None:
        os.write(self._fds[side], build_frame(packet, source_mac=source_mac, target_mac=DIRECTOR_MACS[side]))

    def _collect(self) -> tuple[list[Seen], list[Seen]]:
        self._write(CLIENT_SIDE, MARKER, GATEWAY_MAC)
        to_servers: list[bytes] = []
        deadline_at = time.monotonic() + ANSWER_LIMIT_S
        while True:
            frame = self._read(SERVER_SIDE)
            if frame is None:
                left_s = deadline_at - time.monotonic()
                if left_s <= 0:
                    raise RuntimeError("the director does not forward the marker packet")
                select.select([self._fds[SERVER_SIDE]], [], [], left_s)
            elif frame[:6] == server_mac(MARKER_TARGET.address):
                break
            else:
                to_servers.append(frame)
        to_clients = []
        while (frame := self._read(CLIENT_SIDE)) is not None:
            to_clients.append(frame)
        return read_frames(to_servers, self.gue_port), read_frames(to_clients)

    def _read(self, side: str) -> bytes | None:
        try:
            return os.read(self._fds[side], 65536)
        except BlockingIOError:
            return None


def router_before(server: Address) -> Address:
    """A router on the way to a real server, of its family."""
    return IPv4Address("10.2.0.252") if server.version == 4 else IPv6Address("fd02::fffc")


def everyone(addresses: Iterable[str]) -> list[Address]:
    """Texts to addresses, each once, in order; the director's own are left out."""
    unique = dict.fromkeys(text for text in addresses if text not in LOCAL_NODES)
    return [IPv6Address(text) if ":" in text else IPv4Address(text) for text in unique]
