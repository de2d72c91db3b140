"""Machines with one rule switched off. The simulation must catch each: otherwise it proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from piranha.cluster import events
from piranha.cluster.announcing import Announcements
from piranha.cluster.commands import Command
from piranha.cluster.failover import Failover
from piranha.cluster.ownership import LEASED
from piranha.cluster.settings import Settings
from tests.simulation.host import Host


class NoProbe(Failover):
    """Takes over without asking the wire."""

    def _begin_probe(self, cause: str) -> None:
        self._claim(cause)


class NoOwnProbe(Failover):
    """An active one whose peer is silent does not ask the wire for its own VIP."""

    def _ask_wire(self) -> None:
        if self.state not in LEASED:
            super()._ask_wire()


class Reviving(Failover):
    """Goes on as active after its lease has run out."""

    def handle(self, event: events.Event, now: int) -> list[Command]:
        if self.state in LEASED:
            self.lease_until = max(self.lease_until, now + 1)
        return super().handle(event, now)

    def _lose_lease(self, cause: str) -> None:
        pass


class NoYield(Failover):
    """Stays active whatever the other one says."""

    def _yield(self, cause: str) -> None:
        pass


class OneBurst(Announcements):
    """No announcement sooner than planned."""

    def hasten(self, at: int) -> None:
        pass


class NoAnnouncementAgain(Failover):
    """Announces at a claim alone, whatever the wire has been told since."""

    def __init__(self, settings: Settings, now: int) -> None:
        super().__init__(settings, now)
        self._announcements = OneBurst()

    def _announce(self) -> None:
        if self.since == self._now:
            super()._announce()


class RevivingHost(Host):
    """A gate that renews what has run out."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.revives = True


Machine = Callable[[Settings, int], Failover]

VARIANTS: dict[str, tuple[Machine, type[Host]]] = {
    "all rules": (Failover, Host),
    "no probe": (NoProbe, Host),
    "no own probe": (NoOwnProbe, Host),
    "expired leases renewed": (Reviving, RevivingHost),
    "no yield": (NoYield, Host),
    "no announcement again": (NoAnnouncementAgain, Host),
}
