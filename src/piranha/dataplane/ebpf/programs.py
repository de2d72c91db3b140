"""Programs that an earlier life loaded and pinned: opened when they are asked for."""

from __future__ import annotations

import os

from piranha.dataplane.ebpf.pins import Pins
from piranha.dataplane.ebpf.syscall import obj_get


class PinnedPrograms:
    """The pinned programs of one ABI, by name. Raises BpfError for one that is not there."""

    def __init__(self, pins: Pins, abi: str) -> None:
        self._pins = pins
        self._abi = abi
        self._open: dict[str, int] = {}

    def program_fd(self, name: str) -> int:
        if name not in self._open:
            self._open[name] = obj_get(self._pins.programs(self._abi)[name])
        return self._open[name]

    def close(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1])
