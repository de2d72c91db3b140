"""The texts of `/proc/net/ip_vs`, `ip_vs_conn`, `ip_vs_conn_sync` and `ip_vs_stats`, for the programs that read those."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from piranha.dataplane.port import Connection
from piranha.ipvsadm.entries import virtual_of
from piranha.ipvsadm.listing import version_header
from piranha.model.address import IPAddress
from piranha.model.service import Counters, ForwardingMethod, Rates, Service, ServiceStatus

_METHODS = {
    ForwardingMethod.MASQUERADE: "Masq",
    ForwardingMethod.TUNNEL: "Tunnel",
    ForwardingMethod.DIRECT: "Route",
}


def format_ip_vs(table: Sequence[ServiceStatus], *, size: int, hz: int) -> Iterator[str]:
    """`/proc/net/ip_vs`: numbers of addresses, ports and masks in hexadecimal, persistence in ticks of `hz`."""
    yield version_header(size)
    yield "Prot LocalAddress:Port Scheduler Flags\n  -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n"
    for status in table:
        yield _service(status.service, hz)
        # The kernel's list has the newest first.
        for found in reversed(status.destinations):
            server = found.destination
            yield (
                f"  -> {_bracketed(server.key.address)}:{server.key.port:04X}      {_METHODS[server.method]:<7} "
                f"{server.weight:<6} {found.active_connections:<10} {found.inactive_connections:<10}\n"
            )


def format_ip_vs_conn(connections: Iterable[Connection]) -> Iterator[str]:
    yield "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData\n"
    for entry in connections:
        engine = f" {entry.engine} {entry.engine_data}" if entry.engine else ""
        yield f"{_entry(entry)} {int(entry.expires_s):7}{engine}\n"


def format_ip_vs_conn_sync(connections: Iterable[Connection]) -> Iterator[str]:
    """Which entries a peer made. Of the kernel's plane nobody reads this here: its own file says it."""
    yield "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Origin Expires\n"
    for entry in connections:
        yield f"{_entry(entry)} {'SYNC' if entry.is_synced else 'LOCAL':<6} {int(entry.expires_s):7}\n"


def format_ip_vs_stats(table: Iterable[ServiceStatus]) -> str:
    """Totals and rates of all services, in hexadecimal."""
    counters, rates = Counters(), Rates()
    for status in table:
        counters += status.counters
        rates = _sum(rates, status.rates)
    c = counters
    r = [
        math.ceil(value - 0.5)
        for value in (rates.connections, rates.in_packets, rates.out_packets, rates.in_bytes, rates.out_bytes)
    ]
    return (
        "   Total Incoming Outgoing         Incoming         Outgoing\n"
        "   Conns  Packets  Packets            Bytes            Bytes\n"
        f"{c.connections:8X} {c.in_packets:8X} {c.out_packets:8X} {c.in_bytes:16X} {c.out_bytes:16X}\n\n"
        " Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n"
        f"{r[0]:8X} {r[1]:8X} {r[2]:8X} {r[3]:16X} {r[4]:16X}\n"
    )


def _service(service: Service, hz: int) -> str:
    key = service.key
    ops = "ops " if service.one_packet else ""
    if key.mark:
        text = f"FWM  {key.mark:08X} {service.scheduler} {ops}"
    elif key.address.version == 6:
        # IPv6 services never show their one-packet flag.
        text = f"{key.protocol.name}  {_bracketed(key.address)}:{key.port:04X} {service.scheduler} "
    else:
        text = f"{key.protocol.name}  {_bracketed(key.address)}:{key.port:04X} {service.scheduler} {ops} "
    if service.persistent_s:
        text += f"persistent {service.persistent_s * hz} {_mask(service):08X}"
    return text + "\n"


def _mask(service: Service) -> int:
    """An IPv6 prefix length shows with its bytes turned round."""
    mask = service.persistence_mask
    return int.from_bytes(mask.to_bytes(4, "little"), "big") if service.key.address.version == 6 else mask


def _entry(entry: Connection) -> str:
    return (
        f"{entry.protocol.name:<3} {_hex(entry.client)} {entry.client_port:04X} {_hex(virtual_of(entry))} "
        f"{entry.virtual_port:04X} {_hex(entry.destination)} {entry.destination_port:04X} {entry.state:<11}"
    )


def _hex(address: IPAddress) -> str:
    return f"{int(address):08X}" if address.version == 4 else address.exploded


def _bracketed(address: IPAddress) -> str:
    return _hex(address) if address.version == 4 else f"[{_hex(address)}]"


def _sum(one: Rates, other: Rates) -> Rates:
    return Rates(
        connections=one.connections + other.connections,
        in_packets=one.in_packets + other.in_packets,
        out_packets=one.out_packets + other.out_packets,
        in_bytes=one.in_bytes + other.in_bytes,
        out_bytes=one.out_bytes + other.out_bytes,
    )
