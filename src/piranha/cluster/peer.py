"""What a director knows of its peer."""

from __future__ import annotations

from piranha.cluster.events import HeartbeatHeard
from piranha.cluster.heartbeat import Flag, Place

NEVER = -(2**62)


def fitness(flags: Flag) -> int:
    """How well a director with these flags can serve: 0 not at all, 1 with a link missing, 2 fully."""
    if Flag.READY not in flags or Flag.MAINTENANCE in flags:
        return 0
    return 1 if Flag.LINK_DOWN in flags else 2


class Peer:
    """The other director, as its heartbeats tell. Only fresh heartbeats, whose sender knows a young message of ours, count.

    `fresh_at` is the last sign of life; `active_at` the last heartbeat of an active one. A stale heartbeat may be a replay: it
    is remembered as a claim (`stale_active_at`, `stale_rank`) that is answered and never obeyed.
    """

    __slots__ = (
        "active",
        "active_at",
        "active_boot",
        "boot",
        "flags",
        "fresh_at",
        "heard_at",
        "node",
        "place",
        "silence_ns",
        "stale_active_at",
        "term",
        "version",
    )

    def __init__(self) -> None:
        self.heard_at = self.fresh_at = self.active_at = self.stale_active_at = NEVER
        self.active = False
        self.term = 0
        self.place = Place.SECONDARY
        self.flags = Flag(0)
        self.node = self.boot = self.active_boot = b""
        self.version = 0
        self.silence_ns = 0
        """How long it had been silent before the latest fresh heartbeat."""

    def hear(self, event: HeartbeatHeard, now: int, dead_ns: int) -> bool:
        """Take in a heartbeat; whether it is a sign of life."""
        self.heard_at = now
        if event.age_ns is None or event.age_ns > dead_ns:
            if event.active:
                self.stale_active_at = now
            return False
        self.silence_ns = now - self.fresh_at
        self.fresh_at = now
        self.term, self.place, self.flags = event.term, event.place, event.flags
        self.node, self.boot, self.version = event.node, event.boot, event.version
        if event.active:
            self.active = True
            self.active_at, self.active_boot = now, event.boot
        elif event.boot == self.active_boot or now - self.active_at > dead_ns:
            self.active = False
        return True

    def leave(self) -> None:
        """It has said farewell: it is gone without any silence."""
        self.fresh_at = self.active_at = NEVER
        self.active = False
        self.flags = Flag(0)

    def is_fresh(self, now: int, dead_ns: int) -> bool:
        """Whether it lives: heard, and not silent for a dead time."""
        return now - self.fresh_at <= dead_ns

    def is_active(self, now: int, dead_ns: int) -> bool:
        """Whether it was active at the last word, and that is not too old."""
        return self.active and now - self.active_at <= dead_ns

    @property
    def can_serve(self) -> bool:
        return fitness(self.flags) > 0
