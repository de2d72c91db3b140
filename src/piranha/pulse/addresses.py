"""VIPs and the NAT router address on their devices: raised and lowered together, put back when somebody removes them.

Ours are known by `IFA_PROTO` (Linux 5.18), so a later life finds them again. Addresses of others are never touched: one
that was there before us stays, and stays theirs.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, ip_interface
from pathlib import Path

from piranha.model.address import IPAddress, prefix_length
from piranha.model.configuration import Configuration, DeviceAddress, ServiceMode
from piranha.model.service import ForwardingMethod
from piranha.pulse.links import IFA_F_SECONDARY, HeldAddress, Links
from piranha.pulse.rtnetlink import CREATE, EXCL, RTM_DELADDR, RTM_NEWADDR, attribute

OURS = 0x50
"""`IFA_PROTO` of every address that pulse adds (`ip -d addr` shows `proto 0x50`)."""
RETRY_NS = 1_000_000_000
_RESTORED_A_SECOND = 20

_AF_INET, _AF_INET6 = 2, 10
_IFA_ADDRESS, _IFA_LOCAL, _IFA_LABEL, _IFA_BROADCAST, _IFA_CACHEINFO, _IFA_FLAGS, _IFA_PROTO = 1, 2, 3, 4, 6, 8, 11
_NODAD = struct.pack("=I", 0x02)
_DEPRECATED_FOR_EVER = struct.pack("=IIII", 0, 0xFFFFFFFF, 0, 0)  # preferred, valid, two stamps of the kernel's
_PROMOTE = "/proc/sys/net/ipv4/conf/{}/promote_secondaries"


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedAddress:
    """An address that the active director has: `device` is an interface or an alias label (`eth0:1`)."""

    address: IPAddress
    device: str
    prefix_length: int

    @property
    def interface(self) -> str:
        return self.device.partition(":")[0]


class Change(StrEnum):
    RAISED = "raised"
    RESTORED = "restored"
    LOWERED = "lowered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressChange:
    """What was done, for the log. RAISED and RESTORED want an announcement. `why` is of FAILED, one sentence."""

    address: IPAddress
    device: str
    change: Change
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressStatus:
    """One address as it is. `foreign`: somebody else put it there, and it stays when ours are lowered."""

    address: IPAddress
    device: str
    up: bool
    foreign: bool
    trouble: str


def carried(configuration: Configuration) -> tuple[CarriedAddress, ...]:
    """The addresses of a file, the NAT router's first; of an address that stands twice the first place counts."""
    found: dict[IPAddress, CarriedAddress] = {}

    def add(where: DeviceAddress | None, mask: IPAddress | None) -> None:
        if where is None or where.address in found:
            return
        bits = prefix_length(mask) if mask is not None and mask.version == where.address.version else None
        found[where.address] = CarriedAddress(
            address=where.address,
            device=where.device,
            prefix_length=where.address.max_prefixlen if bits is None else bits,
        )

    if configuration.network is ForwardingMethod.MASQUERADE:
        add(configuration.nat_router, configuration.nat_nmask)
    blocks = configuration.failovers if configuration.service is ServiceMode.FOS else configuration.virtuals
    for block in blocks:
        if block.active:
            add(block.address, block.vip_nmask)
    return tuple(found.values())


class Addresses:
    """The addresses of one director. Call `converge` after every change of `links`, and at `due_ns()`."""

    def __init__(self, links: Links, wanted: Sequence[CarriedAddress] = ()) -> None:
        self._links = links
        self._wanted = tuple(wanted)
        self._up = False
        self._have: set[IPAddress] = set()
        self._trouble: dict[IPAddress, str] = {}
        self._retry_ns: int | None = None
        self._second_ns, self._restored = 0, 0

    @property
    def up(self) -> bool:
        """Whether they shall be there."""
        return self._up

    @property
    def wanted(self) -> tuple[CarriedAddress, ...]:
        return self._wanted

    def due_ns(self) -> int | None:
        """When to call `converge` though nothing has changed: after a refusal."""
        return self._retry_ns

    def set_wanted(self, wanted: Sequence[CarriedAddress], now_ns: int) -> list[AddressChange]:
        """Other addresses from now on (a reload)."""
        self._wanted = tuple(wanted)
        return self.converge(now_ns, look=True)

    def raise_all(self, now_ns: int) -> list[AddressChange]:
        """They shall be there, and be put back where somebody removes them."""
        self._up = True
        return self.converge(now_ns, look=True)

    def lower_all(self, now_ns: int) -> list[AddressChange]:
        """None of ours shall be there, whichever life of pulse raised it."""
        self._up = False
        return self.converge(now_ns, look=True)

    def status(self) -> tuple[AddressStatus, ...]:
        rows, present = [], self._present()
        for wanted in self._wanted:
            held = self._held(wanted, present)
            rows.append(
                AddressStatus(
                    address=wanted.address,
                    device=wanted.device,
                    up=held is not None,
                    foreign=held is not None and held.protocol != OURS,
                    trouble=self._trouble.get(wanted.address, ""),
                )
            )
        return tuple(rows)

    def converge(self, now_ns: int, *, look: bool = False) -> list[AddressChange]:
        """Make the kernel's addresses what they should be, in one batch; what was done. `look`: ask the kernel first."""
        if look:
            self._links.look()
        self._retry_ns = None
        trouble: dict[IPAddress, str] = {}
        keep: set[tuple[IPAddress, int]] = set()
        adds: list[CarriedAddress] = []
        deletes: list[HeldAddress] = []
        present = self._present()
        for wanted in self._wanted if self._up else ():
            link = self._links.links.get(wanted.interface)
            if link is None:
                trouble[wanted.address] = f"there is no interface {wanted.interface}; it is raised when that appears"
                continue
            held = self._held(wanted, present)
            if held is None:
                adds.append(wanted)
            elif held.protocol == OURS and not _as_wanted(held, wanted):
                deletes.append(held)
                adds.append(wanted)
            keep.add((wanted.address, link.index))
        deletes += [h for h in self._links.addresses if h.protocol == OURS and (h.address, h.index) not in keep]
        adds = self._bounded(adds, now_ns)
        changes = self._delete(deletes) + self._add(adds, trouble)
        self._have = {w.address for w in self._wanted if self._up and w.address not in trouble}
        for address, why in trouble.items():
            if self._trouble.get(address) != why:
                device = next(w.device for w in self._wanted if w.address == address)
                changes.append(AddressChange(address=address, device=device, change=Change.FAILED, why=why))
        self._trouble = trouble
        if trouble and self._retry_ns is None:
            self._retry_ns = now_ns + RETRY_NS
        if changes:
            self._links.look()
        return changes

    def _present(self) -> dict[tuple[IPAddress, int], HeldAddress]:
        return {(held.address, held.index): held for held in self._links.addresses}

    def _held(self, wanted: CarriedAddress, present: dict[tuple[IPAddress, int], HeldAddress]) -> HeldAddress | None:
        link = self._links.links.get(wanted.interface)
        return present.get((wanted.address, link.index)) if link is not None else None

    def _bounded(self, adds: list[CarriedAddress], now_ns: int) -> list[CarriedAddress]:
        """Whoever removes an address in a loop does not keep us busy: so many restorations a second, then a pause."""
        again = [wanted for wanted in adds if wanted.address in self._have]
        if now_ns >= self._second_ns + RETRY_NS:
            self._second_ns, self._restored = now_ns, 0
        self._restored += len(again)
        if self._restored <= _RESTORED_A_SECOND + len(self._wanted):
            return adds
        self._retry_ns = self._second_ns + RETRY_NS
        return [wanted for wanted in adds if wanted.address not in self._have]

    def _delete(self, deletes: Sequence[HeldAddress]) -> list[AddressChange]:
        with self._others_stay(deletes):
            results = self._links.ask([(RTM_DELADDR, 0, _body(h.address, h.prefix_length, h.index)) for h in deletes])
        return [
            AddressChange(
                address=held.address,
                device=held.label or self._links.name(held.index) or str(held.index),
                change=Change.FAILED if failed else Change.LOWERED,
                why=f"the kernel did not remove it: {os.strerror(failed)}" if failed else "",
            )
            for held, failed in zip(deletes, results, strict=True)
            if failed not in (errno.EADDRNOTAVAIL, errno.ENODEV)
        ]

    def _add(self, adds: Sequence[CarriedAddress], trouble: dict[IPAddress, str]) -> list[AddressChange]:
        indexes = [self._links.links[wanted.interface].index for wanted in adds]
        requests = [
            (RTM_NEWADDR, CREATE | EXCL, _addition(wanted, index))
            for wanted, index in zip(adds, indexes, strict=True)
        ]  # fmt: skip
        changes = []
        for wanted, failed in zip(adds, self._links.ask(requests), strict=True):
            if failed and failed != errno.EEXIST:
                trouble[wanted.address] = f"the kernel refused it on {wanted.device}: {os.strerror(failed)}"
                continue
            change = Change.RESTORED if wanted.address in self._have else Change.RAISED
            if not failed:
                changes.append(AddressChange(address=wanted.address, device=wanted.device, change=change))
        return changes

    @contextlib.contextmanager
    def _others_stay(self, deletes: Sequence[HeldAddress]) -> Iterator[None]:
        """With the first address of an IPv4 network the kernel removes all others of it, unless it may promote one."""
        deleted = {(held.address, held.index) for held in deletes}
        followers = {
            (held.index, _network(held))
            for held in self._links.addresses
            if held.flags & IFA_F_SECONDARY and held.address.version == 4 and (held.address, held.index) not in deleted
        }
        indexes = {
            held.index
            for held in deletes
            if followers
            and held.address.version == 4
            and not held.flags & IFA_F_SECONDARY
            and (held.index, _network(held)) in followers
        }
        changed: list[Path] = []
        try:
            for index in indexes:
                path = Path(_PROMOTE.format(self._links.name(index)))
                with contextlib.suppress(OSError):
                    if path.read_text().strip() == "0":
                        path.write_text("1")
                        changed.append(path)
            yield
        finally:
            for path in changed:
                with contextlib.suppress(OSError):
                    path.write_text("0")


def _network(held: HeldAddress) -> object:
    return ip_interface((held.address, held.prefix_length)).network


def _as_wanted(held: HeldAddress, wanted: CarriedAddress) -> bool:
    return held.prefix_length == wanted.prefix_length and (wanted.address.version == 6 or held.label == wanted.device)


def _body(address: IPAddress, prefix: int, index: int) -> bytes:
    """`struct ifaddrmsg` and the address."""
    family = _AF_INET if address.version == 4 else _AF_INET6
    return struct.pack("=BBBBI", family, prefix, 0, 0, index) + attribute(_IFA_LOCAL, address.packed)


def _addition(wanted: CarriedAddress, index: int) -> bytes:
    address, bits = wanted.address, wanted.prefix_length
    body = _body(address, bits, index) + attribute(_IFA_ADDRESS, address.packed)
    body += attribute(_IFA_PROTO, bytes([OURS]))
    if isinstance(address, IPv4Address):
        if bits < 31:
            broadcast = int(address) | (1 << (32 - bits)) - 1
            body += attribute(_IFA_BROADCAST, broadcast.to_bytes(4, "big"))
        return body + attribute(_IFA_LABEL, wanted.device.encode() + b"\0")
    # No duplicate detection: the gate and the probe have seen to that, and a tentative address answers nobody. Deprecated:
    # the director's own connections (checks) take another source.
    return body + attribute(_IFA_FLAGS, _NODAD) + attribute(_IFA_CACHEINFO, _DEPRECATED_FOR_EVER)


def addresses_of(wanted: Iterable[CarriedAddress]) -> frozenset[IPAddress]:
    """The addresses alone."""
    return frozenset(one.address for one in wanted)
