"""The table as text: every view of `-L`, and the lines of `-S`. Byte for byte ipvsadm's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from piranha.ipvsadm.command import View
from piranha.ipvsadm.endpoint import EndpointWriter
from piranha.ipvsadm.help import IPVS_VERSION
from piranha.ipvsadm.order import destination_order, in_order, service_order
from piranha.ipvsadm.schedflags import write_flags
from piranha.model.service import (
    Counters,
    Destination,
    DestinationStatus,
    ForwardingMethod,
    Protocol,
    Rates,
    Service,
    ServiceStatus,
    TunnelChecksum,
    TunnelType,
)

_SERVICE_WIDTH, _SERVER_WIDTH = 33, 28
"""Columns of the names; longer ones are cut in services of IPv4."""
_METHODS = {
    ForwardingMethod.MASQUERADE: ("Masq", "-m"),
    ForwardingMethod.TUNNEL: ("Tunnel", "-i"),
    ForwardingMethod.DIRECT: ("Route", "-g"),
}
_CHECKSUMS = {
    TunnelChecksum.NONE: ("-c", "--tun-nocsum"),
    TunnelChecksum.FULL: ("+c", "--tun-csum"),
    TunnelChecksum.REMOTE: ("r+c", "--tun-remcsum"),
}
_SERVICE_OPTIONS = {Protocol.TCP: "-t", Protocol.UDP: "-u", Protocol.SCTP: "--sctp-service"}


def version_header(size: int) -> str:
    return f"IP Virtual Server version {IPVS_VERSION} (size={size})\n"


def column_header(view: View) -> str:
    """The two lines above the table."""
    local = "Prot LocalAddress:Port"
    if view.stats or view.rate:
        words = "Conns InPkts OutPkts InBytes OutBytes" if view.stats else "CPS InPPS OutPPS InBPS OutBPS"
        return f"{local:<33} " + " ".join(f"{word:>8}" for word in words.split()) + "\n  -> RemoteAddress:Port\n"
    if view.thresholds:
        return f"{local:<33} Uthreshold Lthreshold ActiveConn InActConn \n  -> RemoteAddress:Port\n"
    if view.persistent:
        return f"{local:<33} Weight    PersistConn ActiveConn InActConn \n  -> RemoteAddress:Port\n"
    tunnel = "TunnelInfo    " if view.tunnels else ""
    remote = f"  -> RemoteAddress:Port           Forward {tunnel}Weight ActiveConn InActConn\n"
    return f"{local} Scheduler Flags\n{remote}"


def table_lines(table: Sequence[ServiceStatus], view: View, writer: EndpointWriter) -> Iterator[str]:
    """One text a service, with its destinations; of several services in order."""
    for status in in_order(table, lambda s: service_order(s.service.key)) if view.sort else table:
        yield _service_line(status, view, writer) + "".join(_server_lines(status, view, writer))


def save_lines(table: Sequence[ServiceStatus], writer: EndpointWriter) -> Iterator[str]:
    """The table as command lines for `-R`. Thresholds are lost, as in ipvsadm."""
    for status in in_order(table, lambda s: service_order(s.service.key)):
        key = status.service.key
        if key.mark:
            name = f"-f {_signed(key.mark)}" + (" -6" if key.address.version == 6 else "")
        else:
            name = f"{_SERVICE_OPTIONS[key.protocol]} {writer.write(key.address, key.port, key.protocol)}"
        yield f"-A {name} -s {status.service.scheduler}{_saved_options(status.service)}\n"
        for found in _servers(status, sort=True):
            server = found.destination
            where = writer.write(server.key.address, server.key.port, key.protocol)
            yield f"-a {name} -r {where} {_METHODS[server.method][1]} -w {server.weight}{_saved_tunnel(server)}\n"


def large(number: int, *, exact: bool) -> str:
    """A counter in nine columns; from a hundred million on in thousands, millions … unless `exact`."""
    if exact:
        text = str(number)
        return f"{text:>9}" if len(text) <= 8 else f" {text}"
    if number < 100_000_000:
        return f"{number:>9}"
    for unit, below, divisor in (
        ("K", 10**9, 10**3),
        ("M", 10**11, 10**6),
        ("G", 10**14, 10**9),
    ):
        if number < below:
            return f"{number // divisor:>8}{unit}"
    return f"{number // 10**12:>8}T"


def _service_line(status: ServiceStatus, view: View, writer: EndpointWriter) -> str:
    service = status.service
    key = service.key
    if key.mark:
        name = f"FWM  {_signed(key.mark)}" + (" IPv6" if key.address.version == 6 else "")
    else:
        name = f"{key.protocol.name:<4} {writer.write(key.address, key.port, key.protocol)}"
        if key.address.version == 4:
            name = name[:_SERVICE_WIDTH]
    if view.stats:
        return f"{name:<33}{_numbers(_counted(status.counters), view)}\n"
    if view.rate:
        return f"{name:<33}{_numbers(_rounded(status.rates), view)}\n"
    flags = f" ({write_flags(service.flags, service.scheduler)})" if service.flags else ""
    return f"{name} {service.scheduler}{flags}{_shown_options(service)}\n"


def _shown_options(service: Service) -> str:
    text = ""
    if service.persistent_s:
        text += f" persistent {service.persistent_s}"
        if service.persistence_prefix is not None:
            text += f" mask {_mask(service)}"
        if service.engine:
            text += f" pe {service.engine}"
    return text + (" ops" if service.one_packet else "")


def _saved_options(service: Service) -> str:
    text = ""
    if service.persistent_s:
        text += f" -p {service.persistent_s}"
        if service.persistence_prefix is not None:
            text += f" -M {_mask(service)}"
    if service.engine:
        text += f" --pe {service.engine}"
    if service.one_packet:
        text += " -o"
    if service.flags:
        text += f" -b {write_flags(service.flags, service.scheduler)}"
    return text


def _mask(service: Service) -> str:
    mask = service.persistence_mask
    if service.key.address.version == 6:
        return str(mask)
    return ".".join(str(mask >> shift & 255) for shift in (24, 16, 8, 0))


def _servers(status: ServiceStatus, *, sort: bool) -> list[DestinationStatus]:
    """In IPVS's own order the newest comes first."""
    newest_first = status.destinations[::-1]
    return in_order(newest_first, lambda d: destination_order(d.destination.key)) if sort else list(newest_first)


def _server_lines(status: ServiceStatus, view: View, writer: EndpointWriter) -> Iterator[str]:
    protocol = status.service.key.protocol
    is_cut = status.service.key.address.version == 4
    for found in _servers(status, sort=view.sort):
        server = found.destination
        name = writer.write(server.key.address, server.key.port, protocol)
        if is_cut:
            name = name[:_SERVER_WIDTH]
        yield f"  -> {name:<28}{_server_columns(found, server, view)}\n"


def _server_columns(found: DestinationStatus, server: Destination, view: View) -> str:
    connections = f"{found.active_connections:<10} {found.inactive_connections:<10}"
    if view.stats:
        return _numbers(_counted(found.counters), view)
    if view.rate:
        per_s = _rounded(found.rates)
        return "".join(f" {rate:>8}" for rate in per_s[:3]) + _numbers(per_s[3:], view)
    if view.thresholds:
        return f" {server.upper_threshold:<10} {server.lower_threshold:<10} {connections}"
    if view.persistent:
        return f" {server.weight:<9} {found.persistent_connections:<11} {connections}"
    tunnel = f"{_tunnel_info(server):<13} " if view.tunnels else ""
    return f" {_METHODS[server.method][0]:<7} {tunnel}{server.weight:<6} {connections}"


def _tunnel_info(server: Destination) -> str:
    if server.method is not ForwardingMethod.TUNNEL:
        return "n/a"
    checksum = _CHECKSUMS[server.tunnel_checksum][0]
    match server.tunnel:
        case TunnelType.GUE:
            return f"gue:{server.tunnel_port}:{checksum}"
        case TunnelType.GRE:
            return f"gre:{checksum}"
    return "ipip"


def _saved_tunnel(server: Destination) -> str:
    if server.method is not ForwardingMethod.TUNNEL:
        return ""
    checksum = _CHECKSUMS[server.tunnel_checksum][1]
    match server.tunnel:
        case TunnelType.GUE:
            return f" --tun-type gue --tun-port {server.tunnel_port} {checksum}"
        case TunnelType.GRE:
            return f" --tun-type gre {checksum}"
    return " --tun-type ipip"


def _counted(counters: Counters) -> tuple[int, ...]:
    c = counters
    return c.connections, c.in_packets, c.out_packets, c.in_bytes, c.out_bytes


def _rounded(rates: Rates) -> tuple[int, ...]:
    """As the kernel rounds its fixed point: a half goes down."""
    r = rates
    return tuple(
        math.ceil(value - 0.5) for value in (r.connections, r.in_packets, r.out_packets, r.in_bytes, r.out_bytes)
    )


def _numbers(numbers: Iterable[int], view: View) -> str:
    return "".join(large(number, exact=view.exact) for number in numbers)


def _signed(mark: int) -> int:
    """Marks are printed as signed numbers."""
    return mark - 2**32 if mark >= 2**31 else mark
