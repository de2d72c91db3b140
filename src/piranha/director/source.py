"""The configuration file as the director reads it: judged, and remembered so that an edit on disk is seen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from piranha.base.errors import PiranhaError
from piranha.config.parser import Parsed
from piranha.config.places import Places
from piranha.config.problem import Problem
from piranha.config.semantics import check_text
from piranha.config.store import digest_of, read_text
from piranha.model.configuration import Configuration


class ConfigurationError(PiranhaError):
    """A file with errors. `parsed` has all of them and the warnings, `text` is what they point into."""

    def __init__(self, path: Path, parsed: Parsed, text: str) -> None:
        count = len(parsed.errors)
        errors = "1 error" if count == 1 else f"{count} errors"
        super().__init__(f"{path} has {errors} and is not used", mend=f"see `piranha config check {path}`")
        self.parsed = parsed
        self.text = text

    @property
    def problems(self) -> tuple[Problem, ...]:
        return self.parsed.problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A usable file as it was read. `problems` are warnings only; `mark` changes whenever the file is written."""

    path: Path
    text: str
    configuration: Configuration
    places: Places
    problems: tuple[Problem, ...]
    mark: tuple[int, int, int]
    digest: str


def read_configuration(path: Path) -> Reading:
    """Read and judge the file. May block on host names in it.

    Raises `ConfigurationError` with every problem, PiranhaError when the file cannot be read.
    """
    # The mark is older than the text: an edit between the two is seen as a change, never missed.
    mark = _mark(path)
    text = read_text(path)
    parsed = check_text(text, file=str(path))
    if not parsed.is_usable:
        raise ConfigurationError(path, parsed, text)
    return Reading(
        path=path,
        text=text,
        configuration=parsed.configuration,
        places=parsed.places,
        problems=parsed.problems,
        mark=mark,
        digest=digest_of(text),
    )


def changed_on_disk(reading: Reading) -> bool:
    """Whether the file says something else now, or is gone. Reads it only when its size or times differ."""
    if _mark(reading.path) == reading.mark:
        return False
    try:
        return digest_of(read_text(reading.path)) != reading.digest
    except PiranhaError:
        return True


def _mark(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0, 0
    return status.st_ino, status.st_size, status.st_mtime_ns
