"""Source hashing: the client's address (and port) chooses one of 256 buckets.

Walking the list again and again, each destination gets as many buckets in a row as its weight. A quiesced one gets one:
its clients are refused, or hashed again with the fallback flag.
"""

from __future__ import annotations

from collections.abc import Sequence

from piranha.dataplane.ebpf.hashing import BUCKETS
from piranha.dataplane.ebpf.schedulers.base import Candidate, Scheduler, SlotTable


class _SourceHashing:
    """The table is one period of the buckets: bucket b is word b modulo its length."""

    name = "sh"
    number = 8

    def build(self, old: SlotTable, before: Sequence[Candidate], after: Sequence[Candidate]) -> SlotTable:
        words: list[int] = []
        for candidate in after[:BUCKETS]:
            words += [candidate.index] * min(max(candidate.weight, 1), BUCKETS - len(words))
        return SlotTable(words=tuple(words))


SCHEDULER: Scheduler = _SourceHashing()
