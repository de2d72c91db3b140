"""What happened, numbered: a bounded ring with a bound on how fast each kind may fill it. A core: time comes in."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypedDict

KEPT = 5000
BURST = 300
"""Events of one kind that may come at once; after that `RATE` a second."""
RATE = 2.0
_LONGEST = 500


class EventKind(StrEnum):
    HEALTH = "health"
    ROLE = "role"
    ALARM = "alarm"
    TABLE = "table"
    CONFIGURATION = "configuration"
    OPERATOR = "operator"
    DAEMON = "daemon"


class EventSeverity(StrEnum):
    """WARNING: a person should look."""

    INFO = "info"
    WARNING = "warning"


class EventView(TypedDict):
    """One event. `number` grows by one; `at` is seconds since 1970; `subject` is what it happened to, in lvs.cf's
    names; `who` is empty where nobody did it."""

    number: int
    at: float
    kind: str
    severity: str
    subject: str
    text: str
    who: str


class EventsDocument(TypedDict):
    """`first` and `last` are the numbers that are kept; events before `first` are forgotten."""

    first: int
    last: int
    events: list[EventView]


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float
    left_out: int = 0


class EventLog:
    """The ring. `unsaved` are those that `take_unsaved` has not given out yet."""

    def __init__(self, before: Iterable[EventView] = (), *, kept: int = KEPT) -> None:
        self._events: deque[EventView] = deque(before, maxlen=kept)
        self._last = self._events[-1]["number"] if self._events else 0
        self._buckets: dict[EventKind, _Bucket] = {}
        self._unsaved: deque[EventView] = deque(maxlen=kept)

    @property
    def last(self) -> int:
        """The number of the latest event, 0 before the first."""
        return self._last

    def add(
        self,
        kind: EventKind,
        text: str,
        *,
        now: float,
        wall: float,
        severity: EventSeverity = EventSeverity.INFO,
        subject: str = "",
        who: str = "",
    ) -> None:
        """Note an event; one too many of its kind is only counted, and the count told with the next that is kept.

        `now` is monotonic, `wall` seconds since 1970.
        """
        bucket = self._buckets.setdefault(kind, _Bucket(BURST, now))
        bucket.tokens = min(BURST, bucket.tokens + RATE * (now - bucket.filled_at))
        bucket.filled_at = now
        if bucket.tokens < 1:
            bucket.left_out += 1
            return
        bucket.tokens -= 1
        if bucket.left_out:
            self._keep(kind, f"{bucket.left_out} more were too many to be kept", wall, EventSeverity.WARNING, "", "")
            bucket.left_out = 0
        self._keep(kind, text, wall, severity, subject, who)

    def document(self, after: int, limit: int, kinds: frozenset[str] = frozenset()) -> EventsDocument:
        """The first `limit` events with a number above `after`, of these kinds (none: all)."""
        first = self._events[0]["number"] if self._events else self._last + 1
        found: list[EventView] = []
        # Numbers have no gaps, so the place of one is known.
        for at in range(max(0, after - first + 1), len(self._events)):
            if len(found) == limit:
                break
            if not kinds or self._events[at]["kind"] in kinds:
                found.append(self._events[at])
        return EventsDocument(first=first, last=self._last, events=found)

    def latest(self, limit: int, kinds: frozenset[str] = frozenset()) -> EventsDocument:
        """The last `limit` events, the oldest of them first."""
        found: list[EventView] = []
        for event in reversed(self._events):
            if len(found) == limit:
                break
            if not kinds or event["kind"] in kinds:
                found.append(event)
        first = self._events[0]["number"] if self._events else self._last + 1
        return EventsDocument(first=first, last=self._last, events=found[::-1])

    def take_unsaved(self) -> Sequence[EventView]:
        """What came since the last call, the oldest first."""
        taken = list(self._unsaved)
        self._unsaved.clear()
        return taken

    def all(self) -> Sequence[EventView]:
        return list(self._events)

    def _keep(self, kind: EventKind, text: str, wall: float, severity: EventSeverity, subject: str, who: str) -> None:
        self._last += 1
        event = EventView(
            number=self._last,
            at=round(wall, 3),
            kind=kind.value,
            severity=severity.value,
            subject=subject[:_LONGEST],
            text=text[:_LONGEST],
            who=who[:_LONGEST],
        )
        self._events.append(event)
        self._unsaved.append(event)
