"""The mirror of `bpf/abi.h`: numpy layouts of what the kernel programs and we share, and what both sides compute.

`check` compares every layout with the object's BTF; the loader calls it and refuses a mismatch.
"""

from __future__ import annotations

from enum import IntFlag
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import numpy as np
from numpy.typing import NDArray

from piranha.dataplane.ebpf.btf import Btf
from piranha.model.address import IPAddress
from piranha.model.service import (
    Destination,
    DestinationKey,
    ForwardingMethod,
    PersistencePrefix,
    Protocol,
    Service,
    ServiceKey,
    TunnelChecksum,
    TunnelType,
    persistence_prefix,
)

CONN_WAYS = 16
REV_WAYS = 8
SLOT_WORDS = 16
STATES = 16
OWN_MACS = 8
FTP_PORTS = 8
FILTER_BITS = 15
NO_DEST = 0xFFFFFFFF

TAG_VALID = 1
TAG_WRITING = 2

CONN_METHOD = 0x0003
CONN_INACTIVE = 0x0004
CONN_REVERSE = 0x0008
CONN_TEMPLATE = 0x0010
CONN_KEEP_PORT = 0x0020
CONN_SYNCED = 0x0040
CONN_RETIRED = 0x0080
CONN_FTP = 0x0100
CONN_PORT_BELOW = 0x0200
CONN_NO_CPORT = 0x0400
CONN_CALL = 0x0800


class DestFlag(IntFlag):
    PRESENT = 0x01
    LOCAL = 0x04
    MASQUERADED = 0x08


class NextHopFlag(IntFlag):
    READY = 0x01
    XDP = 0x02


class ServiceFlag(IntFlag):
    PRESENT = 0x01
    PERSISTENT = 0x02
    ONE_PACKET = 0x04
    SIP = 0x40


class SettingFlag(IntFlag):
    MASQ = 0x01
    MARKS = 0x02
    MARK_ANY = 0x04
    FTP = 0x08
    CALLS = 0x20


class Rule(IntFlag):
    """IPVS's switches of the same names, as bits of `settings.rules`."""

    EXPIRE_NODEST_CONN = 0x01
    EXPIRE_QUIESCENT_TEMPLATE = 0x02
    SLOPPY_TCP = 0x04
    SLOPPY_SCTP = 0x08
    PMTU_DISC = 0x10
    SCHEDULE_ICMP = 0x0100
    NAT_ICMP_SEND = 0x0200
    CACHE_BYPASS = 0x0400


class DefenceFlag(IntFlag):
    """Defences in force, as bits of `settings.defences`."""

    SECURE_TCP = 0x01
    DROP_PACKET = 0x02
    DROP_ENTRY = 0x04


class FilterBit(IntFlag):
    VIP = 1
    SERVER = 2


METHODS: dict[ForwardingMethod, int] = {
    ForwardingMethod.MASQUERADE: 0,
    ForwardingMethod.DIRECT: 1,
    ForwardingMethod.TUNNEL: 2,
}
METHOD_BYPASS = 3
NOBODY = 0
"""The destination of bypassed connections."""
TUNNELS: tuple[TunnelType, ...] = (TunnelType.IPIP, TunnelType.GUE, TunnelType.GRE)
"""By IPVS's numbers."""
TUNNEL_CHECKSUMS: tuple[TunnelChecksum, ...] = (TunnelChecksum.NONE, TunnelChecksum.FULL, TunnelChecksum.REMOTE)
METHOD_NAMES: dict[int, ForwardingMethod] = {number: method for method, number in METHODS.items()}

# Names and default time-outs in seconds of IPVS (Linux net/netfilter/ipvs/ip_vs_proto_tcp.c), by state number.
TCP_STATES: tuple[tuple[str, int], ...] = (
    ("NONE", 2),
    ("ESTABLISHED", 900),
    ("SYN_SENT", 120),
    ("SYN_RECV", 60),
    ("FIN_WAIT", 120),
    ("TIME_WAIT", 120),
    ("CLOSE", 10),
    ("CLOSE_WAIT", 60),
    ("LAST_ACK", 30),
    ("LISTEN", 120),
    ("SYNACK", 120),
)
# The same of SCTP (ip_vs_proto_sctp.c); the words are those that IPVS shows.
SCTP_STATES: tuple[tuple[str, int], ...] = (
    ("NONE", 2),
    ("INIT1", 4),
    ("INIT", 61),
    ("C-SENT", 61),
    ("C-REPLIED", 61),
    ("C-WAIT", 61),
    ("COOKIE", 61),
    ("C-ECHOED", 61),
    ("ESTABLISHED", 900),
    ("S-SENT", 61),
    ("S-RECEIVED", 61),
    ("S-ACK-SENT", 61),
    ("REJECTED", 4),
    ("CLOSED", 61),
)
TCP_ESTABLISHED = 1
TCP_FIN_WAIT = 4
UDP_TIMEOUT_S = 300
FTP_PORT = 21

ADDR = ("u1", (16,))

CONN_LINE = np.dtype([("tag", "<u4", (CONN_WAYS,))])
REV_LINE = np.dtype([("word", "<u8", (REV_WAYS,))])
CONN = np.dtype(
    [
        ("caddr", *ADDR),
        ("vaddr", *ADDR),
        ("cport", ">u2"),
        ("vport", ">u2"),
        ("life", "<u4"),
        ("dest", "<u4"),
        ("expires", "<u4"),
        ("packets", "<u4"),
        ("control", "<u4"),
        ("route", "<u4"),
        ("created", "<u4"),
    ]
)
DEST = np.dtype(
    [
        ("addr", *ADDR),
        ("port", ">u2"),
        ("method", "u1"),
        ("flags", "u1"),
        ("weight", "<i4"),
        ("active", "<u4"),
        ("inactive", "<u4"),
        ("nexthop", "<u4"),
        ("service", "<u4"),
        ("upper", "<u4"),
        ("lower", "<u4"),
        ("serial", "<u4"),
        ("overload", "<u4"),
        ("persistent", "<u4"),
        ("tunnel_port", ">u2"),
        ("tunnel_type", "u1"),
        ("tunnel_flags", "u1"),
    ]
)
DEST_WORDS = DEST.itemsize // 4
NEXTHOP = np.dtype(
    [
        ("ifindex", "<u4"),
        ("mtu", "<u4"),
        ("dmac", "u1", (6,)),
        ("smac", "u1", (6,)),
        ("flags", "u1"),
        ("pad", "u1", (3,)),
        ("gateway", *ADDR),
        ("source", *ADDR),
        ("learned", "<u8"),
    ]
)
CLIENT_ROUTE = np.dtype(
    [
        ("ifindex", "<u4"),
        ("dmac", "u1", (6,)),
        ("smac", "u1", (6,)),
        ("confirmed", "<u4"),
        ("mtu", "<u4"),
        ("lock", "<u4"),
        ("flags", "<u4"),
    ]
)
SERVICE_KEY = np.dtype([("addr", *ADDR), ("port", ">u2"), ("proto", "u1"), ("pad", "u1"), ("mark", "<u4")])
SERVER_KEY = np.dtype([("addr", *ADDR), ("port", ">u2"), ("proto", "u1"), ("pad", "u1", (5,))])
SERVICE = np.dtype(
    [
        ("table", "<u8"),
        ("key", SERVICE_KEY),
        ("scheduler", "<u4"),
        ("flags", "<u4"),
        ("serial", "<u4"),
        ("index", "<u4"),
        ("persistent", "<u4"),
        ("mask", "<u4"),
    ]
)
SLOT_LINE = np.dtype([("word", "<u4", (SLOT_WORDS,))])
DEST_STATS = np.dtype(
    [("conns", "<u8"), ("in_packets", "<u8"), ("out_packets", "<u8"), ("in_bytes", "<u8"), ("out_bytes", "<u8")]
)
SETTINGS = np.dtype(
    [
        ("key", "<u8", (6,)),
        ("conn_lines", "<u4"),
        ("rev_lines", "<u4"),
        ("hz", "<u4"),
        ("flags", "<u4"),
        ("tcp_timeout", "<u4", (STATES,)),
        ("sctp_timeout", "<u4", (STATES,)),
        ("udp_timeout", "<u4"),
        ("route_shift", "<u4"),
        ("mac", "<u8", (OWN_MACS,)),
        ("xdp_device", "<u4", (OWN_MACS,)),
        ("icmp_rate", "<u4"),
        ("icmp_burst", "<u4"),
        ("rules", "<u4"),
        ("conn_reuse_mode", "<u4"),
        ("mark_rules", "<u4"),
        ("defences", "<u4"),
        ("ftp_ports", ">u2", (FTP_PORTS,)),
    ]
)
DEFENCE = np.dtype(
    [
        ("drop_entry", "<u4"),
        ("drop_packet", "<u4"),
        ("secure_tcp", "<u4"),
        ("amemthresh", "<u4"),
        ("am_droprate", "<u4"),
        ("capacity", "<u4"),
        ("room", "<u4"),
        ("drop_rate", "<u4"),
        ("drop_counter", "<i4"),
        ("idle_counter", "<i4", (16,)),
        ("pad", "<u4"),
        ("entries_dropped", "<u8"),
    ]
)
FTP_KEY = np.dtype([("flow", ">u4", (9,))])
FTP_CONTROL = np.dtype(
    [
        ("position", "<u4"),
        ("before", "<i4"),
        ("after", "<i4"),
        ("children", "<u4"),
        ("expected", "u1"),
        ("latest", "u1"),
        ("pad", "u1", (2,)),
    ]
)
MARK_RULE = np.dtype(
    [
        ("addr", *ADDR),
        ("mask", *ADDR),
        ("first_port", "<u2"),
        ("last_port", "<u2"),
        ("mark", "<u4"),
        ("proto", "u1"),
        ("pad", "u1", (7,)),
    ]
)
CALL = np.dtype([("length", "u1"), ("id", "u1", (255,))])
FILTER_LINE = np.dtype([("word", "<u8", (8,))])
SWEEP_ARGS = np.dtype([("first_line", "<u4"), ("lines", "<u4"), ("live", "<u4"), ("expired", "<u4"), ("now", "<u4")])
WEIGH_ARGS = np.dtype([("live", "<u4")])
TICKER_ARGS = np.dtype([("period_ms", "<u4"), ("lines", "<u4"), ("result", "<i4"), ("pad", "<u4")])
# Of bpf/sched_locality.h.
LOCALITY = np.dtype(
    [("lblc_expiration", "<u4"), ("lblcr_expiration", "<u4"), ("full_cache", "<u8"), ("full_set", "<u8")]
)

LAYOUTS: dict[str, np.dtype[np.void]] = {
    "conn_line": CONN_LINE,
    "rev_line": REV_LINE,
    "conn": CONN,
    "dest": DEST,
    "nexthop": NEXTHOP,
    "client_route": CLIENT_ROUTE,
    "service_key": SERVICE_KEY,
    "server_key": SERVER_KEY,
    "service": SERVICE,
    "slot_line": SLOT_LINE,
    "dest_stats": DEST_STATS,
    "settings": SETTINGS,
    "defence": DEFENCE,
    "call": CALL,
    "filter_line": FILTER_LINE,
    "ftp_key": FTP_KEY,
    "ftp_control": FTP_CONTROL,
    "locality": LOCALITY,
    "mark_rule": MARK_RULE,
    "sweep_args": SWEEP_ARGS,
    "ticker_args": TICKER_ARGS,
    "weigh_args": WEIGH_ARGS,
}


def check(btf: Btf) -> None:
    """Raise AbiMismatch with the first difference between this file and the object that `btf` describes."""
    for name, layout in LAYOUTS.items():
        btf.check(layout, name)


def reason_names(btf: Btf) -> tuple[str, ...]:
    """Words of `enum reason` in the order of their numbers: `no_destination`, `table_full`, …"""
    values = {name: number for name, number in btf.constants().items() if name.startswith("REASON_")}
    count = values.pop("REASON_COUNT")
    names = {number: name.removeprefix("REASON_").lower() for name, number in values.items()}
    return tuple(names[number] for number in range(count))


def pack_address(address: IPAddress) -> bytes:
    """16 bytes in network order; IPv4 as ::ffff:a.b.c.d."""
    return address.packed if address.version == 6 else b"\0" * 10 + b"\xff\xff" + address.packed


def unpack_address(raw: bytes | NDArray[np.uint8]) -> IPAddress:
    packed = bytes(raw)
    return IPv4Address(packed[12:]) if packed[:12] == b"\0" * 10 + b"\xff\xff" else IPv6Address(packed)


def pack_tunnel(destination: Destination) -> int:
    """The tunnel's port, type and flags: the last word of a `struct dest`, so that packets never see a mixture."""
    kind, flags = TUNNELS.index(destination.tunnel), TUNNEL_CHECKSUMS.index(destination.tunnel_checksum)
    return int.from_bytes(destination.tunnel_port.to_bytes(2, "big") + bytes([kind, flags]), "little")


def pack_mask(network: IPv4Network | IPv6Network) -> bytes:
    """The mask of a network for addresses as `pack_address` writes them."""
    prefix = network.prefixlen + (96 if network.version == 4 else 0)
    return ((1 << 128) - (1 << (128 - prefix))).to_bytes(16, "big")


def filter_position(address: IPAddress) -> int:
    """Where `bpf/filter.h` looks for an address: the index of its pair of bits."""
    low, high = np.frombuffer(pack_address(address), "<u8")
    mixed = (int(low) ^ int(high)) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
    return mixed >> (64 - FILTER_BITS)


def pack_service_key(key: ServiceKey) -> bytes:
    """A `struct service_key`; that of a mark has protocol and port 0."""
    return (
        pack_address(key.address)
        + key.port.to_bytes(2, "big")
        + bytes([int(key.protocol), 0])
        + key.mark.to_bytes(4, "little")
    )


def pack_server_key(service: ServiceKey, destination: DestinationKey) -> bytes:
    """A `struct server_key`: where the destination answers from."""
    port = destination.port.to_bytes(2, "big")
    return pack_address(destination.address) + port + bytes([int(service.protocol)]) + bytes(5)


def pack_persistence_mask(service: Service) -> int:
    """The word `mask` of a `struct service`; that of IPv4 is in network order."""
    return _turned(service.persistence_mask, service.key.address.version)


def unpack_persistence_mask(word: int, version: int) -> PersistencePrefix:
    return persistence_prefix(_turned(word, version), version)


def _turned(word: int, version: int) -> int:
    return word if version == 6 else int.from_bytes(word.to_bytes(4, "big"), "little")


def unpack_service_key(row: np.void) -> ServiceKey:
    return ServiceKey(
        protocol=Protocol(int(row["proto"])),
        address=unpack_address(row["addr"]),
        port=int(row["port"]),
        mark=int(row["mark"]),
    )
