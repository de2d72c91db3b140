"""Weighted least connection: as lc, with each load divided by the weight."""

from __future__ import annotations

from collections.abc import Sequence

from piranha.dataplane.ebpf.schedulers.base import Candidate, Scheduler, SlotTable, usable


class _WeightedLeastConnection:
    name = "wlc"
    number = 4

    def build(self, old: SlotTable, before: Sequence[Candidate], after: Sequence[Candidate]) -> SlotTable:
        return SlotTable(words=usable(after))


SCHEDULER: Scheduler = _WeightedLeastConnection()
