"""Who did what, from where, with what result: lines that each carry the digest of the one before.

A line that was changed or taken out breaks the chain. Each digest also goes to the log of the daemon, so that a chain that
was cut at its end, or written anew as a whole, is found by comparing the two.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from piranha.gui.folder import Folder

FILE, OLDER = "audit.log", "audit.log.1"
MOST_BYTES = 16 << 20
_LONGEST = 500

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line. `at` is RFC 3339; `source` the address it came from."""

    number: int
    at: str
    who: str
    role: str
    source: str
    act: str
    result: str
    detail: str
    before: str
    digest: str


class AuditLog:
    """The chain in a file; it goes on in a new one when it is long, and the former is kept."""

    def __init__(self, folder: Folder, *, wall: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._wall = wall
        self._number, self._digest, self._bytes = 0, "", 0
        content = folder.read(FILE) or b""
        self._bytes = len(content)
        last = (
            content.rstrip(b"\n").rpartition(b"\n")[2] or (folder.read(OLDER) or b"").rstrip(b"\n").rpartition(b"\n")[2]
        )
        if last:
            entry = _entry(last)
            if entry is None:
                logger.error('the audit log ends in the middle of a line file="%s"', folder.path / FILE)
                folder.append(FILE, b"\n")
                entry = next((e for e in map(_entry, reversed(content.splitlines())) if e is not None), None)
            if entry is not None:
                self._number, self._digest = entry.number, entry.digest

    def write(self, *, who: str, role: str, source: str, act: str, result: str, detail: str = "") -> None:
        """Append one line, on the disk before this returns. Raises PiranhaError: what cannot be recorded is not done."""
        at = datetime.fromtimestamp(self._wall(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        row: dict[str, Any] = {
            "number": self._number + 1,
            "at": at,
            "who": who[:_LONGEST],
            "role": role,
            "source": source,
            "act": act[:_LONGEST],
            "result": result[:_LONGEST],
            "detail": detail[:_LONGEST],
            "before": self._digest,
        }
        row["digest"] = _digest(row)
        line = json.dumps(row, ensure_ascii=True).encode() + b"\n"
        if self._bytes + len(line) > MOST_BYTES:
            self._folder.rename(FILE, OLDER)
            self._bytes = 0
        self._folder.append(FILE, line)
        self._bytes += len(line)
        self._number, self._digest = row["number"], row["digest"]
        logger.info(
            'audit number=%d who="%s" act="%s" result="%s" digest=%s', row["number"], who, act, result, row["digest"]
        )

    def entries(self) -> list[Entry]:
        """All that is kept, the oldest first; lines that are none are left out."""
        content = (self._folder.read(OLDER) or b"") + (self._folder.read(FILE) or b"")
        return [entry for entry in map(_entry, content.splitlines()) if entry is not None]

    def breaks(self) -> list[int]:
        """The numbers of the lines at which the chain is broken; none where all is well."""
        return breaks_of(self.entries())


def breaks_of(entries: Iterable[Entry]) -> list[int]:
    found: list[int] = []
    before: Entry | None = None
    for entry in entries:
        row = {name: getattr(entry, name) for name in Entry.__dataclass_fields__ if name != "digest"}
        linked = before is None or (entry.before == before.digest and entry.number == before.number + 1)
        if not linked or _digest(row) != entry.digest:
            found.append(entry.number)
        before = entry
    return found


def _digest(row: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(row, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def _entry(line: bytes) -> Entry | None:
    try:
        row = json.loads(line)
        return Entry(**{name: row[name] for name in Entry.__dataclass_fields__})
    except (ValueError, KeyError, TypeError):
        return None
