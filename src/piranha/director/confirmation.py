"""The change that waits to be confirmed: kept on disk, so that a restart of lvsd does not make it final."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from piranha.base.atomic import replace_file
from piranha.base.errors import PiranhaError

LEAST_S, MOST_S = 5, 3600
_MODE = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited:
    """`back_to` is the version to return to when nobody confirms before `deadline` (seconds since 1970); `digest` that of
    the text that waits, `version` its number."""

    version: int
    back_to: int
    digest: str
    deadline: float
    who: str

    def left_s(self, wall: float) -> float:
        """Seconds until the deadline. A clock that was set back does not prolong it."""
        return min(max(0.0, self.deadline - wall), MOST_S)


class ConfirmationFile:
    """Where it is kept; `read` gives None when nothing waits."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Awaited | None:
        try:
            document = json.loads(self._path.read_bytes())
            return Awaited(
                version=int(document["version"]),
                back_to=int(document["back_to"]),
                digest=str(document["digest"]),
                deadline=float(document["deadline"]),
                who=str(document["who"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, awaited: Awaited) -> None:
        """Raises PiranhaError when the disk refuses."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(self._path, json.dumps(asdict(awaited)).encode(), new_mode=_MODE)
        except OSError as error:
            raise PiranhaError(f"cannot write {self._path} ({error.strerror or error})") from error

    def clear(self) -> None:
        self._path.unlink(missing_ok=True)
