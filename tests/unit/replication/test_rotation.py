"""A new key without a moment in which one director cannot open what the other seals."""

from __future__ import annotations

import itertools

import pytest

from piranha.base.errors import PiranhaError
from piranha.cluster.keys import MAX_KEY_ID, PairKeys, Peer
from piranha.cluster.seal import sending_key
from piranha.replication.frames import NewKey
from piranha.replication.rotation import draw, only_shared, with_new

PEER = Peer(node=b"8" * 8, name="lb2", certificate="")


def keys(*ids: int) -> PairKeys:
    return PairKeys(keys={key_id: bytes([key_id]) * 32 for key_id in ids}, peer=PEER)


def understood(one: PairKeys, other: PairKeys) -> bool:
    """Once they have heard each other, each opens what the other seals; of two that begin, one hears the other at once."""

    def opens(sender: PairKeys, receiver: PairKeys, newest: int) -> bool:
        key_id = sending_key(sender.keys, newest)
        return receiver.keys.get(key_id) == sender.keys[key_id]

    both = ((one, other), (other, one))
    return all(opens(*way, way[1].newest) for way in both) and any(opens(*way, 0) for way in both)


def test_every_way_of_a_change_that_is_cut_short_is_understood() -> None:
    """Each round the change is done, or lost after the other stored it, or lost before; proposed by either."""
    for rounds in itertools.product(("done", "answer lost", "lost"), (0, 1), repeat=4):
        sides = [keys(1), keys(1)]
        for outcome, proposer in zip(rounds[::2], rounds[1::2], strict=True):
            ours, theirs = sides[int(proposer)], sides[1 - int(proposer)]
            if max(ours.keys) not in theirs.keys:
                with pytest.raises(PiranhaError, match="newest key that both"):
                    with_new(theirs, draw(ours))
                rest = only_shared(ours, tuple(theirs.keys))
                assert rest is not None
                ours = sides[int(proposer)] = rest
                assert understood(*sides), rounds
            new = draw(ours)
            if outcome != "lost":
                sides[1 - int(proposer)] = with_new(theirs, new)
                assert understood(*sides), rounds
            if outcome == "done":
                ids = tuple(theirs.keys.keys() & ours.keys.keys())
                sides[int(proposer)] = with_new(ours, NewKey(key_id=new.key_id, key=new.key, ids=ids))
            assert understood(*sides), rounds
            assert all(len(side.keys) <= 2 for side in sides)


def test_keys_in_common_are_needed_and_numbers_grow() -> None:
    with pytest.raises(PiranhaError, match="no key in common"):
        with_new(keys(1), NewKey(key_id=5, key=b"n" * 32, ids=(4,)))
    with pytest.raises(PiranhaError, match="newest key that both"):
        with_new(keys(1, 2), NewKey(key_id=2, key=b"n" * 32, ids=(1, 2)))
    with pytest.raises(PiranhaError, match="used up"):
        draw(PairKeys(keys={MAX_KEY_ID: b"k" * 32}, peer=PEER))
