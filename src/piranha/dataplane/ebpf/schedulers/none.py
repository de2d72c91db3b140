"""No scheduler: new connections are refused, existing ones go on."""

from __future__ import annotations

from collections.abc import Sequence

from piranha.dataplane.ebpf.schedulers.base import Candidate, Scheduler, SlotTable


class _None:
    name = "none"
    number = 15

    def build(self, old: SlotTable, before: Sequence[Candidate], after: Sequence[Candidate]) -> SlotTable:
        return SlotTable()


SCHEDULER: Scheduler = _None()
