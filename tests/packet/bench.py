"""The bench of the packet tests: the real programs, one packet at a time, in a network namespace of its own.

                 ┌─────────── director (namespace) ───────────┐
   client ──────▶│ cl  10.1.0.1 fd01::1   10.2.0.1 fd02::1  rs │──────▶ real server
   10.1.0.2      └─────────────────────────────────────────────┘        10.2.0.2
   fd01::2            VIP 10.9.0.1, fd09::1                              fd02::2

Nothing is sent: BPF_PROG_TEST_RUN hands one packet to a program and returns verdict and packet.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, TypeVar

import numpy as np
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from piranha.base.clock import ManualClock
from piranha.dataplane.ebpf import abi
from piranha.dataplane.ebpf.nexthop import NextHop
from piranha.dataplane.ebpf.plane import EbpfPlane, PlaneSettings
from piranha.dataplane.ebpf.syscall import prog_test_run
from piranha.dataplane.ebpf.tables import Capacity, Tables
from piranha.dataplane.port import AddDestination, AddService, Connection, ConnectionFilter
from piranha.model.service import (
    Destination,
    DestinationKey,
    ForwardingMethod,
    Protocol,
    Service,
    ServiceKey,
    ServiceStatus,
)

T = TypeVar("T")
PACKET_OUTGOING = 4  # linux/if_packet.h
_libc = ctypes.CDLL(None, use_errno=True)
CLIENT_MAC, SERVER_MAC = "02:00:00:00:00:c1", "02:00:00:00:00:51"
VIP = {4: "10.9.0.1", 6: "fd09::1"}
CLIENT = {4: "10.1.0.2", 6: "fd01::2"}
SERVER = {4: "10.2.0.2", 6: "fd02::2"}
DIRECTOR = {4: "10.2.0.1", 6: "fd02::1"}
NAMESPACE = f"ppt-{os.getpid()}"
VERDICTS = {"xdp": {1: "drop", 2: "pass", 4: "redirect"}, "tc": {0xFFFFFFFF: "pass", 2: "drop", 7: "redirect"}}


def sh(command: str) -> str:
    return subprocess.run(command, shell=True, check=True, capture_output=True, text=True, timeout=20).stdout


class Net:
    """The director's namespace and one thread that lives in it."""

    def __init__(self) -> None:
        sh(f"ip netns add {NAMESPACE}")
        self._pool = ThreadPoolExecutor(1, initializer=self._enter)
        ns = f"ip -n {NAMESPACE}"
        for dev, number in (("cl", 1), ("rs", 2)):
            sh(f"{ns} link add {dev} type veth peer name {dev}p && {ns} link set {dev} up && {ns} link set {dev}p up")
            sh(f"{ns} addr add 10.{number}.0.1/24 dev {dev} && {ns} addr add fd0{number}::1/64 dev {dev} nodad")
        sh(f"{ns} link set lo up")
        sh(
            f"ip netns exec {NAMESPACE} sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"
            " net.ipv4.conf.all.rp_filter=0"
        )
        for dev, mac, hosts in (("cl", CLIENT_MAC, CLIENT), ("rs", SERVER_MAC, SERVER)):
            for host in hosts.values():
                sh(f"{ns} neigh replace {host} lladdr {mac} dev {dev} nud permanent")
        links = {link["ifname"]: link for link in json.loads(sh(f"{ns} -j link"))}
        self.index = {dev: links[dev]["ifindex"] for dev in ("cl", "rs")}
        self.mac = {dev: links[dev]["address"] for dev in ("cl", "rs")}

    def _enter(self) -> None:
        fd = os.open(f"/run/netns/{NAMESPACE}", os.O_RDONLY)
        if _libc.setns(fd, 0x40000000):
            raise OSError(ctypes.get_errno(), "setns")
        os.close(fd)

    def inside(self, call: Callable[[], T]) -> T:
        return self._pool.submit(call).result(20)

    def run_ip(self, command: str) -> str:
        """`ip` in the namespace."""
        return sh(f"ip -n {NAMESPACE} {command}")

    def close(self) -> None:
        self._pool.shutdown()
        sh(f"ip netns del {NAMESPACE}")


@dataclass(frozen=True)
class Result:
    verdict: str
    packet: Packet
    raw: bytes


CAPACITY = Capacity(connections=4096, services=256, destinations=2048, slot_words=65536)


def wiped(tables: Tables) -> Tables:
    """The tables as new (loading the programs takes longer than a test)."""
    for name, bpf_map in tables.maps.items():
        if name in ("dest_stats", "reasons", "icmp_budget", "workbench", "cut_room"):
            zero = bytes(len(bpf_map.lookup(bytes(4)) or b""))
            for index in range(bpf_map.max_entries if name != "dest_stats" else 64):
                bpf_map.update(index.to_bytes(4, "little"), zero)
        elif name in ("service_ids", "servers", "calls", "fragments", "lblc_cache", "lblcr_cache", "ftp_controls"):
            for key in list(bpf_map.keys()):
                bpf_map.delete(key)
        elif name != "ticker" and not name.endswith("_works"):
            memory = bpf_map.mmap()
            memory[:] = bytes(len(memory))
    tables._initialise()
    return tables


class Bench:
    """A plane on empty tables, and packets through it by one hook."""

    _ports = itertools.count(1024)

    def __init__(self, net: Net, hook: str, tables: Tables) -> None:
        self.net, self.hook = net, hook
        self.clock = ManualClock(1000.0)
        self.tables = tables
        self.plane = EbpfPlane(self.tables, None, PlaneSettings(), self.clock, None)
        row = self.tables.settings[0]
        for place, dev in enumerate(("cl", "rs")):
            row["mac"][place] = int.from_bytes(bytes.fromhex(net.mac[dev].replace(":", "")), "little")
            row["xdp_device"][place] = net.index[dev]
        self.plane._hops.set_xdp_devices(frozenset(net.index.values()))

    # ---- set up ----

    def service(
        self, version: int = 4, protocol: Protocol = Protocol.TCP, scheduler: str = "rr", port: int = 80
    ) -> ServiceKey:
        key = ServiceKey(protocol=protocol, address=ip_address(VIP[version]), port=port)
        self.plane.apply([AddService(service=Service(key=key, scheduler=scheduler))])
        return key

    def server(
        self,
        service: ServiceKey,
        address: str | None = None,
        *,
        method: ForwardingMethod = ForwardingMethod.MASQUERADE,
        port: int = 8080,
        weight: int = 1,
        local: bool = False,
        resolved: bool = True,
        **fields: Any,
    ) -> Destination:
        """Add a destination; `fields` are further ones of Destination."""
        ip = ip_address(address or SERVER[service.address.version])
        destination = Destination(key=DestinationKey(address=ip, port=port), method=method, weight=weight, **fields)
        self.plane.apply([AddDestination(service=service, destination=destination)])
        if resolved:
            self.resolve(str(ip), local=local)
        return destination

    def resolve(self, address: str, *, local: bool = False, mtu: int = 1500, ready: bool = True) -> None:
        """What the resolver would say of a real server."""
        ip = ip_address(address)
        hop = NextHop(
            ifindex=self.net.index["rs"],
            gateway=None,
            source=ip_address(DIRECTOR[ip.version]),
            source_mac=bytes.fromhex(self.net.mac["rs"].replace(":", "")),
            destination_mac=bytes.fromhex(SERVER_MAC.replace(":", "")) if ready else None,
            mtu=mtu,
            local=local,
        )
        self.plane._hops.update({ip: hop})
        self.plane._hops.refresh()

    # ---- packets ----

    def next_port(self) -> int:
        return next(self._ports)

    def to_vip(
        self, version: int = 4, l4: type[Packet] = TCP, sport: int | None = None, *, dport: int = 80, **fields: Any
    ) -> Packet:
        """A client's packet; `flags` and other fields go to the transport header, `ip` (a dict) to the IP header."""
        ip_fields = fields.pop("ip", {})
        load = fields.pop("load", b"GET / HTTP/1.0\r\n\r\n")
        ip = (IP if version == 4 else IPv6)(src=CLIENT[version], dst=VIP[version], **ip_fields)
        return (
            Ether(src=CLIENT_MAC, dst=self.net.mac["cl"])
            / ip
            / l4(sport=sport or self.next_port(), dport=dport, **fields)
            / Raw(load)
        )

    def from_server(
        self, sport: int, client_port: int, version: int = 4, l4: type[Packet] = TCP, **fields: Any
    ) -> Packet:
        ip = (IP if version == 4 else IPv6)(src=SERVER[version], dst=CLIENT[version])
        return (
            Ether(src=SERVER_MAC, dst=self.net.mac["rs"])
            / ip
            / l4(sport=sport, dport=client_port, **fields)
            / Raw(b"answer")
        )

    def run(self, packet: Packet | bytes, dev: str = "cl", *, hook: str | None = None, gso: int = 0) -> Result:
        verdict, raw = self.run_raw(bytes(packet), dev, hook=hook, gso=gso)
        return Result(verdict, Ether(raw), raw)

    def run_raw(self, raw: bytes, dev: str = "cl", *, hook: str | None = None, gso: int = 0) -> tuple[str, bytes]:
        """As `run`, without a look into the packet that comes out."""
        hook = hook or self.hook
        if hook == "xdp":
            context = bytearray(struct.pack("=IIIIII", 0, len(raw), 0, self.net.index[dev], 0, 0))
            program = "lb_xdp"
        else:
            context = bytearray(192)
            struct.pack_into("=I", context, 40, self.net.index[dev])
            struct.pack_into("=II", context, 164, (len(raw) // gso + 1) if gso else 0, 0)
            struct.pack_into("=I", context, 176, gso)
            program = {"tc": "lb_tc", "egress": "lb_tc_egress"}[hook]
        fd = self.tables.program(program)
        result = self.net.inside(lambda: prog_test_run(fd, raw, context))
        names = VERDICTS["xdp" if hook == "xdp" else "tc"]
        return names.get(result.retval, f"verdict {result.retval}"), result.data_out

    # ---- looking at the tables ----

    def connections(self) -> tuple[Connection, ...]:
        return self.plane.connections(ConnectionFilter()).rows

    def state(self) -> str:
        (connection,) = self.connections()
        return connection.state

    def status(self, service: ServiceKey) -> ServiceStatus:
        return next(s for s in self.plane.snapshot() if s.service.key == service)

    def reasons(self) -> dict[str, int]:
        return {name: count for name, count in self.tables.reasons().items() if count}

    def age(self, seconds: float) -> None:
        """Make every connection older: what expires in less is expired."""
        valid = (self.tables.tags & 3) == abi.TAG_VALID
        self.tables.conns["expires"][valid] -= np.uint32(round(seconds * self.tables.hz))

    def sweep(self) -> tuple[int, int]:
        """(alive, freed)"""
        lines = len(self.tables.tags) // abi.CONN_WAYS
        alive, freed, _ = self.tables.sweep(0, lines)
        return alive, freed


@contextmanager
def outgoing(bench: Bench, dev: str) -> Iterator[socket.socket]:
    """A socket that hears what leaves by a device of the director."""
    heard = bench.net.inside(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)))
    with heard:
        heard.bind((dev, 3))
        heard.setblocking(False)
        yield heard


def leave(
    bench: Bench, packet: Packet | bytes, dev: str = "cl", to: str = "rs", mac: str = SERVER_MAC, *, gso: int = 0
) -> list[bytes]:
    """The frames that come of a packet, in order: those that leave on the way, and the one that the program returns."""
    frames = []
    with outgoing(bench, to) as heard:
        out = bench.run(packet, dev, gso=gso)
        while True:
            try:
                frame, where = heard.recvfrom(65536)
            except BlockingIOError:
                break
            if where[2] == PACKET_OUTGOING and frame[:6] == bytes.fromhex(mac.replace(":", "")):
                frames.append(frame)
    assert out.verdict == "redirect", bench.reasons()
    return [*frames, out.raw]


def assert_checksums(raw: bytes) -> None:
    """Every checksum of the packet is what its bytes demand."""
    packet = Ether(raw)
    copy = packet.copy()
    layers = [layer for layer in (IP, TCP, UDP) if layer in copy]
    got = [packet[layer].chksum for layer in layers]
    for layer in layers:
        del copy[layer].chksum
    want = [Ether(bytes(copy))[layer].chksum for layer in layers]
    assert got == want, f"checksums {got}, should be {want}"
