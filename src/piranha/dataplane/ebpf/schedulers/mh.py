"""Maglev hashing as IPVS does it (Linux ip_vs_mh.c): a look-up table of a prime number of places.

Every destination has an order of preference over the places, made from hashes of its address and port. In turn each
takes its most preferred free places, as many as its share of the weights, until all are taken; so a change of one
destination moves few clients of the others. A quiesced destination counts with its last weight and keeps its places.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from piranha.dataplane.ebpf.hashing import CLIENT_KEY, SKIP_KEY, sip_hash
from piranha.dataplane.ebpf.schedulers.base import Candidate, Scheduler, SlotTable

# CONFIG_IP_VS_MH_TAB_INDEX is 12 in Debian's and the other distributions' kernels.
PLACES = 4093
_SHARE_BITS = 6
# Marks a word of the table as a note: it is no index.
_NOTE = 0x80000000


class _MaglevHashing:
    """Behind the places, the table notes the last weight of each destination: they outlive this process so."""

    name = "mh"
    number = 13

    def build(self, old: SlotTable, before: Sequence[Candidate], after: Sequence[Candidate]) -> SlotTable:
        if len(after) > PLACES:  # IPVS leaves its table as it is
            return old
        noted = _noted(old, before)
        weights = [c.weight or c.last_weight or noted.get(c.index, 0) for c in after]
        takers = [_Taker(c, share) for c, share in zip(after, _shares(weights), strict=True) if share]
        if not takers:
            return SlotTable()
        return SlotTable(words=_filled(takers) + tuple(_NOTE | weight for weight in weights))


def _noted(table: SlotTable, candidates: Sequence[Candidate]) -> dict[int, int]:
    """The last weights that a table of `candidates` notes, by index."""
    notes = table.words[PLACES:]
    if len(notes) != len(candidates) or not all(note & _NOTE for note in notes):
        return {}
    return {c.index: note & ~_NOTE for c, note in zip(candidates, notes, strict=True)}


class _Taker:
    """A destination and its walk over the places."""

    __slots__ = ("index", "place", "share", "skip")

    def __init__(self, candidate: Candidate, share: int) -> None:
        self.index, self.share = candidate.index, share
        self.place = sip_hash(candidate.fold, CLIENT_KEY) % PLACES
        self.skip = sip_hash(candidate.fold, SKIP_KEY) % (PLACES - 1) + 1


def _shares(weights: Sequence[int]) -> list[int]:
    """Places a turn: the weights over their greatest common divisor, shifted down until the largest has six bits."""
    step = math.gcd(*weights)
    if not step:
        return [0] * len(weights)
    shift = max(0, (max(weights) // step).bit_length() - _SHARE_BITS)
    return [(weight // step) >> shift or min(weight, 1) for weight in weights]


def _filled(takers: Sequence[_Taker]) -> tuple[int, ...]:
    words = [0] * PLACES
    left = PLACES
    while True:
        for taker in takers:
            place, skip, index = taker.place, taker.skip, taker.index
            for _ in range(taker.share):
                while words[place]:  # 0 is nobody's index
                    place += skip
                    if place >= PLACES:
                        place -= PLACES
                words[place] = index
                left -= 1
                if not left:
                    return tuple(words)
            taker.place = place


SCHEDULER: Scheduler = _MaglevHashing()
