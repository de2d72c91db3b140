"""What a director shall do: the commands that `Failover.handle` returns. Carry them out in the order given, before the next event."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from piranha.cluster.alarm import AlarmCode
from piranha.cluster.heartbeat import Flag

FOREVER = 2**63 - 1
"""A lease without end: nobody else could take over."""


class Role(StrEnum):
    """The role now. A director without a peer is STANDALONE, and serves."""

    ACTIVE = "active"
    BACKUP = "backup"
    STANDALONE = "standalone"


@dataclass(frozen=True, slots=True, kw_only=True)
class SendHeartbeats:
    """Send one message over every link now. Only the gate's hook renews the lease, when an active one leaves.

    When a list with an active one has been carried out, the shell reads the gate and hands in `GateState`. On an nftables gate the shell renews instead, with the
    gate's own rule: an expired lease stays expired.
    """

    active: bool
    term: int
    flags: Flag


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimLease:
    """Write the lease anew: open until then. The only way to open a gate that is shut, and to shorten a lease."""

    until: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DropLease:
    """Shut the gate now. First of all that giving up takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendProbe:
    """Ask the wire once who has the VIPs (ARP who-has, neighbour solicitation), from an address that is no VIP.

    One address a device is enough. The machine repeats the command; answers come back as `ProbeAnswered`.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class RaiseAddresses:
    """The VIPs and the NAT router address shall be on their devices, and be put back where somebody removes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LowerAddresses:
    """They shall not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Announce:
    """Tell the wire once who has the VIPs (gratuitous ARP request and reply, unsolicited neighbour advertisement).

    The machine repeats the command in a burst, and every minute.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class StopAnnouncing:
    """Throw away announcements that are not yet on the wire."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCommand:
    """Start `active_cmd` or `inactive_cmd`, without waiting."""

    active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TellLvsd:
    """The role has changed, or its term; `cause` is one sentence for the log, the status and whoever asked."""

    role: Role
    term: int
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A person should look. Repeated for one code only where the text has changed."""

    code: AlarmCode
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmOver:
    """The reason for the alarm is gone."""

    code: AlarmCode


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The end of an `Ask`. `text` says what was done, or why not and what to do."""

    number: int
    done: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """The machine has given up everything; pulse may end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTimer:
    """When the machine next wants a `Tick`. Replaces the time before; the last command of a list, where it has changed.

    It stands until it is replaced: a `Tick` that comes too early, by a poll that rounds, does not use it up.
    """

    at: int


Command = (
    SendHeartbeats
    | ClaimLease
    | DropLease
    | SendProbe
    | RaiseAddresses
    | LowerAddresses
    | Announce
    | StopAnnouncing
    | RunCommand
    | TellLvsd
    | Alarm
    | AlarmOver
    | Answer
    | Stopped
    | SetTimer
)
