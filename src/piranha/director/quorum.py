"""The quorum: how much of a service must be alive before its real servers are used. Pure."""

from __future__ import annotations


def quorate(before: bool | None, alive: int, *, quorum: int, hysteresis: int) -> bool:
    """Whether a service with `alive` weight has its quorum, after it had it or not (None: just begun).

    It is reached at `quorum + hysteresis` and lost below `quorum - hysteresis`; a fresh service needs `quorum`
    (keepalived's rule, there with the first too). Nothing alive is never a quorum.
    """
    if alive <= 0:
        return False
    if before is None:
        return alive >= quorum
    return alive >= (quorum - hysteresis if before else quorum + hysteresis)
