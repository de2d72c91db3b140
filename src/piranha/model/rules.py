"""Rules of a whole data plane: IPVS's sysctls that decide what happens to connections, by their own names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

DEFENCES = ("drop_entry", "drop_packet", "secure_tcp")


def defence_mode(value: int) -> int:
    """The rule that a sysctl's value of a defence stands for."""
    return 1 if value == 2 else value


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneRules:
    """`net.ipv4.vs.*` with IPVS's defaults (Linux `Documentation/networking/ipvs-sysctl.rst`).

    `conn_reuse_mode` is a bitmap for a SYN that meets an old connection of the same ports: bit 0, a finished one is
    scheduled anew; bit 1, also one in FIN_WAIT where only the client's half is seen.

    The defences `drop_entry`, `drop_packet` and `secure_tcp` are 0 never, 1 while room is short, 3 always. IPVS turns a 1 to
    2 while it is in force; that is a state and no rule, so a 2 is read as 1 (`defence_mode`). Room is short below
    `amemthresh`; `am_droprate` is the n of "one packet in n" of `drop_packet = 3`. Expirations are in seconds.
    """

    am_droprate: int = 10
    amemthresh: int = 1024
    cache_bypass: bool = False
    conn_reuse_mode: int = 1
    drop_entry: int = 0
    drop_packet: int = 0
    expire_nodest_conn: bool = False
    expire_quiescent_template: bool = False
    lblc_expiration: int = 86400
    lblcr_expiration: int = 86400
    nat_icmp_send: bool = False
    pmtu_disc: bool = True
    schedule_icmp: bool = False
    secure_tcp: int = 0
    sloppy_sctp: bool = False
    sloppy_tcp: bool = False

    def changes_to(self, other: PlaneRules) -> Iterator[tuple[str, int, int]]:
        """Name, value here and value there of every rule that differs."""
        for field in fields(self):
            here, there = int(getattr(self, field.name)), int(getattr(other, field.name))
            if here != there:
                yield field.name, here, there
