"""Destination hashing: the destination address chooses one of 256 buckets, which the destinations share in turn.

Weights do not count, and a quiesced destination keeps its buckets: their clients are refused.
"""

from __future__ import annotations

from collections.abc import Sequence

from piranha.dataplane.ebpf.hashing import BUCKETS
from piranha.dataplane.ebpf.schedulers.base import Candidate, Scheduler, SlotTable


class _DestinationHashing:
    """The table is one period of the buckets: bucket b is word b modulo its length."""

    name = "dh"
    number = 7

    def build(self, old: SlotTable, before: Sequence[Candidate], after: Sequence[Candidate]) -> SlotTable:
        return SlotTable(words=tuple(c.index for c in after[:BUCKETS]))


SCHEDULER: Scheduler = _DestinationHashing()
