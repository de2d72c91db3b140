"""A new key for the heartbeats of a running pair, without a gap. Pure.

The other director has the new key before we do, and nobody loses a key that both have: whoever seals uses the newest that both have
(`cluster/seal.py`), so that every heartbeat can be opened at every moment, also where the change is cut short.
"""

from __future__ import annotations

import secrets

from piranha.base.errors import PiranhaError
from piranha.cluster.keys import MAX_KEY_ID, PairKeys
from piranha.cluster.seal import KEY_BYTES
from piranha.replication.frames import NewKey


def draw(pair: PairKeys) -> NewKey:
    """The next key. Raises PiranhaError when the numbers are used up."""
    if pair.newest >= MAX_KEY_ID:
        raise PiranhaError("the numbers of the keys are used up", mend="pair the directors anew")
    return NewKey(key_id=pair.newest + 1, key=secrets.token_bytes(KEY_BYTES), ids=tuple(sorted(pair.keys)))


def with_new(pair: PairKeys, new: NewKey) -> PairKeys:
    """The keys with a new one, beside the newest that both have.

    A key that only we have is from a change that was cut short; nobody seals with it. Raises PiranhaError where the two
    directors have no key in common, and where the proposer has such a key: sealing goes by numbers, so these may not differ.
    """
    shared = sorted(pair.keys.keys() & set(new.ids))
    if not shared:
        raise PiranhaError("the directors have no key in common", mend="pair them anew")
    if max(new.ids) != shared[-1] or new.key_id <= shared[-1]:
        raise PiranhaError(f"the newest key that both directors have is {shared[-1]}", mend="try again")
    return PairKeys(keys={shared[-1]: pair.keys[shared[-1]], new.key_id: new.key}, peer=pair.peer)


def only_shared(pair: PairKeys, ids: tuple[int, ...]) -> PairKeys | None:
    """Without the keys that the other director does not have; None where it has all of ours, or none."""
    shared = {key_id: key for key_id, key in pair.keys.items() if key_id in ids}
    return PairKeys(keys=shared, peer=pair.peer) if 0 < len(shared) < len(pair.keys) else None
