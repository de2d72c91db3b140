"""Which schedulers this kernel has: asked of the kernel itself, in a network namespace made for the question."""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import threading
from ipaddress import IPv4Address

from piranha.dataplane.ipvs import messages
from piranha.dataplane.ipvs.netlink import GenericNetlink, NetlinkError
from piranha.model.service import Protocol, Service, ServiceKey

KNOWN = (
    "rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh", "twos", "none",
)  # fmt: skip
"""Linux's schedulers, and `none`: a service that takes no new connections."""

_CLONE_NEWNET = 0x40000000

logger = logging.getLogger(__name__)


def available_schedulers() -> frozenset[str]:
    """The schedulers that this kernel has or can load.

    There is no list to read: a service is made with each, which lets the kernel load its module. This happens in an
    empty network namespace that ends with the call, so that no table in use sees it. Where such a namespace cannot be
    made all known ones are taken for present, and the kernel refuses the missing one when it is used.
    """
    found: list[frozenset[str]] = []

    def probe() -> None:
        try:
            found.append(_probe())
        except (OSError, NetlinkError) as error:
            logger.info('schedulers not probed error="%s"', error)

    # The namespace belongs to this thread alone and goes with it.
    thread = threading.Thread(target=probe, name="ipvs-schedulers")
    thread.start()
    thread.join()
    return found[0] if found else frozenset(KNOWN)


def _probe() -> frozenset[str]:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    socket = GenericNetlink(messages.FAMILY)
    try:
        return frozenset(name for number, name in enumerate(KNOWN, 1) if _has(socket, number, name))
    finally:
        socket.close()


def _has(socket: GenericNetlink, number: int, name: str) -> bool:
    key = ServiceKey(protocol=Protocol.TCP, address=IPv4Address("192.0.2.1"), port=number)
    try:
        socket.call(messages.NEW_SERVICE, messages.pack_service(Service(key=key, scheduler=name)))
    except NetlinkError as error:
        if error.errno == errno.ENOENT:
            return False
        raise
    return True
