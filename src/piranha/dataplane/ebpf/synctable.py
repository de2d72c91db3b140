"""The eBPF plane's table as connection sync uses it: listeners on the way out, one way in."""

from __future__ import annotations

from collections.abc import Callable

from piranha.dataplane.ebpf.arrivals import Arrivals, Taken
from piranha.dataplane.ebpf.departures import Departures, Rule
from piranha.dataplane.ebpf.syncdaemons import SyncDaemons
from piranha.dataplane.ebpf.tables import Tables
from piranha.dataplane.exchange import Entries


class SyncTable:
    """`edition` grows whenever services or destinations change, and `watch` has that told."""

    def __init__(self, tables: Tables, daemons: SyncDaemons) -> None:
        self.daemons = daemons
        self.edition = 0
        self._tables = tables
        self._changed: Callable[[], None] = lambda: None
        self._arrivals: Arrivals | None = None
        self._seen = -1

    def touch(self) -> None:
        """Services or destinations changed."""
        self.edition += 1
        self._changed()

    def watch(self, changed: Callable[[], None]) -> None:
        """Have `changed` called after each change of services or destinations."""
        self._changed = changed

    def departures(self, rule: Rule) -> Departures:
        """A new listener, who knows nothing yet."""
        return Departures(self._tables, rule)

    def take(self, entries: Entries, *, keep: bool = False) -> Taken:
        """As `Arrivals.take`. Raises PiranhaError when the kernel refuses the program."""
        if self._arrivals is None:
            self._arrivals = Arrivals(self._tables)
        if self._seen != self.edition:
            self._seen = self.edition
            self._arrivals.services_changed()
        return self._arrivals.take(entries, keep=keep)

    def close(self) -> None:
        if self._arrivals is not None:
            self._arrivals.close()
            self._arrivals = None
