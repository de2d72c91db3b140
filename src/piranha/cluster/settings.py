"""What a failover machine is told once: who it is, how fast it is, and which rules a person has chosen."""

from __future__ import annotations

from dataclasses import dataclass, field

from piranha.cluster.heartbeat import Place
from piranha.cluster.timing import MILLISECOND, SECOND, Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The machine's settings.

    `node` and `boot` are those of our own heartbeats. `alone`: there is no backup director (`backup_active = 0`). `original`: the peer
    is an original Piranha (`heartbeat_auth = none`): it says running or stopped, and nothing else. `links` are the watched interfaces:
    those that carry heartbeats and VIPs; `vip_links` those of them that carry VIPs.
    """

    timing: Timing
    place: Place
    node: bytes = b""
    boot: bytes = b""
    alone: bool = False
    original: bool = False
    links: frozenset[str] = field(default_factory=frozenset)
    vip_links: frozenset[str] = field(default_factory=frozenset)
    monitor_links: bool = False
    failback: bool = False
    failback_delay_ns: int = 30 * SECOND
    start_delay_ns: int = 0
    sync_wait_ns: int = 60 * SECOND
    """How long a director that came up waits for the peer's connections before it takes the role back without them."""
    lvsd_wait_ns: int = 10 * SECOND
    """How long an active director goes on without its lvsd before it hands over to a peer that has one."""
    handover_ns: int = 500 * MILLISECOND
    """How long a planned switch may take before it is called off."""
    hold_down: bool = True
    """Whether takeovers by silence are slowed down while the role goes to and fro."""
