"""Keeping our programs attached: what hangs on the interfaces is compared with what should, and made equal.

Attachments are links, pinned, so that they outlive lvsd; a later lvsd adopts them and puts its own programs in their
place (BPF_LINK_UPDATE: no packet sees an interface without a program). Where the kernel has no tcx, filters under
clsact stand in.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from piranha.base.errors import PiranhaError
from piranha.dataplane.ebpf import syscall
from piranha.dataplane.ebpf.clsact import Clsact, Direction
from piranha.dataplane.ebpf.hooks import Hook, choose_hooks
from piranha.dataplane.ebpf.interfaces import InterfaceInfo
from piranha.dataplane.ebpf.pins import Pins
from piranha.dataplane.ebpf.syscall import BpfError
from piranha.dataplane.ebpf.uapi import AttachType, LinkFlag
from piranha.model.configuration import HookChoice

logger = logging.getLogger(__name__)

_NO_INTERFACE = 0x7FFFFFFF
_RETRY_AFTER_ROUNDS = 30


class Slot(StrEnum):
    """A place on an interface for one program."""

    INGRESS = "ingress"
    EGRESS = "egress"
    XDP = "xdp"


_ATTACH_TYPES = {
    Slot.INGRESS: AttachType.TCX_INGRESS,
    Slot.EGRESS: AttachType.TCX_EGRESS,
    Slot.XDP: AttachType.XDP,
}
_DIRECTIONS = {Slot.INGRESS: Direction.INGRESS, Slot.EGRESS: Direction.EGRESS}


@dataclass(frozen=True, slots=True, kw_only=True)
class HookPrograms:
    """Descriptors of the programs to attach; None leaves the place empty."""

    ingress: int
    egress: int | None = None
    xdp: int | None = None

    def by_slot(self) -> dict[Slot, int]:
        """TC first: it completes what XDP passes up, so it has to be there before."""
        slots = {Slot.INGRESS: self.ingress, Slot.EGRESS: self.egress, Slot.XDP: self.xdp}
        return {slot: fd for slot, fd in slots.items() if fd is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class HookReport:
    """What hangs where after a round: `hooks` by interface name (`xdp+tcx`, `tcx`, `clsact`).

    `notes` explain what is less than it might be, `failures` what was asked for and could not be had.
    """

    hooks: dict[str, str]
    notes: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class _Link:
    fd: int
    prog_id: int


@dataclass(slots=True, kw_only=True)
class _Refusal:
    """An attachment that failed: not tried again for some rounds, as a try may reset the card."""

    error: BpfError
    prog_id: int
    rounds_left: int


_Place = tuple[Slot, int]


class HookSet:
    """The attachments of one lvsd, in the network namespace of the thread that uses it.

    `use_tcx=False` takes the clsact way whatever the kernel can; None finds out by asking it.
    """

    def __init__(self, pins: Pins, *, use_tcx: bool | None = None) -> None:
        self._pins = pins
        self._use_tcx = use_tcx
        self._links: dict[_Place, _Link] | None = None
        self._filters: set[_Place] | None = None
        self._clsact = Clsact()
        self._refusals: dict[_Place, _Refusal] = {}

    def converge(
        self, programs: HookPrograms, interfaces: Iterable[InterfaceInfo], choice: HookChoice = HookChoice.AUTO
    ) -> HookReport:
        """Make the attachments what they should be; nothing is done where they are.

        Call it at start, with new programs, and every second or on a link event. `interfaces` are those to serve (see
        `interfaces.served`); on all others what is ours is taken off. Never raises for one interface's sake.
        """
        tcx = self._tcx(programs.ingress)
        ids = {slot: syscall.prog_info(fd).id for slot, fd in programs.by_slot().items()}
        links, filters = self._adopted_links(), self._adopted_filters()
        kept: set[_Place] = set()
        hooks: dict[str, str] = {}
        notes: list[str] = []
        failures: list[str] = []
        for interface in interfaces:
            words: list[str] = []
            chosen = choose_hooks(interface, choice)
            for slot, fd in programs.by_slot().items():
                if (Hook.XDP if slot is Slot.XDP else Hook.TC) not in chosen:
                    continue
                kept.add((slot, interface.index))
                try:
                    if tcx or slot is Slot.XDP:
                        self._keep_link(links, (slot, interface.index), fd, ids[slot])
                    else:
                        self._keep_filter(filters, (slot, interface.index), fd, ids[slot])
                except PiranhaError as error:
                    required = slot is not Slot.XDP or choice is HookChoice.XDP
                    if getattr(error, "errno", 0) != errno.ENODEV:
                        (failures if required else notes).append(_explained(interface, slot, error))
                    continue
                words.append("xdp" if slot is Slot.XDP else "tcx" if tcx else "clsact")
            hooks[interface.name] = "+".join(dict.fromkeys(reversed(words))) or "none"
        self._drop_links([p for p in links if p not in kept or not (tcx or p[0] is Slot.XDP)])
        self._drop_filters([p for p in filters if p not in kept or tcx])
        return HookReport(hooks=hooks, notes=tuple(notes), failures=tuple(failures))

    def detach_all(self) -> None:
        """Take every program of ours off every interface of this network namespace, and remove its pins."""
        self._drop_links(list(self._adopted_links()))
        self._drop_filters(list(self._adopted_filters()))

    def close(self) -> None:
        """Let go; what is attached stays, held by its pins."""
        for link in (self._links or {}).values():
            os.close(link.fd)
        self._links = None
        self._clsact.close()

    def _tcx(self, prog_fd: int) -> bool:
        if self._use_tcx is None:
            try:
                os.close(syscall.link_create(prog_fd, _NO_INTERFACE, AttachType.TCX_INGRESS))
                self._use_tcx = True
            except BpfError as error:
                # A kernel with tcx looks for the interface; one without does not know the attach type (EINVAL).
                self._use_tcx = error.errno == errno.ENODEV
        return self._use_tcx

    def _path(self, place: _Place) -> Path:
        """A link knows its ifindex but not its network namespace, so the pin's name holds both."""
        return self._pins.link_path(f"{place[0]}-{place[1]}-{_network_namespace()}")

    def _adopted_links(self) -> dict[_Place, _Link]:
        """The links held: at first those that an earlier life pinned, less the dead and another namespace's."""
        if self._links is not None:
            return self._links
        self._links = {}
        for path in self._pins.links().values():
            try:
                fd = syscall.obj_get(path)
                info = syscall.link_info(fd)
            except BpfError as error:
                logger.warning("pin unreadable path=%s error=%s", path, error)
                self._pins.unpin(path)
                continue
            place = next(
                ((s, info.ifindex) for s in Slot if info.ifindex and self._path((s, info.ifindex)) == path), None
            )
            if place is not None:
                self._links[place] = _Link(fd=fd, prog_id=info.prog_id)
                logger.info("link adopted hook=%s ifindex=%d", *place)
                continue
            with contextlib.suppress(BpfError):
                syscall.link_detach(fd)
            os.close(fd)
            self._pins.unpin(path)
            logger.info("stale link removed path=%s", path)
        return self._links

    def _keep_link(self, links: dict[_Place, _Link], place: _Place, fd: int, prog_id: int) -> None:
        link, path = links.get(place), self._path(place)
        if link is not None and syscall.link_info(link.fd).ifindex != place[1]:
            # The interface went and another came with its index: the old link is an empty shell.
            self._drop_links([place])
            link = None
        if link is None:
            link = links[place] = _Link(fd=self._attach(place, fd, prog_id), prog_id=prog_id)
            self._pins.replace(link.fd, path)
        elif link.prog_id != prog_id:
            syscall.link_update(link.fd, fd)
            link.prog_id = prog_id
            logger.info("program replaced hook=%s ifindex=%d", *place)
        if not path.exists():
            self._pins.replace(link.fd, path)

    def _attach(self, place: _Place, fd: int, prog_id: int) -> int:
        slot, ifindex = place
        refusal = self._refusals.get(place)
        if refusal is not None and refusal.prog_id == prog_id and refusal.rounds_left > 0:
            refusal.rounds_left -= 1
            raise refusal.error
        try:
            flags = LinkFlag.XDP_DRV_MODE if slot is Slot.XDP else 0
            link_fd = syscall.link_create(fd, ifindex, _ATTACH_TYPES[slot], flags=flags)
        except BpfError as error:
            self._refusals[place] = _Refusal(error=error, prog_id=prog_id, rounds_left=_RETRY_AFTER_ROUNDS)
            raise
        self._refusals.pop(place, None)
        logger.info("program attached hook=%s ifindex=%d", *place)
        return link_fd

    def _drop_links(self, places: list[_Place]) -> None:
        """XDP goes first: what it passes up still finds the TC program."""
        links = self._adopted_links()
        for place in sorted(places, key=lambda p: p[0] is not Slot.XDP):
            link = links.pop(place)
            with contextlib.suppress(BpfError):  # its interface may go at the same moment
                syscall.link_detach(link.fd)
            os.close(link.fd)
            self._pins.unpin(self._path(place))
            logger.info("program detached hook=%s ifindex=%d", *place)

    def _adopted_filters(self) -> set[_Place]:
        if self._filters is None:
            indexes = [index for index, _ in socket.if_nameindex()]
            self._filters = {
                (slot, index)
                for index in indexes
                for slot, direction in _DIRECTIONS.items()
                if self._clsact.ours(index, direction) is not None
            }
        return self._filters

    def _keep_filter(self, filters: set[_Place], place: _Place, fd: int, prog_id: int) -> None:
        slot, ifindex = place
        mine = self._clsact.ours(ifindex, _DIRECTIONS[slot])
        if mine is None or mine.prog_id != prog_id:
            if self._clsact.attach(ifindex, _DIRECTIONS[slot], fd, prog_id):
                self._pins.mark(f"clsact-{ifindex}-{_network_namespace()}")
            logger.info("filter attached hook=%s ifindex=%d", *place)
        filters.add(place)

    def _drop_filters(self, places: list[_Place]) -> None:
        filters = self._adopted_filters()
        for slot, ifindex in places:
            self._clsact.detach(ifindex, _DIRECTIONS[slot])
            filters.discard((slot, ifindex))
            logger.info("filter detached hook=%s ifindex=%d", slot, ifindex)
            # A clsact says nothing of its maker; the mark does.
            if not any(index == ifindex for _, index in filters) and self._pins.unmark(
                f"clsact-{ifindex}-{_network_namespace()}"
            ):
                self._clsact.remove_unused(ifindex)


def _network_namespace() -> int:
    return Path("/proc/thread-self/ns/net").stat().st_ino


def _explained(interface: InterfaceInfo, slot: Slot, error: PiranhaError) -> str:
    """One sentence for a person: what could not be attached, why, and the mend."""
    number = getattr(error, "errno", 0)
    if slot is Slot.XDP and number in (errno.EBUSY, errno.EEXIST):
        mend = f"`ip link set dev {interface.name} xdp off` removes it, or set `hook = tc`"
        return f"{interface.name}: a foreign XDP program is attached: {mend}"
    if slot is Slot.XDP and number in (errno.EOPNOTSUPP, errno.EINVAL, errno.ERANGE):
        why = "the driver has no native XDP" if number == errno.EOPNOTSUPP else "the driver refused native XDP"
        if number == errno.ERANGE:
            why = f"its MTU {interface.mtu} is too large for native XDP"
        return f"{interface.name}: {why}: TC does all the work there (`hook = tc`)"
    return f"{interface.name}: cannot attach at {slot}: {error}"
