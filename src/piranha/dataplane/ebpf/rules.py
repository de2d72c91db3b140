"""What IPVS allows a service or destination to be; refused otherwise, with IPVS's error (Linux ip_vs_ctl.c)."""

from __future__ import annotations

from ipaddress import IPv4Address

from piranha.dataplane.port import RefusalKind, RefusedError
from piranha.model.service import Destination, ForwardingMethod, Service, ServiceKey, TunnelType

_BITS = {4: 32, 6: 128}
ENGINES = frozenset(("sip",))
"""Persistence engines."""


def check_service(service: Service) -> None:
    """Raises RefusedError when the service cannot be."""
    key = service.key
    if key.mark == 0 and key.port == 0 and not service.persistent_s:
        raise RefusedError(RefusalKind.INVALID, f"{key}: a service of all ports (port 0) has to be persistent")
    if not 0 <= key.port <= 65535:
        raise RefusedError(RefusalKind.INVALID, f"{key}: {key.port} is no port")
    bits = _BITS[key.address.version]
    prefix = service.persistence_prefix
    if isinstance(prefix, IPv4Address) and key.address.version == 6:
        raise RefusedError(RefusalKind.INVALID, f"{key}: {prefix} is no mask of IPv6 addresses")
    if isinstance(prefix, int) and not 0 <= prefix <= bits:
        raise RefusedError(RefusalKind.INVALID, f"{key}: a persistence mask has 0 to {bits} bits")
    if service.engine and service.engine not in ENGINES:
        raise RefusedError(
            RefusalKind.NO_SCHEDULER,
            f"{key}: unknown persistence engine {service.engine}",
            mend=f"known are {', '.join(sorted(ENGINES))}",
        )


def check_destination(service: ServiceKey, destination: Destination) -> None:
    """Raises RefusedError when the destination cannot serve the service."""
    key = destination.key
    if key.address.version != service.address.version and destination.method is not ForwardingMethod.TUNNEL:
        raise RefusedError(
            RefusalKind.INVALID,
            f"{service}: {key} is of the other address family",
            mend="only tunnel can cross address families",
        )
    if key.address.is_multicast or key.address.is_unspecified:
        raise RefusedError(RefusalKind.INVALID, f"{service}: {key.address} is no address of one host")
    if not 0 <= destination.lower_threshold <= 2**31 - 1 or not 0 <= destination.upper_threshold <= 2**31 - 1:
        raise RefusedError(RefusalKind.INVALID, f"{service}: {key}: thresholds are 0 to 2147483647")
    if destination.lower_threshold > destination.upper_threshold:
        raise RefusedError(
            RefusalKind.RANGE,
            f"{service}: {key}: the lower threshold {destination.lower_threshold} is above the upper one "
            f"{destination.upper_threshold}",
        )
    if not 0 <= destination.tunnel_port <= 65535:
        raise RefusedError(RefusalKind.INVALID, f"{service}: {key}: {destination.tunnel_port} is no port")
    if destination.tunnel is TunnelType.GUE and not destination.tunnel_port:
        raise RefusedError(RefusalKind.INVALID, f"{service}: {key}: a gue tunnel needs a port")
