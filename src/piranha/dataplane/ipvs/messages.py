"""IPVS's netlink messages as model values and back (Linux `ip_vs.h`, `ip_vs_ctl.c`).

Two things that the kernel insists on: scheduler, flags, timeout and netmask of a service come together or not at all, and
the netmask of IPv6 is a prefix length in host order. Ports are in network order, those of tunnels too.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from piranha.dataplane.ipvs.netlink import attributes, nested, packed, text_of
from piranha.dataplane.port import SyncDaemon, SyncRole
from piranha.model.address import IPAddress
from piranha.model.service import (
    Counters,
    Destination,
    DestinationKey,
    DestinationStatus,
    ForwardingMethod,
    PersistencePrefix,
    Protocol,
    Rates,
    SchedulerFlag,
    Service,
    ServiceKey,
    Timeouts,
    TunnelChecksum,
    TunnelType,
    persistence_prefix,
)

FAMILY = "IPVS"
NEW_SERVICE, SET_SERVICE, DEL_SERVICE, GET_SERVICE = 1, 2, 3, 4
NEW_DEST, SET_DEST, DEL_DEST, GET_DEST = 5, 6, 7, 8
NEW_DAEMON, DEL_DAEMON, GET_DAEMON = 9, 10, 11
SET_CONFIG, GET_CONFIG, GET_INFO, ZERO, FLUSH = 12, 13, 15, 16, 17

_CMD_SERVICE, _CMD_DEST, _CMD_DAEMON = 1, 2, 3
_CMD_TIMEOUT_TCP, _CMD_TIMEOUT_TCP_FIN, _CMD_TIMEOUT_UDP = 4, 5, 6
_INFO_VERSION, _INFO_TABLE_SIZE = 1, 2
_SVC_AF, _SVC_PROTOCOL, _SVC_ADDR, _SVC_PORT, _SVC_FWMARK, _SVC_SCHED, _SVC_FLAGS = 1, 2, 3, 4, 5, 6, 7
_SVC_TIMEOUT, _SVC_NETMASK, _SVC_STATS, _SVC_PE, _SVC_STATS64 = 8, 9, 10, 11, 12
_DEST_ADDR, _DEST_PORT, _DEST_METHOD, _DEST_WEIGHT, _DEST_UPPER, _DEST_LOWER = 1, 2, 3, 4, 5, 6
_DEST_ACTIVE, _DEST_INACTIVE, _DEST_PERSISTENT, _DEST_STATS, _DEST_AF, _DEST_STATS64 = 7, 8, 9, 10, 11, 12
_DEST_TUN_TYPE, _DEST_TUN_PORT, _DEST_TUN_FLAGS = 13, 14, 15
_DAEMON_STATE, _DAEMON_INTERFACE, _DAEMON_SYNC_ID, _DAEMON_MAXLEN = 1, 2, 3, 4
_DAEMON_GROUP, _DAEMON_GROUP6, _DAEMON_PORT, _DAEMON_TTL = 5, 6, 7, 8

_F_PERSISTENT, _F_ONE_PACKET = 0x1, 0x4
_ALL_FLAGS = 0xFFFFFFFF
_METHOD_MASK = 0x7
_U16, _U32, _U64 = struct.Struct("=H"), struct.Struct("=I"), struct.Struct("=Q")
_PORT = struct.Struct("!H")
_FLAGS = struct.Struct("=II")

_METHODS = {ForwardingMethod.MASQUERADE: 0, ForwardingMethod.TUNNEL: 2, ForwardingMethod.DIRECT: 3}
_LOCAL = 1
_METHOD_OF = {number: method for method, number in _METHODS.items()} | {_LOCAL: ForwardingMethod.DIRECT}
"""ipvsadm never makes a destination "local"; one made so by other programs acts as a direct one on an own address."""
_TUNNELS = (TunnelType.IPIP, TunnelType.GUE, TunnelType.GRE)
_CHECKSUMS = (TunnelChecksum.NONE, TunnelChecksum.FULL, TunnelChecksum.REMOTE)
_ROLES = {SyncRole.MASTER: 1, SyncRole.BACKUP: 2}
DEFAULT_GROUP = IPv4Address("224.0.0.81")


@dataclass(frozen=True, slots=True, kw_only=True)
class Information:
    """What the module says of itself."""

    version: tuple[int, int, int]
    table_size: int

    def __str__(self) -> str:
        return f"IP Virtual Server version {'.'.join(map(str, self.version))} (size={self.table_size})"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceReading:
    """A service as the kernel tells it, without its destinations."""

    service: Service
    counters: Counters
    rates: Rates


def pack_key(key: ServiceKey) -> bytes:
    """A service named, for commands that do not change its settings."""
    return nested(_CMD_SERVICE, _key(key))


def pack_service(service: Service) -> bytes:
    """A service with its settings, all of them: the mask of the flags covers every bit."""
    flags = int(service.flags)
    if service.persistent_s:
        flags |= _F_PERSISTENT
    if service.one_packet:
        flags |= _F_ONE_PACKET
    body = {
        _SVC_SCHED: service.scheduler.encode() + b"\0",
        _SVC_FLAGS: _FLAGS.pack(flags, _ALL_FLAGS),
        _SVC_TIMEOUT: _U32.pack(service.persistent_s),
        _SVC_NETMASK: _netmask(service),
    }
    if service.engine:
        body[_SVC_PE] = service.engine.encode() + b"\0"
    return nested(_CMD_SERVICE, _key(service.key) + packed(body))


def pack_destination_key(key: DestinationKey) -> bytes:
    return nested(_CMD_DEST, _destination_key(key))


def pack_destination(destination: Destination) -> bytes:
    body = {
        _DEST_METHOD: _U32.pack(_METHODS[destination.method]),
        _DEST_WEIGHT: _U32.pack(destination.weight),
        _DEST_UPPER: _U32.pack(destination.upper_threshold),
        _DEST_LOWER: _U32.pack(destination.lower_threshold),
        _DEST_TUN_TYPE: bytes([_TUNNELS.index(destination.tunnel)]),
        _DEST_TUN_PORT: _PORT.pack(destination.tunnel_port),
        _DEST_TUN_FLAGS: _U16.pack(_CHECKSUMS.index(destination.tunnel_checksum)),
    }
    return nested(_CMD_DEST, _destination_key(destination.key) + packed(body))


def pack_timeouts(timeouts: Timeouts) -> bytes:
    """Whole seconds; 0 leaves a timeout as it is."""
    return packed(
        {
            _CMD_TIMEOUT_TCP: _U32.pack(int(timeouts.tcp_s)),
            _CMD_TIMEOUT_TCP_FIN: _U32.pack(int(timeouts.tcp_fin_s)),
            _CMD_TIMEOUT_UDP: _U32.pack(int(timeouts.udp_s)),
        }
    )


def pack_daemon(daemon: SyncDaemon) -> bytes:
    body = {
        _DAEMON_STATE: _U32.pack(_ROLES[daemon.role]),
        _DAEMON_INTERFACE: daemon.interface.encode() + b"\0",
        _DAEMON_SYNC_ID: _U32.pack(daemon.sync_id),
        _DAEMON_MAXLEN: _U16.pack(daemon.max_length),
        _DAEMON_PORT: _U16.pack(daemon.port),
        _DAEMON_TTL: bytes([daemon.ttl]),
    }
    if daemon.group is not None:
        body[_DAEMON_GROUP if daemon.group.version == 4 else _DAEMON_GROUP6] = daemon.group.packed
    return nested(_CMD_DAEMON, packed(body))


def pack_role(role: SyncRole) -> bytes:
    return nested(_CMD_DAEMON, packed({_DAEMON_STATE: _U32.pack(_ROLES[role])}))


def read_service(message: bytes) -> ServiceReading | None:
    """None for a service of a protocol that has no name here."""
    found = attributes(attributes(message)[_CMD_SERVICE])
    version = 6 if _u16(found[_SVC_AF]) == socket.AF_INET6 else 4
    if _SVC_FWMARK in found:
        key = ServiceKey.of_mark(_u32(found[_SVC_FWMARK]), version)
    else:
        number = _u16(found[_SVC_PROTOCOL])
        if number not in _PROTOCOLS:
            return None
        key = ServiceKey(
            protocol=Protocol(number),
            address=_address(found[_SVC_ADDR], version),
            port=_PORT.unpack(found[_SVC_PORT])[0],
        )
    flags = _FLAGS.unpack(found[_SVC_FLAGS])[0]
    persistent = bool(flags & _F_PERSISTENT)
    counters, rates = _statistics(found.get(_SVC_STATS64), found.get(_SVC_STATS))
    service = Service(
        key=key,
        scheduler=text_of(found[_SVC_SCHED]),
        flags=SchedulerFlag(flags & _SCHEDULER_FLAGS),
        persistent_s=_u32(found[_SVC_TIMEOUT]) if persistent else 0,
        persistence_prefix=_prefix(found[_SVC_NETMASK], version) if persistent else None,
        engine=text_of(found[_SVC_PE]) if _SVC_PE in found else "",
        one_packet=bool(flags & _F_ONE_PACKET),
    )
    return ServiceReading(service=service, counters=counters, rates=rates)


def read_destination(message: bytes, service: ServiceKey) -> DestinationStatus:
    """A destination of `service`, whose family it has where an old kernel does not say."""
    found = attributes(attributes(message)[_CMD_DEST])
    version = service.address.version
    if _DEST_AF in found:
        version = 6 if _u16(found[_DEST_AF]) == socket.AF_INET6 else 4
    counters, rates = _statistics(found.get(_DEST_STATS64), found.get(_DEST_STATS))
    tunnel, checksum = found.get(_DEST_TUN_TYPE, b"\0")[0], _u16(found.get(_DEST_TUN_FLAGS, b"\0\0"))
    destination = Destination(
        key=DestinationKey(
            address=_address(found[_DEST_ADDR], version),
            port=_PORT.unpack(found[_DEST_PORT])[0],
        ),
        method=_METHOD_OF.get(_u32(found[_DEST_METHOD]) & _METHOD_MASK, ForwardingMethod.DIRECT),
        weight=_u32(found[_DEST_WEIGHT]),
        upper_threshold=_u32(found[_DEST_UPPER]),
        lower_threshold=_u32(found[_DEST_LOWER]),
        tunnel=_TUNNELS[min(tunnel, len(_TUNNELS) - 1)],
        tunnel_port=_PORT.unpack(found.get(_DEST_TUN_PORT, b"\0\0"))[0],
        tunnel_checksum=_CHECKSUMS[min(checksum, len(_CHECKSUMS) - 1)],
    )
    return DestinationStatus(
        destination=destination,
        active_connections=_u32(found[_DEST_ACTIVE]),
        inactive_connections=_u32(found[_DEST_INACTIVE]),
        persistent_connections=_u32(found[_DEST_PERSISTENT]),
        counters=counters,
        rates=rates,
    )


def read_timeouts(message: bytes) -> Timeouts:
    found = attributes(message)
    return Timeouts(
        tcp_s=_u32(found[_CMD_TIMEOUT_TCP]),
        tcp_fin_s=_u32(found[_CMD_TIMEOUT_TCP_FIN]),
        udp_s=_u32(found[_CMD_TIMEOUT_UDP]),
    )


def read_information(message: bytes) -> Information:
    """The answer to GET_INFO, whose attributes use the numbers of others with a meaning of their own."""
    found = attributes(message)
    version = _u32(found[_INFO_VERSION])
    return Information(
        version=(version >> 16, version >> 8 & 0xFF, version & 0xFF), table_size=_u32(found[_INFO_TABLE_SIZE])
    )


def read_daemon(message: bytes) -> SyncDaemon:
    """A daemon that runs; its group is None where it is IPVS's own, its length what the kernel settled on."""
    found = attributes(attributes(message)[_CMD_DAEMON])
    group: IPAddress | None = None
    if _DAEMON_GROUP6 in found:
        group = IPv6Address(found[_DAEMON_GROUP6])
    elif _DAEMON_GROUP in found:
        group = IPv4Address(found[_DAEMON_GROUP])
    return SyncDaemon(
        role=SyncRole.MASTER if _u32(found[_DAEMON_STATE]) == _ROLES[SyncRole.MASTER] else SyncRole.BACKUP,
        interface=text_of(found[_DAEMON_INTERFACE]),
        sync_id=_u32(found[_DAEMON_SYNC_ID]),
        group=None if group == DEFAULT_GROUP else group,
        port=_u16(found[_DAEMON_PORT]) if _DAEMON_PORT in found else 8848,
        ttl=found[_DAEMON_TTL][0] if _DAEMON_TTL in found else 1,
        max_length=_u16(found[_DAEMON_MAXLEN]) if _DAEMON_MAXLEN in found else 0,
    )


_PROTOCOLS = frozenset(int(protocol) for protocol in Protocol)
_SCHEDULER_FLAGS = int(SchedulerFlag.SCHED1 | SchedulerFlag.SCHED2 | SchedulerFlag.SCHED3)
_STATISTIC_SHAPES = {
    # 32-bit statistics keep 64-bit bytes between 32-bit numbers; kernels since 4.1 send the wide ones too.
    True: (_U64,) * 10,
    False: (_U32, _U32, _U32, _U64, _U64, *(_U32,) * 5),
}


def _statistics(wide: bytes | None, narrow: bytes | None) -> tuple[Counters, Rates]:
    data = wide if wide is not None else narrow
    if data is None:
        return Counters(), Rates()
    found = attributes(data)
    shapes = _STATISTIC_SHAPES[wide is not None]
    # Numbers 1 to 5 are the counters, 6 to 10 the rates, in the order of the model's fields.
    numbers = [shape.unpack(found[kind])[0] if kind in found else 0 for kind, shape in enumerate(shapes, 1)]
    return Counters(*numbers[:5]), Rates(*(float(number) for number in numbers[5:]))


def _key(key: ServiceKey) -> bytes:
    family = socket.AF_INET6 if key.address.version == 6 else socket.AF_INET
    body = {_SVC_AF: _U16.pack(family)}
    if key.mark:
        body[_SVC_FWMARK] = _U32.pack(key.mark)
    else:
        body[_SVC_PROTOCOL] = _U16.pack(key.protocol)
        body[_SVC_ADDR] = key.address.packed.ljust(16, b"\0")
        body[_SVC_PORT] = _PORT.pack(key.port)
    return packed(body)


def _destination_key(key: DestinationKey) -> bytes:
    family = socket.AF_INET6 if key.address.version == 6 else socket.AF_INET
    return packed(
        {
            _DEST_AF: _U16.pack(family),
            _DEST_ADDR: key.address.packed.ljust(16, b"\0"),
            _DEST_PORT: _PORT.pack(key.port),
        }
    )


def _netmask(service: Service) -> bytes:
    mask = service.persistence_mask
    return _U32.pack(mask) if service.key.address.version == 6 else mask.to_bytes(4, "big")


def _prefix(mask: bytes, version: int) -> PersistencePrefix:
    return persistence_prefix(_u32(mask) if version == 6 else int.from_bytes(mask[:4], "big"), version)


def _address(data: bytes, version: int) -> IPAddress:
    return IPv6Address(data[:16]) if version == 6 else IPv4Address(data[:4])


def _u16(data: bytes) -> int:
    number: int = _U16.unpack(data)[0]
    return number


def _u32(data: bytes) -> int:
    number: int = _U32.unpack(data)[0]
    return number
