"""Network interfaces: what there is in this network namespace, and which of them the plane serves."""

from __future__ import annotations

import array
import fcntl
import socket
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from piranha.dataplane.ebpf.netlink import RTM_GETADDR, RTM_GETLINK, NetlinkSocket

_IFF_UP, _IFF_LOOPBACK = 0x1, 0x8
_ARPHRD_ETHER, _ARPHRD_LOOPBACK = 1, 772
_SCOPE_LINK = 253
_SIOCETHTOOL, _ETHTOOL_GDRVINFO = 0x8946, 3
_DRVINFO_BYTES = 196
# Cards of virtual machines whose packets come with partial checksums and in bundles, as veth's do.
_PARAVIRTUAL = frozenset({"virtio_net", "vmxnet3", "hv_netvsc", "vif", "xen-netfront"})
_SWITCHES = frozenset({"bridge", "bond", "team", "openvswitch"})


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceInfo:
    """An interface. `kind` is rtnetlink's word (veth, bridge, vlan, …), empty for a card; `master` is an ifindex or 0.

    `physical` means a card with a driver of its own; `has_address` means one of more than link scope.
    """

    index: int
    name: str
    kind: str = ""
    driver: str = ""
    physical: bool = False
    up: bool = True
    loopback: bool = False
    ethernet: bool = True
    master: int = 0
    master_kind: str = ""
    has_address: bool = False
    mtu: int = 1500
    mac: bytes = bytes(6)


def interfaces() -> tuple[InterfaceInfo, ...]:
    """All interfaces of the calling thread's network namespace, by index."""
    netlink = NetlinkSocket()
    try:
        links = netlink.dump(ifinfmsg(), RTM_GETLINK)
        addresses = netlink.dump(ifaddrmsg(), RTM_GETADDR)
    finally:
        netlink.close()
    addressed = {message["index"] for message in addresses if message["scope"] < _SCOPE_LINK}
    kinds = {link["index"]: _kind(link) for link in links}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asker:
        found = [_interface(link, kinds, addressed, asker) for link in links]
    return tuple(sorted(found, key=lambda interface: interface.index))


def _kind(link: Any) -> str:
    information = link.get_attr("IFLA_LINKINFO")
    return str(information.get_attr("IFLA_INFO_KIND") or "") if information is not None else ""


def _interface(link: Any, kinds: dict[int, str], addressed: set[int], asker: socket.socket) -> InterfaceInfo:
    name, index = link.get_attr("IFLA_IFNAME"), link["index"]
    kind, master = kinds[index], link.get_attr("IFLA_MASTER") or 0
    driver, bus = _driver(asker, name)
    mac = link.get_attr("IFLA_ADDRESS") or ""
    loopback = bool(link["flags"] & _IFF_LOOPBACK)
    return InterfaceInfo(
        index=index,
        name=name,
        kind=kind,
        driver=driver,
        physical=not kind and not loopback and bool(bus) and driver not in _PARAVIRTUAL,
        up=bool(link["flags"] & _IFF_UP),
        loopback=loopback,
        ethernet=link["ifi_type"] in (_ARPHRD_ETHER, _ARPHRD_LOOPBACK),
        master=master,
        master_kind=kinds.get(master, ""),
        has_address=index in addressed,
        mtu=link.get_attr("IFLA_MTU") or 0,
        mac=bytes.fromhex(mac.replace(":", "")) if len(mac) == 17 else bytes(6),
    )


def _driver(asker: socket.socket, name: str) -> tuple[str, str]:
    """(driver, bus address) from ethtool; empty where the interface has none.

    sysfs would not do: inside a network namespace it goes on showing the namespace in which it was mounted.
    """
    answer = array.array("B", struct.pack("=I", _ETHTOOL_GDRVINFO) + bytes(_DRVINFO_BYTES - 4))
    request = struct.pack("16sP8x", name.encode()[:15], answer.buffer_info()[0])
    try:
        fcntl.ioctl(asker.fileno(), _SIOCETHTOOL, request)
    except OSError:
        return "", ""
    driver, _, _, bus = struct.unpack_from("32s32s32s32s", answer, 4)
    texts = [field.split(b"\0")[0].decode(errors="replace") for field in (driver, bus)]
    return texts[0], "" if texts[1] == "N/A" else texts[1]


def served(found: Iterable[InterfaceInfo], names: Sequence[str] = ()) -> tuple[InterfaceInfo, ...]:
    """The interfaces that the plane serves: those named; or, when none is, every one that is up and has an address.

    Loopback, and members of a bridge or bond (whose master serves for them), are left out unless named.
    """
    if names:
        return tuple(interface for interface in found if interface.name in names)
    return tuple(
        interface
        for interface in found
        if interface.up
        and interface.has_address
        and interface.ethernet
        and not interface.loopback
        and interface.master_kind not in _SWITCHES
    )
