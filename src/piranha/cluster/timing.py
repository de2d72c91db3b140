"""How fast a pair reacts: the profiles, and what `keepalive` and `deadtime` make of them.

    0 ........ heartbeat ........ lease ........ dead
                                  |              |
                the gate of a frozen active shuts; the backup begins to probe

The dead time is the lease and a heartbeat: so the gate of an active director that fell silent is shut, by its own clock, before
the other one asks the wire. A lease lasts for at least two heartbeats, so that one that is lost or late does not shut the gate.
"""

from __future__ import annotations

from dataclasses import dataclass

from piranha.model.configuration import ProfileChoice

MILLISECOND = 1_000_000
SECOND = 1_000 * MILLISECOND

PROBE_NS = 50 * MILLISECOND
PROBES = 6
PROBE_EVERY_NS = 8 * MILLISECOND
"""Six questions within 40 ms leave the last one 10 ms for its answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The times in force. `profile` is that in force, `asked` that of the file; `notes` say why they are not as the file asks."""

    heartbeat_ns: int
    lease_ns: int
    dead_ns: int
    profile: ProfileChoice = ProfileChoice.DEFAULT
    asked: ProfileChoice = ProfileChoice.DEFAULT
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < 2 * self.heartbeat_ns <= self.lease_ns:
            raise ValueError(f"a lease of {self.lease_ns} ns is shorter than two heartbeats of {self.heartbeat_ns} ns")
        if self.lease_ns + self.heartbeat_ns > self.dead_ns:
            raise ValueError(f"a dead time of {self.dead_ns} ns is shorter than lease and heartbeat together")


PROFILES: dict[ProfileChoice, tuple[int, int]] = {
    ProfileChoice.FAST: (50 * MILLISECOND, 200 * MILLISECOND),
    ProfileChoice.DEFAULT: (100 * MILLISECOND, 400 * MILLISECOND),
    ProfileChoice.CALM: (1 * SECOND, 4 * SECOND),
}
"""Heartbeat and dead time; the lease is what lies between."""

ORIGINAL_KEEPALIVE_S = 2.0
ORIGINAL_DEADTIME_S = 5.0
"""Of piranha 0.8.6, where the file does not set them."""

LEAST_DEAD_NS = 80 * MILLISECOND
"""Measured: below this a healthy pair changes over on a busy machine."""


def choose(
    asked: ProfileChoice,
    *,
    realtime: bool,
    keepalive_s: float | None = None,
    deadtime_s: float | None = None,
    original: bool = False,
) -> Timing:
    """The timing to use. `keepalive_s` and `deadtime_s` are None where the file does not set them.

    Beside an original Piranha (`original`) they are then what it takes for them: it speaks as seldom as that.

    Without real-time scheduling (`realtime`) nothing is faster than the calm profile: a daemon that may be held up for a second
    by its neighbours must not promise to speak every 50 ms.
    """
    if original:
        keepalive_s = ORIGINAL_KEEPALIVE_S if keepalive_s is None else keepalive_s
        deadtime_s = ORIGINAL_DEADTIME_S if deadtime_s is None else deadtime_s
    notes: list[str] = []
    profile = asked if realtime else ProfileChoice.CALM
    if profile is not asked:
        notes.append(
            f"real-time scheduling is denied, so the profile `{asked}` is replaced by `calm`: "
            "see `piranha doctor`, and start pulse outside of a CPU cgroup"
        )
    heartbeat_ns, dead_ns = PROFILES[profile]
    if deadtime_s is not None:
        dead_ns, heartbeat_ns = _by_deadtime(deadtime_s, heartbeat_ns, realtime=realtime, notes=notes)
    if keepalive_s is not None:
        keepalive_ns = round(keepalive_s * SECOND)
        if deadtime_s is None:
            dead_ns = max(dead_ns, 3 * keepalive_ns)
        heartbeat_ns = keepalive_ns
        if 3 * keepalive_ns > dead_ns:
            heartbeat_ns = dead_ns // 3
            notes.append(
                f"keepalive = {keepalive_s:g} s is more than a third of the dead time: heartbeats leave every "
                f"{_text(heartbeat_ns)} instead; write a `deadtime` of at least three times `keepalive`"
            )
    return Timing(
        heartbeat_ns=heartbeat_ns,
        lease_ns=dead_ns - heartbeat_ns,
        dead_ns=dead_ns,
        profile=profile,
        asked=asked,
        notes=tuple(notes),
    )


def _by_deadtime(deadtime_s: float, heartbeat_ns: int, *, realtime: bool, notes: list[str]) -> tuple[int, int]:
    """Dead time and heartbeat: the profile's heartbeat where it fits four times, else a quarter."""
    dead_ns = round(deadtime_s * SECOND)
    least_ns = LEAST_DEAD_NS if realtime else PROFILES[ProfileChoice.CALM][1]
    if dead_ns < least_ns:
        reason = "with any scheduling" if realtime else "without real-time scheduling"
        notes.append(f"deadtime = {deadtime_s:g} s is too short {reason}: {_text(least_ns)} is used")
        dead_ns = least_ns
    return dead_ns, min(heartbeat_ns, dead_ns // 4)


def _text(nanoseconds: int) -> str:
    return f"{nanoseconds / MILLISECOND:g} ms"
