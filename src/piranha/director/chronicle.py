"""Tells the event log what happens in the director: verdicts, roles, alarms, drift, configurations, operators."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

from piranha.base.clock import Clock, MonotonicClock
from piranha.base.errors import PiranhaError
from piranha.director.eventfile import EventFile
from piranha.director.events import EventKind, EventLog, EventSeverity
from piranha.director.pulse_link import ClusterView
from piranha.model.health import Health
from piranha.monitor.target import TargetKey

_SAVED_EVERY_S = 1.0

logger = logging.getLogger(__name__)


class Chronicle:
    """The event log with its file; without a `file` it is forgotten with the process.

    `name_of` gives the name of a target in lvs.cf; set by whoever knows the configuration.
    """

    def __init__(
        self, file: EventFile | None = None, clock: Clock | None = None, wall: Callable[[], float] = time.time
    ) -> None:
        self._file = file
        self._clock = clock or MonotonicClock()
        self._wall = wall
        self.log = EventLog(file.load() if file is not None else ())
        self.name_of: Callable[[TargetKey], str] = str
        self._role = ("", False)
        self._alarms: Mapping[str, str] = {}

    def add(
        self,
        kind: EventKind,
        text: str,
        *,
        severity: EventSeverity = EventSeverity.INFO,
        subject: str = "",
        who: str = "",
    ) -> None:
        self.log.add(kind, text, now=self._clock.now(), wall=self._wall(), severity=severity, subject=subject, who=who)

    def health(self, key: TargetKey, health: Health, reason: str) -> None:
        """A verdict changed."""
        severity = EventSeverity.WARNING if health is Health.DOWN else EventSeverity.INFO
        because = f": {reason}" if reason else ""
        self.add(EventKind.HEALTH, f"{health.value}{because}", severity=severity, subject=self.name_of(key))

    def table(self, text: str, *, bad: bool) -> None:
        """The table was not as it should be, or is again."""
        self.add(EventKind.TABLE, text, severity=EventSeverity.WARNING if bad else EventSeverity.INFO)

    def cluster(self, view: ClusterView) -> None:
        """What pulse says now."""
        if self._role != (view.role, view.attached):
            first = self._role == ("", False)
            self._role = (view.role, view.attached)
            if not first or view.attached:
                self.add(EventKind.ROLE, f"this director is {view.role}" + ("" if view.attached else ", without pulse"))
        alarms = view.document.get("alarms", {})
        for name, text in alarms.items():
            if self._alarms.get(name) != text:
                self.add(EventKind.ALARM, str(text), severity=EventSeverity.WARNING, subject=name)
        for name in self._alarms:
            if name not in alarms:
                self.add(EventKind.ALARM, "is over", subject=name)
        self._alarms = dict(alarms)

    async def run(self) -> None:
        """Keep the file up with the log until cancelled."""
        if self._file is None:
            return
        complaint = ""
        try:
            while True:
                await asyncio.sleep(_SAVED_EVERY_S)
                fresh = self.log.take_unsaved()
                if not fresh:
                    continue
                try:
                    await asyncio.to_thread(self._file.append, fresh, self.log.all())
                    complaint = ""
                except PiranhaError as error:
                    if complaint != str(error):
                        logger.warning('events are forgotten at the next start error="%s"', error)
                    complaint = str(error)
        finally:
            try:
                self._file.append(self.log.take_unsaved(), self.log.all())
            except PiranhaError as error:
                logger.warning('events are forgotten at the next start error="%s"', error)
