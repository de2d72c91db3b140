"""What this kernel's IPVS can do: asked of the kernel itself, in a network namespace made for the question."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import logging
import os
import socket
import struct
import threading
from dataclasses import replace
from ipaddress import IPv4Address

from piranha.dataplane.ipvs import messages
from piranha.dataplane.ipvs.netlink import GenericNetlink, NetlinkError
from piranha.dataplane.port import Capabilities
from piranha.model.service import (
    Destination,
    DestinationKey,
    ForwardingMethod,
    Protocol,
    Service,
    ServiceKey,
    TunnelType,
)

SCHEDULERS = (
    "rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh", "twos", "none",
)  # fmt: skip
"""Linux's schedulers, and `none`: a service that takes no new connections."""
FLAGGED = frozenset(("sh", "mh"))
"""Those that have flags."""
ENGINES = ("sip",)

_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1
_ADDRESS = IPv4Address("192.0.2.1")

logger = logging.getLogger(__name__)

EVERYTHING = Capabilities(
    schedulers=frozenset(SCHEDULERS),
    persistence=True,
    firewall_marks=True,
    protocols=frozenset((Protocol.TCP, Protocol.UDP, Protocol.SCTP)),
    scheduler_flags=FLAGGED,
    all_ports=True,
    one_packet=True,
    thresholds=True,
    engines=frozenset(ENGINES),
    tunnels=frozenset(TunnelType),
)
"""What IPVS has at its best."""


def ask_kernel() -> Capabilities:
    """The schedulers, engines and tunnels that this kernel has or can load; the rest every IPVS has.

    There is no list to read: a service is made with each, which lets the kernel load its module. This happens in an
    empty network namespace that ends with the call, so that no table in use sees it. Where such a namespace cannot be
    made everything is taken for present, and the kernel refuses what is missing when it is used.
    """
    found: list[Capabilities] = []

    def probe() -> None:
        try:
            found.append(_probe())
        except (OSError, NetlinkError) as error:
            logger.info('capabilities not probed error="%s"', error)

    # The namespace belongs to this thread alone and goes with it.
    thread = threading.Thread(target=probe, name="ipvs-capabilities")
    thread.start()
    thread.join()
    return found[0] if found else EVERYTHING


def _probe() -> Capabilities:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    _raise_loopback()
    ipvs = GenericNetlink(messages.FAMILY)
    try:
        schedulers = frozenset(name for name in SCHEDULERS if _has(ipvs, Service(key=_key(), scheduler=name)))
        return replace(
            EVERYTHING,
            schedulers=schedulers,
            scheduler_flags=FLAGGED & schedulers,
            engines=frozenset(name for name in ENGINES if _has(ipvs, _persistent(name))),
            tunnels=frozenset(tunnel for tunnel in TunnelType if _keeps(ipvs, tunnel)),
        )
    finally:
        ipvs.close()


def _raise_loopback() -> None:
    """Without a route of its own the namespace takes every destination for a broadcast address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))


def _key(protocol: Protocol = Protocol.TCP) -> ServiceKey:
    return ServiceKey(protocol=protocol, address=_ADDRESS, port=80)


def _persistent(engine: str) -> Service:
    return Service(key=_key(Protocol.UDP), scheduler="none", persistent_s=60, engine=engine)


def _has(ipvs: GenericNetlink, service: Service) -> bool:
    try:
        ipvs.call(messages.NEW_SERVICE, messages.pack_service(service))
    except NetlinkError as error:
        if error.errno == errno.ENOENT:
            return False
        raise
    ipvs.call(messages.DEL_SERVICE, messages.pack_key(service.key))
    return True


def _keeps(ipvs: GenericNetlink, tunnel: TunnelType) -> bool:
    """Whether a destination comes back with the tunnel it was given: older kernels pass over what they do not know."""
    service = Service(key=_key(), scheduler="none")
    destination = Destination(
        key=DestinationKey(address=IPv4Address("192.0.2.2"), port=80),
        method=ForwardingMethod.TUNNEL,
        tunnel=tunnel,
        tunnel_port=6080 if tunnel is TunnelType.GUE else 0,
    )
    key = messages.pack_key(service.key)
    ipvs.call(messages.NEW_SERVICE, messages.pack_service(service))
    try:
        ipvs.call(messages.NEW_DEST, key + messages.pack_destination(destination))
        read = [messages.read_destination(m, service.key) for m in ipvs.dump(messages.GET_DEST, key)]
        return any(status.destination.tunnel is tunnel for status in read)
    except NetlinkError as error:
        logger.debug('tunnel not taken tunnel=%s error="%s"', tunnel, error)
        return False
    finally:
        ipvs.call(messages.DEL_SERVICE, key)
