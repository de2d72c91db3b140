"""Least connection: the kernel half looks at the live counts of every usable destination."""

from __future__ import annotations

from collections.abc import Sequence

from piranha.dataplane.ebpf.schedulers.base import Candidate, Scheduler, SlotTable, usable


class _LeastConnection:
    name = "lc"
    number = 3

    def build(self, old: SlotTable, before: Sequence[Candidate], after: Sequence[Candidate]) -> SlotTable:
        return SlotTable(words=usable(after))


SCHEDULER: Scheduler = _LeastConnection()
