"""Where masqueraded real servers answer from: the kernel's index from address, port and protocol to the destination.

Packets ask it only where no connection is known: for a server that answers nobody (`nat_icmp_send`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from piranha.dataplane.ebpf import abi
from piranha.dataplane.ebpf.map import BpfMap
from piranha.model.service import DestinationKey, ServiceKey

Place = tuple[ServiceKey, DestinationKey, int]


class ServerIndex:
    """Of several destinations with one address and port, the one that was added last is in the kernel's map."""

    def __init__(self, bpf_map: BpfMap) -> None:
        self._map = bpf_map
        self._held: defaultdict[bytes, list[int]] = defaultdict(list)
        self._adopted: tuple[Place, ...] = ()

    def adopt(self, places: Iterable[Place]) -> None:
        """Take over the masqueraded destinations of an earlier life, in the order of adding; see `settle`."""
        self._adopted = tuple(places)

    def settle(self) -> None:
        """Compare the kernel's map with what was adopted, and mend it. Done once, before the first change at the latest:
        whoever only looks at a large table does not wait for it.
        """
        if not self._adopted:
            return
        for service, destination, index in self._adopted:
            self._held[abi.pack_server_key(service, destination)].append(index)
        self._adopted = ()
        keys, indices = self._map.items(abi.SERVER_KEY, np.dtype("<u4"))
        found = dict(zip((key.tobytes() for key in keys), indices.tolist(), strict=True))
        for key in found.keys() - self._held.keys():
            self._map.delete(key)
        for key, held in self._held.items():
            if found.get(key) != held[-1]:
                self._map.update(key, held[-1].to_bytes(4, "little"))

    def add(self, service: ServiceKey, destination: DestinationKey, index: int) -> None:
        """Let the destination be found; it becomes the last added."""
        self.settle()
        key = abi.pack_server_key(service, destination)
        held = self._held[key]
        if index in held:
            return
        held.append(index)
        self._map.update(key, index.to_bytes(4, "little"))

    def remove(self, service: ServiceKey, destination: DestinationKey, index: int) -> None:
        """Let it be found no more; nothing happens when it was not there."""
        self.settle()
        key = abi.pack_server_key(service, destination)
        held = self._held.get(key, [])
        if index not in held:
            return
        held.remove(index)
        if held:
            self._map.update(key, held[-1].to_bytes(4, "little"))
        else:
            del self._held[key]
            self._map.delete(key)
