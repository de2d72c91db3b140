"""Decapsulation by our own BPF program, where the kernel has no tunnel device: load, attach to a device, find again.

The filter belongs to the device (clsact, cls_bpf): it needs no process and no pin, and goes with the device. Its name
says whose it is and which VIPs it takes; that name is the state which `requirement.DecapsulationIs` compares.
"""

from __future__ import annotations

import errno
from importlib import resources
from ipaddress import IPv4Address
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from piranha.base.errors import PiranhaError
from piranha.dataplane.ebpf.object import BpfObject
from piranha.model.address import IPAddress
from piranha.realserver.requirement import State, vips_text

OBJECT = "realserver_decap.bpf.o"
PROGRAM = "realserver_decap"
NAME = "piranha-decap"
_CLSACT = "ffff:fff2"
_INGRESS = 0xFFFFFFF2
_HANDLE, _PRIORITY, _ETH_P_ALL = 1, 0x7072, 0x0003


def vip_key(vip: IPAddress) -> bytes:
    """The program's 16-byte form of an address: IPv4 is ::ffff:a.b.c.d."""
    return b"\0" * 10 + b"\xff\xff" + vip.packed if isinstance(vip, IPv4Address) else vip.packed


def attach(device: str, vips: tuple[IPAddress, ...]) -> None:
    """Load the program for the VIPs and put it on the device's ingress, in the place of an older one without a gap.

    Raises PiranhaError where the kernel refuses it.
    """
    source = resources.files("piranha.dataplane.ebpf") / "objects" / OBJECT
    with resources.as_file(source) as path, BpfObject(path) as program:
        program.load()
        table = program.map("decap_vips")
        for vip in vips:
            table.update(vip_key(vip), b"\1\0\0\0")
        table.close()
        with IPRoute() as netlink:
            index = _index(netlink, device)
            try:
                netlink.tc("add", "clsact", index)
            except NetlinkError as error:
                if error.code != errno.EEXIST:
                    raise PiranhaError(f"cannot add the queueing discipline clsact to {device}: {error}") from None
            try:
                netlink.tc(
                    "replace-filter", "bpf", index,
                    handle=_HANDLE, parent=_INGRESS, prio=_PRIORITY, protocol=_ETH_P_ALL,
                    fd=program.program_fd(PROGRAM), name=filter_name(vips), direct_action=True,
                )  # fmt: skip
            except NetlinkError as error:
                raise PiranhaError(f"cannot attach the decapsulation program to {device}: {error}") from None


def detach(device: str) -> None:
    """Take our filter off the device; the clsact discipline stays when somebody else's filters are on it."""
    with IPRoute() as netlink:
        index = _index(netlink, device)
        if _our_filter(netlink, index) is not None:
            netlink.tc("del-filter", "bpf", index, handle=_HANDLE, parent=_INGRESS, prio=_PRIORITY, protocol=_ETH_P_ALL)
        others = [*netlink.get_filters(index, parent=_INGRESS), *netlink.get_filters(index, parent=_INGRESS + 1)]
        if not others:
            try:
                netlink.tc("del", "clsact", index)
            except NetlinkError as error:
                if error.code not in (errno.ENOENT, errno.EINVAL):
                    raise PiranhaError(f"cannot remove clsact from {device}: {error}") from None


def attached_state(device: str) -> State:
    """The VIPs of our filter on the device, as `DecapsulationIs.target` writes them; None when there is none."""
    with IPRoute() as netlink:
        found = _our_filter(netlink, _index(netlink, device))
    return None if found is None else found.removeprefix(f"{NAME} ")


def filter_name(vips: tuple[IPAddress, ...]) -> str:
    return f"{NAME} {vips_text(vips)}"


def _index(netlink: Any, device: str) -> int:
    found = netlink.link_lookup(ifname=device)
    if not found:
        raise PiranhaError(f"there is no network device `{device}`", mend="`ip link` lists the devices")
    return int(found[0])


def _our_filter(netlink: Any, index: int) -> str | None:
    try:
        filters = netlink.get_filters(index, parent=_INGRESS)
    except NetlinkError:
        return None
    for entry in filters:
        options = entry.get_attr("TCA_OPTIONS")
        name = options.get_attr("TCA_BPF_NAME") if entry.get_attr("TCA_KIND") == "bpf" and options is not None else None
        if name is not None and str(name).startswith(f"{NAME} "):
            return str(name)
    return None
