"""The operators' desk: takes their words about servers, keeps them, ends what is over. I/O only through its store."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from piranha.base.errors import PiranhaError, UsageError
from piranha.director.layout import Layout, PlannedService
from piranha.director.overridefile import MemoryOverrides, OverrideStore
from piranha.model.address import IPAddress
from piranha.model.override import KINDS, NO_OVERRIDES, Act, Override, Overrides
from piranha.model.service import ServiceStatus

MOST_ENTRIES = 10_000
MOST_TEXT = 200
"""Characters of a reason."""

logger = logging.getLogger(__name__)


class OperatorDesk:
    """`overrides` is replaced with every change. `wall` gives seconds since 1970; `tell(subject, text, who)` hears news."""

    def __init__(
        self,
        store: OverrideStore | None = None,
        *,
        wall: Callable[[], float] = time.time,
        tell: Callable[[str, str, str], None] = lambda subject, text, who: None,
    ) -> None:
        self._store = store or MemoryOverrides()
        self._wall = wall
        self.tell = tell
        self.trouble = ""
        self.overrides = NO_OVERRIDES
        self._reload()

    def take(
        self,
        layout: Layout,
        server: str,
        act: Act | None,
        *,
        service: str = "",
        weight: int = 0,
        duration_s: float | None = None,
        who: str = "",
        why: str = "",
    ) -> None:
        """A word about a server (its name or address), in one service or in all; `act` None takes all back.

        A drain without a duration lasts at most the longest `drain_timeout` of its services. Raises UsageError for what
        there is not, PiranhaError when it cannot be kept.
        """
        address = server_named(layout, self.overrides, server)
        concerned, key = layout.services, ""
        if service:
            planned = service_named(layout, service)
            if not _has_member(planned, address):
                raise UsageError(f"{server} is no server of {service}", mend="`piranha server list` shows who is")
            concerned, key = (planned,), str(planned.service.key)
        if act is None:
            self._keep(self.overrides.without(address, key, KINDS))
            self._news(address, key, "everything said of it taken back", who)
            return
        if act is Act.DRAIN and duration_s is None:
            limits = [one.virtual.drain_timeout_s for one in concerned if _has_member(one, address)]
            duration_s = max(limits) if limits and all(limits) else None
        now = self._wall()
        until = None if duration_s is None else now + duration_s
        entry = Override(
            act=act, server=address, service=key, weight=weight, who=who, why=why[:MOST_TEXT], at=now, until=until
        )
        self._keep(self.overrides.with_entry(entry))
        self._news(address, key, _words_of(entry), who)

    def replace_all(self, overrides: Overrides) -> None:
        """Take the whole of them from a peer. Raises PiranhaError when they cannot be kept."""
        if overrides != self.overrides:
            self._keep(overrides)
            logger.info("states of servers taken over entries=%d", len(overrides.entries))

    def look(self, layout: Layout, actual: Sequence[ServiceStatus]) -> bool:
        """End what is over by time or by having drained. Whether anything was."""
        if not self.overrides:
            return False
        now = self._wall()
        changed = self.overrides
        for entry in self.overrides.over(now):
            changed = Overrides(tuple(one for one in changed.entries if one is not entry))
            self._news(entry.server, entry.service, f"{entry.act.value} is over", "")
        left = Connections(layout, actual)
        for entry in self.overrides.entries:
            if entry.act is not Act.DRAIN or entry.drained:
                continue
            rest = left.of(entry)
            is_late = entry.until is not None and entry.until <= now
            if rest == 0 or is_late:
                done = replace(entry, drained=True)
                changed = Overrides(tuple(done if one is entry else one for one in changed.entries))
                text = "drained" if rest == 0 else "taken out at the end of its drain"
                self._news(entry.server, entry.service, text + (f", with {rest} connections left" if rest else ""), "")
        if changed is self.overrides:
            return False
        try:
            self._keep(changed)
        except PiranhaError as error:
            # It holds all the same; a later life of ours comes to the same end by itself.
            self.overrides = changed
            if self.trouble != str(error):
                logger.warning('states of servers are not kept error="%s"', error)
            self.trouble = str(error)
        return True

    def _reload(self) -> None:
        try:
            self.overrides = self._store.load()
        except PiranhaError as error:
            self.trouble = str(error)
            logger.error('states of servers are lost error="%s"', error)

    def _keep(self, overrides: Overrides) -> None:
        if len(overrides.entries) > MOST_ENTRIES:
            raise UsageError(
                f"more than {MOST_ENTRIES} states of servers", mend="take some back: piranha server enable"
            )
        self._store.save(overrides)
        self.overrides = overrides
        self.trouble = ""

    def _news(self, server: IPAddress, service: str, text: str, who: str) -> None:
        where = service or "every service"
        logger.info('server="%s" service="%s" state="%s" who="%s"', server, where, text, who)
        self.tell(f"{server} in {where}", text, who)


class Connections:
    """How many connections are left on servers, from one snapshot of the table."""

    def __init__(self, layout: Layout, actual: Sequence[ServiceStatus]) -> None:
        ours = {service.service.key for service in layout.services}
        self._left: dict[tuple[str, IPAddress], int] = {}
        self._weighted: set[tuple[str, IPAddress]] = set()
        for status in actual:
            if status.foreign or status.service.key not in ours:
                continue
            for d in status.destinations:
                address = d.destination.key.address
                for service in (str(status.service.key), ""):
                    place = service, address
                    self._left[place] = self._left.get(place, 0) + d.active_connections + d.inactive_connections
                    if d.destination.weight > 0:
                        self._weighted.add(place)

    def of(self, entry: Override) -> int | None:
        """None while the server still gets new ones: the table has not followed yet."""
        place = entry.service, entry.server
        return None if place in self._weighted else self._left.get(place, 0)


def server_named(layout: Layout, overrides: Overrides, text: str) -> IPAddress:
    """The address of the real server of this name or address. Raises UsageError where there is none, or several."""
    found: dict[IPAddress, None] = {}
    known: dict[str, None] = {}
    for service in layout.services:
        for member in service.members:
            known[member.server.name] = None
            address = member.key.destination.address
            if text in (member.server.name, str(address)):
                found[address] = None
    if not found:
        # Words about servers that the file has no more can still be taken back.
        found = {one.server: None for one in overrides.entries if str(one.server) == text}
    if len(found) > 1:
        raise UsageError(f"{text} is the name of several servers", mend="say which: " + ", ".join(map(str, found)))
    if not found:
        some = ", ".join(sorted(known)[:10]) or "none"
        raise UsageError(f"no active real server is named {text}", mend=f"servers are: {some}")
    return next(iter(found))


def service_named(layout: Layout, text: str) -> PlannedService:
    """The virtual server of this name or key, such as `HTTP`, `tcp 10.0.0.100:80`. Raises UsageError as above."""
    found = [one for one in layout.services if text in (one.virtual.name, str(one.service.key))]
    if len(found) > 1:
        mend = "say which: " + ", ".join(f'"{one.service.key}"' for one in found)
        raise UsageError(f"{text} is the name of several virtual servers", mend=mend)
    if not found:
        some = ", ".join(sorted({one.virtual.name for one in layout.services})[:10]) or "none"
        raise UsageError(f"no active virtual server is named {text}", mend=f"virtual servers are: {some}")
    return found[0]


def _has_member(service: PlannedService, server: IPAddress) -> bool:
    return any(member.key.destination.address == server for member in service.members)


def _words_of(entry: Override) -> str:
    words: Mapping[Act, str] = {
        Act.ENABLE: "enabled",
        Act.DISABLE: "disabled",
        Act.DRAIN: "draining",
        Act.WEIGHT: f"weight {entry.weight}",
        Act.UP: "forced up",
        Act.DOWN: "forced down",
    }
    return words[entry.act] + (f": {entry.why}" if entry.why else "")
