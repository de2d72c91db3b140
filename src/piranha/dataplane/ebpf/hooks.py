"""Which hooks an interface gets: XDP, the fast path, and TC, the complete one."""

from __future__ import annotations

from enum import StrEnum

from piranha.dataplane.ebpf.interfaces import InterfaceInfo
from piranha.model.configuration import HookChoice


class Hook(StrEnum):
    XDP = "xdp"
    TC = "tc"


def choose_hooks(interface: InterfaceInfo, choice: HookChoice) -> frozenset[Hook]:
    """TC always, for it finishes what XDP passes up; XDP on cards, or where it is forced.

    On virtual interfaces XDP costs three times as much a bulk byte (no TSO, no checksum offload), and packets of local
    stacks arrive there with partial checksums that native XDP would send out as final. Loopback has no native XDP.
    """
    wants_xdp = choice is HookChoice.XDP or (choice is HookChoice.AUTO and interface.physical)
    if wants_xdp and interface.ethernet and not interface.loopback:
        return frozenset({Hook.XDP, Hook.TC})
    return frozenset({Hook.TC})
