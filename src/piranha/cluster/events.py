"""What happens to a director: the events that `Failover.handle` takes. All times are nanoseconds of CLOCK_BOOTTIME.

Order matters once: after every sleep the shell hands in `Woke`, then everything its sockets hold, and `Tick` last. A machine that
looked at its timers first would take a peer for dead whose heartbeats lie in the socket.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from piranha.cluster.heartbeat import NO_FLAGS, Flag, Place
from piranha.cluster.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The first event: pulse has its sockets and the gate. `gate_open_until` is what an earlier pulse left in the gate, 0 for nothing."""

    gate_open_until: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Woke:
    """The poll came back. `lag_ns` is how much later than it should have: later than the timer, or than the first packet."""

    lag_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """The sockets are drained; whatever is due may be done. Harmless before the timer's time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatHeard:
    """An authentic heartbeat that was not seen before.

    `age_ns` is the age of our own latest message that the sender knew (`seal.Freshness.age`), None where it knew none of this
    boot: only a young one is a sign of life. `is_clone`: it bears our own node id and another boot. Of an original Piranha:
    `term` 0, flags READY and SYNCED, `age_ns` 0, `node` and `boot` empty, `place` the one that is not ours.
    """

    link: str
    active: bool
    term: int
    place: Place
    flags: Flag = NO_FLAGS
    age_ns: int | None = None
    node: bytes = b""
    boot: bytes = b""
    version: int = 1
    is_clone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeAnswered:
    """Somebody else answered our who-has (or neighbour solicitation) for one of the VIPs.

    `is_peer` where the MAC is one of the peer's, or where the peer's are not known: in doubt it is the peer.
    """

    address: str
    mac: str
    is_peer: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictSeen:
    """Somebody else announced one of the VIPs as its own, unasked. `is_peer` as in `ProbeAnswered`."""

    address: str
    mac: str
    is_peer: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkChanged:
    """The carrier of an interface. Those named in `Settings.links` count; at first each is taken to have one."""

    link: str
    carrier: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LvsdReady:
    """Whether lvsd is up with its table loaded. False as soon as its process has ended."""

    ready: bool
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyToServe:
    """Whether this director has the peer's connections (the bulk transfer is done), or there are none to have."""

    synced: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class GateState:
    """What the gate says: open until then. Handed in after each batch of active heartbeats, and whenever it was read.

    The gate has the last word on the lease: a heartbeat that did not leave has not renewed it.
    """

    open_until: int


class Question(StrEnum):
    """What a person, a service or systemd may ask of the machine."""

    SWITCH = "switch"
    """Change over: give up where active, become active where backup."""
    MAINTENANCE_ON = "maintenance on"
    MAINTENANCE_OFF = "maintenance off"
    STOP = "stop"
    """Leave in good order. `Stopped` follows within `Settings.handover_ns` and a little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A question; the `Answer` bears its number. A second change-over is refused while one is under way; a stop is not."""

    question: Question
    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsChanged:
    """A reload, or SCHED_FIFO lost or won (another `Settings.timing`). The role stays as it is, except between alone and paired."""

    settings: Settings


Event = (
    Started
    | Woke
    | Tick
    | HeartbeatHeard
    | ProbeAnswered
    | ConflictSeen
    | LinkChanged
    | LvsdReady
    | ReadyToServe
    | GateState
    | Ask
    | SettingsChanged
)
