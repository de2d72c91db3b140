"""Events on disk: one JSON document a line, appended, and written anew when the file has grown to twice its size."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

from piranha.base.atomic import replace_file
from piranha.base.errors import PiranhaError
from piranha.director.events import KEPT, EventView

_MODE = 0o640
_MAX_BYTES = 32 << 20
_FIELDS = EventView.__annotations__


class EventFile:
    """The events of one director. Only one process writes it."""

    def __init__(self, path: Path, *, kept: int = KEPT) -> None:
        self._path = path
        self._kept = kept
        self._lines = 0
        self._writing = threading.Lock()

    def load(self) -> list[EventView]:
        """What is there; lines that are none (a power cut) are left out, a file that cannot be read is empty."""
        try:
            with self._path.open("rb") as file:
                lines = file.read(_MAX_BYTES).split(b"\n")
        except OSError:
            return []
        self._lines = len(lines)
        events: list[EventView] = []
        for line in lines[-self._kept - 1 :]:
            event = _event(line)
            # Without gaps: the ring finds an event by its number.
            if event is not None:
                if events and event["number"] != events[-1]["number"] + 1:
                    events.clear()
                events.append(event)
        return events

    def append(self, events: Iterable[EventView], present: Sequence[EventView]) -> None:
        """Add events; `present` are all, for a file that is written anew. Raises PiranhaError when the disk refuses."""
        fresh = list(events)
        with self._writing:
            self._append(fresh, present)

    def _append(self, fresh: list[EventView], present: Sequence[EventView]) -> None:
        if not fresh:
            return
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._lines + len(fresh) > 2 * self._kept:
                replace_file(self._path, _text(present), new_mode=_MODE)
                self._lines = len(present)
                return
            with self._path.open("ab") as file:
                # After a write that broke off, the next begins on a line of its own; empty lines mean nothing.
                file.write(b"\n" * (self._lines > 0 and not self._ends_well()) + _text(fresh))
            self._lines += len(fresh)
        except OSError as error:
            raise PiranhaError(f"cannot write {self._path} ({error.strerror or error})") from error

    def _ends_well(self) -> bool:
        with self._path.open("rb") as file:
            if file.seek(0, 2) == 0:
                return True
            file.seek(-1, 2)
            return file.read(1) == b"\n"


def _text(events: Iterable[EventView]) -> bytes:
    return b"".join(json.dumps(event, separators=(",", ":")).encode() + b"\n" for event in events)


def _event(line: bytes) -> EventView | None:
    try:
        document = json.loads(line)
    except ValueError:
        return None
    if not isinstance(document, dict) or document.keys() != _FIELDS.keys():
        return None
    if not isinstance(document["number"], int) or not isinstance(document["at"], int | float):
        return None
    return cast(EventView, document)
