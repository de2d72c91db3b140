"""Where the gate hangs: first on the ingress and egress of its devices, by tcx, or by filters under clsact before 6.6.

Links are pinned, so that the gate stays in its place when pulse is killed: that is what it is for. A later pulse adopts
them and puts its own programs in their place without a gap.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import struct
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path

from piranha.base.errors import PiranhaError
from piranha.dataplane.ebpf import syscall
from piranha.dataplane.ebpf.pins import Pins
from piranha.dataplane.ebpf.syscall import BpfError
from piranha.dataplane.ebpf.uapi import AttachType, LinkFlag
from piranha.pulse.rtnetlink import CREATE, EXCL, NetlinkError, RouteSocket, attribute, attributes

logger = logging.getLogger(__name__)

_NO_INTERFACE = 0x7FFFFFFF
_RTM_NEWQDISC, _RTM_DELQDISC, _RTM_NEWTFILTER, _RTM_DELTFILTER, _RTM_GETTFILTER = 36, 37, 44, 45, 46
_TCA_KIND, _TCA_OPTIONS = 1, 2
_TCA_BPF_FD, _TCA_BPF_NAME, _TCA_BPF_FLAGS = 6, 7, 8
_DIRECT_ACTION = struct.pack("=I", 1)
_CLSACT_PARENT, _CLSACT_HANDLE = 0xFFFFFFF1, 0xFFFF0000
_ETH_P_ALL = 0x0300  # in network order
_NAME = "piranha-gate"
# Before the data plane's filter (0x7069): filters of a lower preference are asked first.
_PREFERENCE = 0x7060
_HANDLE = 1
_NESTED = 0x8000


class Side(IntEnum):
    """A direction; the number is the parent of a filter under clsact."""

    INGRESS = 0xFFFFFFF2
    EGRESS = 0xFFFFFFF3


_ATTACH_TYPES = {Side.INGRESS: AttachType.TCX_INGRESS, Side.EGRESS: AttachType.TCX_EGRESS}
_Place = tuple[Side, int]


class GateHooks:
    """The gate's attachments in the network namespace of the thread that uses it.

    `use_tcx=False` takes the clsact way whatever the kernel can; None finds out by asking it.
    """

    def __init__(self, pins: Pins, *, use_tcx: bool | None = None) -> None:
        self._pins = pins
        self._use_tcx = use_tcx
        self._links: dict[_Place, int] | None = None
        self._filtered: set[int] | None = None
        self._netlink = RouteSocket()

    def converge(self, programs: Mapping[Side, int], devices: Mapping[str, int]) -> list[str]:
        """Hang the programs (descriptors) on the devices (name to ifindex), and on nothing else; what could not be done.

        A device that cannot be served does not hinder the others.
        """
        failures: list[str] = []
        links = self._adopted()
        tcx = self._tcx(programs[Side.INGRESS])
        for name, index in devices.items():
            for side, program in programs.items():
                try:
                    if tcx:
                        self._keep_link(links, (side, index), program)
                    else:
                        self._keep_filter((side, index), program)
                except (PiranhaError, OSError) as error:
                    failures.append(f"{name}: the gate cannot be attached at {side.name.lower()}: {error}")
        wanted = set(devices.values())
        self._drop_links([place for place in links if place[1] not in wanted or not tcx])
        # Two questions a device: only at the first time for all of them, for an earlier life's filters.
        if self._filtered is None:
            self._filtered = {index for index, _ in socket.if_nameindex()}
        for index in self._filtered - (set() if tcx else wanted):
            self._drop_filters(index)
        self._filtered = set() if tcx else wanted
        return failures

    def detach_all(self) -> None:
        """Take the gate off every device of this network namespace."""
        self._drop_links(list(self._adopted()))
        for index, _ in socket.if_nameindex():
            self._drop_filters(index)

    def places(self) -> dict[int, frozenset[Side]]:
        """Where it hangs, by ifindex, as the kernel says."""
        found: dict[int, set[Side]] = {}
        for side, index in self._adopted():
            found.setdefault(index, set()).add(side)
        for index, _ in socket.if_nameindex():
            for side in Side:
                if self._filter_program(index, side) is not None:
                    found.setdefault(index, set()).add(side)
        return {index: frozenset(sides) for index, sides in found.items()}

    def close(self) -> None:
        """Let go; what is attached stays, held by its pins."""
        for fd in (self._links or {}).values():
            os.close(fd)
        self._links = None
        self._netlink.close()

    # ---- tcx ----

    def _tcx(self, program: int) -> bool:
        if self._use_tcx is None:
            try:
                os.close(syscall.link_create(program, _NO_INTERFACE, AttachType.TCX_INGRESS))
                self._use_tcx = True
            except BpfError as error:
                # A kernel with tcx looks for the interface; one without does not know the attach type (EINVAL).
                self._use_tcx = error.errno == errno.ENODEV
        return self._use_tcx

    def _path(self, place: _Place) -> Path:
        """A link knows its ifindex but not its network namespace, so the pin's name holds both."""
        return self._pins.gate_link_path(f"{place[0].name.lower()}-{place[1]}-{_network_namespace()}")

    def _adopted(self) -> dict[_Place, int]:
        """The links held: at first those that an earlier life pinned in this namespace; the dead are removed."""
        if self._links is not None:
            return self._links
        self._links = {}
        for path in self._pins.gate_links().values():
            try:
                fd = syscall.obj_get(path)
                index = syscall.link_info(fd).ifindex
            except BpfError as error:
                logger.warning("pin unreadable path=%s error=%s", path, error)
                self._pins.unpin(path)
                continue
            place = next(((side, index) for side in Side if index and self._path((side, index)) == path), None)
            if place is not None:
                self._links[place] = fd
                continue
            with contextlib.suppress(BpfError):
                syscall.link_detach(fd)
            os.close(fd)
            self._pins.unpin(path)
        return self._links

    def _keep_link(self, links: dict[_Place, int], place: _Place, program: int) -> None:
        fd, path = links.get(place), self._path(place)
        if fd is not None and syscall.link_info(fd).ifindex != place[1]:
            self._drop_links([place])  # its interface went, and another came with its index
            fd = None
        if fd is None:
            fd = links[place] = syscall.link_create(program, place[1], _ATTACH_TYPES[place[0]], flags=LinkFlag.BEFORE)
            self._pins.replace(fd, path)
            logger.info("gate attached side=%s ifindex=%d", place[0].name.lower(), place[1])
        elif syscall.link_info(fd).prog_id != syscall.prog_info(program).id:
            syscall.link_update(fd, program)
        if not path.exists():
            self._pins.replace(fd, path)

    def _drop_links(self, places: list[_Place]) -> None:
        for place in places:
            fd = self._adopted().pop(place)
            with contextlib.suppress(BpfError):  # its interface may go at the same moment
                syscall.link_detach(fd)
            os.close(fd)
            self._pins.unpin(self._path(place))
            logger.info("gate detached side=%s ifindex=%d", place[0].name.lower(), place[1])

    # ---- clsact ----

    def _filter_program(self, index: int, side: Side) -> int | None:
        """The id of the gate's program in the filter there, or None when there is no such filter."""
        try:
            filters = self._netlink.dump(_RTM_GETTFILTER, _tc(index, 0, side, 0))
        except NetlinkError:  # the interface is gone, or has no clsact
            return None
        for _, body in filters:
            found = attributes(body[20:])
            if found.get(_TCA_KIND, b"").rstrip(b"\0") == b"bpf" and struct.unpack_from("=I", body, 12)[0] == side:
                text = attributes(found.get(_TCA_OPTIONS, b"")).get(_TCA_BPF_NAME, b"").rstrip(b"\0").decode()
                name, _, number = text.partition(":")
                if name == _NAME and number.isdecimal():
                    return int(number)
        return None

    def _keep_filter(self, place: _Place, program: int) -> None:
        side, index = place
        number = syscall.prog_info(program).id
        if self._filter_program(index, side) == number:
            return
        qdisc = _tc(index, _CLSACT_HANDLE, _CLSACT_PARENT, 0) + attribute(_TCA_KIND, b"clsact\0")
        (made,) = self._netlink.ask([(_RTM_NEWQDISC, CREATE | EXCL, qdisc)])
        if made not in (0, errno.EEXIST):
            raise NetlinkError("cannot add the qdisc clsact", made)
        if not made:
            self._pins.mark(_qdisc_mark(index))
        options = attribute(_TCA_BPF_FD, struct.pack("=I", program))
        options += attribute(_TCA_BPF_NAME, f"{_NAME}:{number}\0".encode())
        options += attribute(_TCA_BPF_FLAGS, _DIRECT_ACTION)
        request = _tc(index, _HANDLE, side, _PREFERENCE << 16 | _ETH_P_ALL)
        request += attribute(_TCA_KIND, b"bpf\0") + attribute(_NESTED | _TCA_OPTIONS, options)
        (failed,) = self._netlink.ask([(_RTM_NEWTFILTER, CREATE, request)])
        if failed:
            raise NetlinkError("cannot add a filter", failed)

    def _drop_filters(self, index: int) -> None:
        found = False
        for side in Side:
            if self._filter_program(index, side) is not None:
                request = _tc(index, _HANDLE, side, _PREFERENCE << 16 | _ETH_P_ALL) + attribute(_TCA_KIND, b"bpf\0")
                self._netlink.ask([(_RTM_DELTFILTER, 0, request)])
                found = True
        if found and self._pins.unmark(_qdisc_mark(index)) and not any(self._has_filters(index, side) for side in Side):
            request = _tc(index, _CLSACT_HANDLE, _CLSACT_PARENT, 0) + attribute(_TCA_KIND, b"clsact\0")
            self._netlink.ask([(_RTM_DELQDISC, 0, request)])

    def _has_filters(self, index: int, side: Side) -> bool:
        try:
            return bool(self._netlink.dump(_RTM_GETTFILTER, _tc(index, 0, side, 0)))
        except NetlinkError:
            return False


def _tc(index: int, handle: int, parent: int, info: int) -> bytes:
    """`struct tcmsg`."""
    return struct.pack("=B3xiIII", 0, index, handle, parent, info)


def _qdisc_mark(index: int) -> str:
    """A note that this clsact was made for the gate."""
    return f"gate-clsact-{index}-{_network_namespace()}"


def _network_namespace() -> int:
    return Path("/proc/thread-self/ns/net").stat().st_ino
