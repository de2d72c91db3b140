"""TC without tcx (kernels before 6.6): a cls_bpf filter of ours under the qdisc clsact.

A filter is ours when its name is `piranha-lb:` and the id of its program. Filters of others, and a clsact that we did
not make, are never touched.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from pyroute2.netlink.rtnl.tcmsg import tcmsg

from piranha.base.errors import PiranhaError
from piranha.dataplane.ebpf.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    RTM_DELQDISC,
    RTM_DELTFILTER,
    RTM_GETTFILTER,
    RTM_NEWQDISC,
    RTM_NEWTFILTER,
    NetlinkError,
    NetlinkSocket,
)

_NAME = "piranha-lb"
_ROOT, _QDISC_HANDLE = 0xFFFFFFF1, 0xFFFF0000
_PREFERENCE, _HANDLE = 0x7069, 1
_PREFERENCES_TRIED = 16
_ETH_P_ALL_BIG_ENDIAN = 0x0300
_DIRECT_ACTION = 1
_GONE = frozenset({errno.ENODEV, errno.ENOENT, errno.EINVAL})


class Direction(IntEnum):
    """Where in clsact a filter sits; the number is the filter's parent."""

    INGRESS = 0xFFFFFFF2
    EGRESS = 0xFFFFFFF3


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """A filter of any owner. `prog_id` is that of our own filters, 0 of others."""

    preference: int
    handle: int
    kind: str
    name: str
    ours: bool
    prog_id: int


class Clsact:
    """Our filters on the interfaces of one network namespace. Raises NetlinkError."""

    def __init__(self) -> None:
        self._netlink = NetlinkSocket()

    def close(self) -> None:
        self._netlink.close()

    def filters(self, ifindex: int, direction: Direction) -> tuple[Filter, ...]:
        """All filters there; none when the interface is gone or has no clsact."""
        try:
            messages = self._netlink.dump(_message(ifindex, parent=direction), RTM_GETTFILTER)
        except NetlinkError as error:
            if error.errno in _GONE:
                return ()
            raise
        found = {_described(m) for m in messages if m["handle"] and m["parent"] == direction and m["index"] == ifindex}
        return tuple(sorted(found, key=lambda f: (f.preference, f.handle)))

    def ours(self, ifindex: int, direction: Direction) -> Filter | None:
        return next((found for found in self.filters(ifindex, direction) if found.ours), None)

    def attach(self, ifindex: int, direction: Direction, prog_fd: int, prog_id: int) -> bool:
        """Put the program there, in the place of our older one without a gap; whether clsact had to be made for it."""
        made = self._make_clsact(ifindex)
        present = self.filters(ifindex, direction)
        mine = next((found for found in present if found.ours), None)
        if mine is not None:
            preference, handle = mine.preference, mine.handle
        else:
            taken = {found.preference for found in present}
            free = [p for p in range(_PREFERENCE, _PREFERENCE + _PREFERENCES_TRIED) if p not in taken]
            if not free:
                raise PiranhaError(f"no free tc filter preference on interface {ifindex}")
            preference, handle = free[0], _HANDLE
        request = _message(ifindex, parent=direction, handle=handle, preference=preference)
        options = [["TCA_BPF_FD", prog_fd], ["TCA_BPF_NAME", f"{_NAME}:{prog_id}"], ["TCA_BPF_FLAGS", _DIRECT_ACTION]]
        request["attrs"] = [["TCA_KIND", "bpf"], ["TCA_OPTIONS", {"attrs": options}]]
        self._netlink.request(request, RTM_NEWTFILTER, NLM_F_CREATE, what=f"cannot attach to interface {ifindex}")
        return made

    def detach(self, ifindex: int, direction: Direction) -> bool:
        """Take our filter off; False when there was none."""
        mine = self.ours(ifindex, direction)
        if mine is None:
            return False
        request = _message(ifindex, parent=direction, handle=mine.handle, preference=mine.preference)
        request["attrs"] = [["TCA_KIND", "bpf"]]
        try:
            self._netlink.request(request, RTM_DELTFILTER, what=f"cannot detach from interface {ifindex}")
        except NetlinkError as error:
            if error.errno not in _GONE:
                raise
        return True

    def remove_unused(self, ifindex: int) -> None:
        """Remove the clsact of an interface, unless a filter of anybody is left in it."""
        if any(self.filters(ifindex, direction) for direction in Direction):
            return
        request = _message(ifindex, parent=_ROOT, handle=_QDISC_HANDLE)
        request["attrs"] = [["TCA_KIND", "clsact"]]
        try:
            self._netlink.request(request, RTM_DELQDISC, what=f"cannot remove clsact from interface {ifindex}")
        except NetlinkError as error:
            if error.errno not in _GONE:
                raise

    def _make_clsact(self, ifindex: int) -> bool:
        request = _message(ifindex, parent=_ROOT, handle=_QDISC_HANDLE)
        request["attrs"] = [["TCA_KIND", "clsact"]]
        try:
            what = f"cannot add the qdisc clsact to interface {ifindex}"
            self._netlink.request(request, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, what=what)
        except NetlinkError as error:
            if error.errno != errno.EEXIST:
                raise
            return False
        return True


def _message(ifindex: int, *, parent: int, handle: int = 0, preference: int = 0) -> Any:
    message = tcmsg()
    message["index"], message["parent"], message["handle"] = ifindex, int(parent), handle
    message["info"] = preference << 16 | (_ETH_P_ALL_BIG_ENDIAN if preference else 0)
    return message


def _described(message: Any) -> Filter:
    kind, options = message.get_attr("TCA_KIND") or "", message.get_attr("TCA_OPTIONS")
    name = str(options.get_attr("TCA_BPF_NAME") or "") if kind == "bpf" and options is not None else ""
    prefix, _, number = name.partition(":")
    ours = prefix == _NAME and number.isdecimal()
    return Filter(
        preference=message["info"] >> 16,
        handle=message["handle"],
        kind=kind,
        name=name,
        ours=ours,
        prog_id=int(number) if ours else 0,
    )
