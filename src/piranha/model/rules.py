"""Rules of a whole data plane: IPVS's sysctls that decide what happens to connections, by their own names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneRules:
    """`net.ipv4.vs.*` with IPVS's defaults (Linux `Documentation/networking/ipvs-sysctl.rst`).

    `conn_reuse_mode` is a bitmap for a SYN that meets an old connection of the same ports: bit 0, a finished one is
    scheduled anew; bit 1, also one in FIN_WAIT where only the client's half is seen.
    """

    cache_bypass: bool = False
    conn_reuse_mode: int = 1
    expire_nodest_conn: bool = False
    expire_quiescent_template: bool = False
    nat_icmp_send: bool = False
    pmtu_disc: bool = True
    schedule_icmp: bool = False
    sloppy_sctp: bool = False
    sloppy_tcp: bool = False

    def changes_to(self, other: PlaneRules) -> Iterator[tuple[str, int, int]]:
        """Name, value here and value there of every rule that differs."""
        for field in fields(self):
            here, there = int(getattr(self, field.name)), int(getattr(other, field.name))
            if here != there:
                yield field.name, here, there
