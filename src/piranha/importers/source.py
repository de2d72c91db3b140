"""Source files: read with bounds, and entered into the ledger."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Protocol

from piranha.base.errors import PiranhaError
from piranha.config.store import read_text
from piranha.importers.ledger import Ledger, Place

MAX_FILES = 1000
MAX_TOTAL = 16 * 1024 * 1024
MAX_INCLUDE_DEPTH = 10


class SourceError(PiranhaError):
    """Reading cannot go on after this line."""

    def __init__(self, place: Place, message: str, *, mend: str = "") -> None:
        super().__init__(message, mend=mend)
        self.place = place


class Files(Protocol):
    """Where texts come from."""

    def read(self, name: str) -> str:
        """Raises PiranhaError."""
        ...

    def matching(self, pattern: str) -> list[str]:
        """The files of a shell pattern, sorted; none where nothing matches."""
        ...


class DiskFiles:
    def read(self, name: str) -> str:
        return read_text(Path(name))

    def matching(self, pattern: str) -> list[str]:
        # `Path.glob` takes no absolute pattern. What is no plain file could keep a reader waiting for ever.
        found = [name for one in braces(pattern) for name in sorted(islice(glob.iglob(one), MAX_FILES + 1))]  # noqa: PTH207
        return [name for name in dict.fromkeys(found) if Path(name).is_file()]


class FixedFiles:
    """Texts by name, for tests and for standard input."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = dict(texts)

    def read(self, name: str) -> str:
        if name not in self._texts:
            raise PiranhaError(f"cannot read {name}", mend="name a readable file")
        return self._texts[name]

    def matching(self, pattern: str) -> list[str]:
        from fnmatch import fnmatchcase

        return sorted(name for name in self._texts for one in braces(pattern) if fnmatchcase(name, one))


class Source:
    """Reads files into the ledger; bounds what one import may read, includes and all."""

    def __init__(self, files: Files, ledger: Ledger) -> None:
        self._files = files
        self._ledger = ledger
        self._read = 0
        self._total = 0
        self._open: list[str] = []

    def text(self, name: str) -> str:
        """A file named on the command line. Raises PiranhaError."""
        text = self._files.read(name)
        self._ledger.open(name, text)
        self._count(Place(name, 1), text)
        return text

    def matching(self, pattern: str) -> list[str]:
        return self._files.matching(pattern)

    def enter(self, place: Place, name: str) -> str:
        """A file that `place` includes; `leave` it afterwards. Raises SourceError."""
        if name in self._open or len(self._open) >= MAX_INCLUDE_DEPTH:
            message = f"{name} includes itself" if name in self._open else "the includes are nested too deeply"
            raise SourceError(place, message, mend="remove the include")
        try:
            text = self._files.read(name)
        except PiranhaError as error:
            raise SourceError(place, error.message, mend="give the file, or remove the include") from error
        self._ledger.open(name, text)
        self._count(place, text)
        self._open.append(name)
        return text

    def begin(self, name: str) -> None:
        """`name` is read now, and must not include itself."""
        self._open = [name]

    def leave(self) -> None:
        self._open.pop()

    def _count(self, place: Place, text: str) -> None:
        self._read += 1
        self._total += len(text)
        if self._read > MAX_FILES or self._total > MAX_TOTAL:
            raise SourceError(
                place,
                f"more than {MAX_FILES} files or {MAX_TOTAL // 1024 // 1024} MiB are included",
                mend="import the parts one by one",
            )


def braces(pattern: str, most: int = 100) -> list[str]:
    """The alternatives of csh-style braces, as `{a,b}.conf`; the pattern itself where it has none."""
    done: list[str] = []
    waiting = [pattern]
    while waiting and len(done) + len(waiting) <= most:
        text = waiting.pop()
        close = text.find("}")
        start = text.rfind("{", 0, close) if close > 0 else -1
        if start < 0 or "," not in text[start:close]:
            done.append(text)
            continue
        options = text[start + 1 : close].split(",")
        waiting.extend(text[:start] + option + text[close + 1 :] for option in reversed(options))
    return done
