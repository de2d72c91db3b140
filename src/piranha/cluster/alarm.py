"""What a person should look at, by name."""

from __future__ import annotations

from enum import StrEnum


class AlarmCode(StrEnum):
    """Each is raised at most once at a time; docs/design/cluster.md says what each means and what to do."""

    PEER_LOST = "peer_lost"
    """This active director does not hear its peer: nobody would take over."""
    HEARTBEATS_LOST = "heartbeats_lost"
    """The peer is silent, yet it answers for the VIP: the heartbeat links are broken, not the peer."""
    SPLIT_BRAIN = "split_brain"
    """Both were active at once. Stays for a while after it has been healed."""
    LEASE_LOST = "lease_lost"
    """This director was active, and was held up for longer than its lease; it has given up."""
    DUPLICATE_ADDRESS = "duplicate_address"
    """Some other host answers for a VIP."""
    CLONE = "clone"
    """Another host has our node id: one of the two is a copy of the other."""
    NOT_READY = "not_ready"
    """This director is active and its lvsd is not there: the kernel goes on alone."""
    LINK_DOWN = "link_down"
    """A watched interface has no carrier."""
    FLAPPING = "flapping"
    """The role went to and fro; takeovers by silence now need a longer silence."""
    SLOW_TIMING = "slow_timing"
    """The timing in force is slower than the one asked for."""
    PEER_VERSION = "peer_version"
    """The peer speaks another version of the heartbeats. Nothing is lost but what only one of the two knows."""
    SAME_PLACE = "same_place"
    """Both directors take themselves for the primary, or both for the backup."""
    NO_TAKEOVER = "no_takeover"
    """Nobody is active, and this director must not be: the text says why."""


class Alarms:
    """The alarms that are on. Each change is told once; one with an end goes by itself."""

    def __init__(self) -> None:
        self.texts: dict[AlarmCode, str] = {}
        self._ends: dict[AlarmCode, int] = {}

    def start(self, code: AlarmCode, text: str, until: int | None = None) -> bool:
        """Whether that is news. `until` prolongs an alarm that is on."""
        if until is not None:
            self._ends[code] = max(until, self._ends.get(code, until))
        if self.texts.get(code) == text:
            return False
        self.texts[code] = text
        return True

    def end(self, code: AlarmCode) -> bool:
        """Whether it was on."""
        self._ends.pop(code, None)
        return self.texts.pop(code, None) is not None

    def over(self, now: int) -> list[AlarmCode]:
        """Those whose time is up; they are off then."""
        ended = [code for code, until in self._ends.items() if until <= now]
        return [code for code in ended if self.end(code)]

    @property
    def next_at(self) -> int | None:
        return min(self._ends.values(), default=None)
