"""What lblc and lblcr remember: how long, and how often their bounded tables had no room (`bpf/sched_locality.h`)."""

from __future__ import annotations

from piranha.dataplane.ebpf.tables import Tables

DAY_S = 86400


class Locality:
    """IPVS's `lblc_expiration` and `lblcr_expiration`, in seconds, live in the kernel."""

    def __init__(self, tables: Tables) -> None:
        self._rows = tables.locality

    def expirations_s(self) -> tuple[int, int]:
        """Those of lblc and of lblcr."""
        row = self._rows[0]
        return int(row["lblc_expiration"]) or DAY_S, int(row["lblcr_expiration"]) or DAY_S

    def set_expirations(self, lblc_s: int, lblcr_s: int) -> None:
        """An address that was not asked for so long is forgotten; a set that did not change for so long shrinks."""
        row = self._rows[0]
        row["lblc_expiration"], row["lblcr_expiration"] = lblc_s, lblcr_s

    def losses(self) -> dict[str, int]:
        """Since the tables were made: addresses that were not remembered, servers not added to the set of an address."""
        row = self._rows[0]
        found = {"locality_addresses": int(row["full_cache"]), "locality_servers": int(row["full_set"])}
        return {word: count for word, count in found.items() if count}
