"""What follows from a decision of admission beside the table: flows to end, and what a person should hear. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from piranha.director.admission import Admitted, Cause, Share
from piranha.director.layout import Layout
from piranha.model.service import Protocol
from piranha.monitor.target import TargetKey

_OUT = frozenset((Cause.DOWN, Cause.FORCED_DOWN, Cause.DISABLED, Cause.DRAINED))


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """Something that happened to a member; `is_bad` asks for a person."""

    key: TargetKey
    text: str
    is_bad: bool


def flows_to_end(layout: Layout, before: Admitted, after: Admitted) -> Iterator[TargetKey]:
    """Members of UDP services that were just taken out.

    A TCP client of a dead server notices; one that sends datagrams would be glued to it until the connection entry
    expires, which each of its datagrams puts off.
    """
    if before is after:
        return
    for service in layout.services:
        if service.service.key.protocol is not Protocol.UDP:
            continue
        for member in service.members:
            was, now = before.shares.get(member.key), after.shares.get(member.key)
            if was is not None and now is not None and now.cause in _OUT and was.cause not in _OUT:
                yield member.key


def news(before: Admitted, after: Admitted, now: float) -> Iterator[News]:
    """Changes that verdicts and operators' words do not already tell."""
    if before is after:
        return
    for key, share in after.shares.items():
        was = before.shares.get(key)
        if was is None or was.cause is share.cause:
            continue
        if share.cause is Cause.DAMPED:
            yield News(key=key, text=_held_back(share, now), is_bad=True)
        elif share.cause is Cause.KEPT:
            yield News(key=key, text="stays in although it is down: too few others are left", is_bad=True)
        elif was.cause is Cause.DAMPED and share.takes_connections:
            yield News(key=key, text="comes in, it is held back no more", is_bad=False)
        elif was.cause is Cause.KEPT and share.cause is Cause.DOWN:
            yield News(key=key, text="goes out, enough others are there", is_bad=False)


def _held_back(share: Share, now: float) -> str:
    left = "" if share.until is None else f" until it was good for another {share.until - now:.0f} s"
    return f"is up but fails too often: held back{left}"
