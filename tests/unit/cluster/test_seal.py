"""What a director must not believe. `PIRANHA_FORGERIES` sets how many forged and replayed messages are tried."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piranha.cluster.heartbeat import HEADER_BYTES, Contents, Echo
from piranha.cluster.seal import WINDOW, Freshness, Opener, RejectedError, Rejection, Sealer, sending_key

KEY = bytes(range(32))
NODE_A, NODE_B = b"A" * 8, b"B" * 8
BOOT_A, BOOT_B = b"a" * 16, b"b" * 16
FORGERIES = int(os.environ.get("PIRANHA_FORGERIES", "20000"))


def sealer(keys: dict[int, bytes] | None = None, boot: bytes = BOOT_A, node: bytes = NODE_A) -> Sealer:
    return Sealer(keys or {1: KEY}, node=node, boot=boot)


def opener(keys: dict[int, bytes] | None = None) -> Opener:
    return Opener(keys or {1: KEY}, node=NODE_B, boot=BOOT_B)


def reason(by: Opener, message: bytes) -> Rejection:
    with pytest.raises(RejectedError) as caught:
        by.open(message)
    return caught.value.reason


def test_a_message_is_opened_once() -> None:
    by, message = opener(), sealer().seal(Contents(term=5, name="one"), active=True, key_id=1)
    opened = by.open(message)
    assert opened.contents == Contents(term=5, name="one")
    assert opened.header.active
    assert not opened.is_clone
    assert reason(by, message) is Rejection.REPLAYED


def test_messages_may_overtake_each_other_within_the_window() -> None:
    by, sender = opener(), sealer()
    messages = [sender.seal(Contents(), active=False, key_id=1) for _ in range(WINDOW + 2)]
    by.open(messages[-1])
    assert reason(by, messages[0]) is Rejection.REPLAYED
    assert by.open(messages[-WINDOW]).header.sequence == 3
    assert by.open(messages[-2])


@given(st.lists(st.integers(1, 3000), max_size=200))
def test_no_sequence_is_accepted_twice(order: list[int]) -> None:
    by, sender = opener(), sealer()
    accepted: set[int] = set()
    for sequence in order:
        sender.sequence = sequence - 1
        message = sender.seal(Contents(), active=False, key_id=1)
        if sequence in accepted or sequence <= max(accepted, default=0) - WINDOW:
            assert reason(by, message) is Rejection.REPLAYED
        else:
            by.open(message)
            accepted.add(sequence)


def test_a_replay_of_an_earlier_boot_is_not_fresh() -> None:
    """The window of a new boot is empty; what falls is the echo: it names messages that our present boot never sent."""
    ours = Freshness(BOOT_B)
    ours.note_sent(10, 1_000)
    assert ours.age(Echo(boot=b"former boot of us", sequence=10), 2_000) is None
    assert ours.age(None, 2_000) is None
    assert ours.age(Echo(boot=BOOT_B, sequence=9), 2_000) is None
    assert ours.age(Echo(boot=BOOT_B, sequence=10), 5_000) == 4_000


def test_freshness_forgets_the_oldest_first() -> None:
    ours = Freshness(BOOT_B)
    for sequence in range(10_000):
        ours.note_sent(sequence, sequence)
    assert ours.age(Echo(boot=BOOT_B, sequence=0), 10_000) is None
    assert ours.age(Echo(boot=BOOT_B, sequence=9_999), 10_000) == 1


def test_our_own_messages_come_back() -> None:
    by = Opener({1: KEY}, node=NODE_A, boot=BOOT_A)
    assert reason(by, sealer().seal(Contents(), active=True, key_id=1)) is Rejection.REFLECTED


def test_a_clone_is_told() -> None:
    by = Opener({1: KEY}, node=NODE_A, boot=BOOT_B)
    assert by.open(sealer().seal(Contents(), active=True, key_id=1)).is_clone


def test_a_wrong_key_looks_like_a_forgery() -> None:
    assert reason(opener({1: bytes(32)}), sealer().seal(Contents(), active=True, key_id=1)) is Rejection.FORGED
    assert reason(opener({2: KEY}), sealer().seal(Contents(), active=True, key_id=1)) is Rejection.UNKNOWN_KEY


def test_keys_change_without_a_gap() -> None:
    new = bytes(reversed(range(32)))
    ours, theirs = sealer(), opener()
    theirs.open(ours.seal(Contents(), active=True, key_id=sending_key({1: KEY}, 1)))
    # The other side has both keys first, then we; only when each says so is the new one used.
    theirs.use_keys({1: KEY, 2: new})
    theirs.open(ours.seal(Contents(), active=True, key_id=sending_key({1: KEY}, 2)))
    ours.use_keys({1: KEY, 2: new})
    assert sending_key({1: KEY, 2: new}, 1) == 1
    assert sending_key({1: KEY, 2: new}, 0) == 1
    assert sending_key({1: KEY, 2: new}, 2) == 2
    assert sending_key({1: KEY, 2: new}, 3) == 2
    theirs.open(ours.seal(Contents(), active=True, key_id=2))


def test_forged_messages_are_never_accepted() -> None:
    """Every kind of forgery and replay, from a seed: bits turned, cut, lengthened, spliced, of another key, repeated."""
    chance = random.Random(539)
    by, sender, stranger = opener(), sealer(), sealer({1: b"x" * 32})
    genuine = [sender.seal(Contents(term=term, name="a"), active=True, key_id=1) for term in range(64)]
    for message in genuine:
        by.open(message)

    def turned(message: bytes) -> bytes:
        at = chance.randrange(len(message) * 8)
        return bytes(byte ^ (1 << at % 8 if at // 8 == place else 0) for place, byte in enumerate(message))

    def forged() -> bytes:
        one, other = chance.choice(genuine), chance.choice(genuine)
        kind = chance.randrange(7)
        if kind == 0:
            return turned(one)
        if kind == 1:
            return one[: chance.randrange(len(one))]
        if kind == 2:
            return one + chance.randbytes(chance.randrange(1, 32))
        if kind == 3:
            return one[:HEADER_BYTES] + turned(other)[HEADER_BYTES:]
        if kind == 4:
            return stranger.seal(Contents(), active=True, key_id=1)
        if kind == 5:
            return chance.randbytes(chance.randrange(160))
        return one

    rejected = 0
    for _ in range(FORGERIES):
        with pytest.raises(RejectedError):
            by.open(forged())
        rejected += 1
    assert rejected == FORGERIES
    assert by.open(sender.seal(Contents(), active=True, key_id=1))
