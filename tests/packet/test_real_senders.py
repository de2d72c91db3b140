"""Packets as the kernel makes them, longer than a page and with checksums left to the device, on an attached program.

clp ══ 60,000 bytes, one TCP super-packet ══▶ cl [lb_tc] rs ══▶ segments in gre with csum, one by one

The device `rs` leaves no checksum to others here: what the kernel still takes for unfinished it finishes before we see it.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from piranha.dataplane.ebpf import syscall
from piranha.dataplane.ebpf.clsact import Clsact, Direction
from piranha.model.service import ForwardingMethod
from tests.packet.bench import NAMESPACE, PACKET_OUTGOING, SERVER, SERVER_MAC, Bench, assert_checksums, outgoing, sh
from tests.packet.test_oversize import plain, whole
from tests.packet.test_tunnels import GRE_CSUM, GUE_CSUM, Kind, opened, served

SOL_PACKET, PACKET_VNET_HDR = 263, 15
NEEDS_CSUM, GSO_TCPV4, GSO_TCPV6 = 1, 1, 4  # linux/virtio_net.h
SO_RCVBUFFORCE = 33
LIMIT_S = 20


@contextmanager
def attached(bench: Bench) -> Iterator[None]:
    """lb_tc at the clients' device."""

    def attach() -> Clsact:
        hook, program = Clsact(), bench.tables.program("lb_tc")
        hook.attach(bench.net.index["cl"], Direction.INGRESS, program, syscall.prog_info(program).id)
        return hook

    def detach() -> None:
        hook.detach(bench.net.index["cl"], Direction.INGRESS)
        hook.close()

    hook = bench.net.inside(attach)
    sh(f"ip netns exec {NAMESPACE} ethtool -K rs tx off")
    try:
        yield
    finally:
        sh(f"ip netns exec {NAMESPACE} ethtool -K rs tx on")
        bench.net.inside(detach)


def caught(bench: Bench, packet: bytes, gso: int, version: int, wanted: int) -> list[bytes]:
    """The frames to the server that come of a packet; waits for as many as are wanted."""
    frames: list[bytes] = []
    with outgoing(bench, "rs") as heard, attached(bench):
        heard.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        send(bench, packet, gso, version)
        deadline_at = time.monotonic() + LIMIT_S
        while len(frames) < wanted and (left_s := deadline_at - time.monotonic()) > 0:
            if select.select([heard], [], [], left_s)[0]:
                frame, where = heard.recvfrom(65536)
                if where[2] == PACKET_OUTGOING and frame[:6] == bytes.fromhex(SERVER_MAC.replace(":", "")):
                    frames.append(frame)
    assert len(frames) == wanted, bench.reasons()
    return frames


def send(bench: Bench, packet: bytes, gso: int, version: int) -> None:
    """As a local sender's stack does: the checksum's place has the pseudo header's sum."""
    l4 = 34 if version == 4 else 54
    kind = (GSO_TCPV4 if version == 4 else GSO_TCPV6) if gso else 0
    header = struct.pack("=BBHHHH", NEEDS_CSUM, kind, l4 + 20, gso, l4, 16)

    def write() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as wire:
            wire.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
            wire.bind(("clp", 0))
            wire.send(header + packet)

    bench.net.inside(write)


def seeded(packet: bytes, version: int) -> bytes:
    l4 = 34 if version == 4 else 54
    addresses = packet[26:34] if version == 4 else packet[22:54]
    words = addresses + struct.pack("!II", len(packet) - l4, 6)
    total = sum(int.from_bytes(words[i : i + 2], "big") for i in range(0, len(words), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return packet[: l4 + 16] + total.to_bytes(2, "big") + packet[l4 + 18 :]


@pytest.mark.parametrize(("kind", "outer"), [(GRE_CSUM, 4), (GRE_CSUM, 6), (GUE_CSUM, 6)], ids=str)
@pytest.mark.parametrize("inner", [4, 6])
def test_a_super_packet_into_a_tunnel_with_a_checksum(tc: Bench, kind: Kind, inner: int, outer: int) -> None:
    served(tc, kind, inner, outer)
    tc.run(tc.to_vip(inner, TCP, 5000, flags="S"))
    load = bytes(i * i % 253 for i in range(60_001))
    ip = {"flags": "DF"} if inner == 4 else {}
    packet = seeded(bytes(tc.to_vip(inner, TCP, 5000, seq=1, flags="A", load=load, ip=ip)), inner)
    step = 1400 - (20 if outer == 4 else 40) - kind.shim
    wanted = -(-len(load) // step)
    frames = caught(tc, packet, 1400, inner, wanted)
    got = b""
    for frame in frames:
        inside = opened(frame, kind, inner, outer)[1]
        assert_checksums(frame[:12] + (b"\x08\0" if inner == 4 else b"\x86\xdd") + bytes(inside))
        assert inside[TCP].seq == 1 + len(got)
        got += bytes(inside[TCP].payload)
    assert got == load
    assert (IP if outer == 4 else IPv6) in Ether(frames[0])
    assert Ether(frames[0]).payload.dst == SERVER[outer]
    assert tc.reasons() == {}


@pytest.mark.parametrize("method", [ForwardingMethod.MASQUERADE, ForwardingMethod.DIRECT])
def test_a_packet_that_is_cut_has_its_checksum(tc: Bench, method: ForwardingMethod) -> None:
    plain(tc, method, TCP)
    load = bytes(i * i % 253 for i in range(1001))
    packet = seeded(bytes(tc.to_vip(4, TCP, 5000, flags="A", load=load)), 4)
    frame = whole(caught(tc, packet, 0, 4, 2))
    assert_checksums(frame)
    assert bytes(Ether(frame)[TCP].payload) == load
