"""Documents about the configuration and its versions. Pure; JSON-shaped like `services.py`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypedDict

from piranha.config.comparison import Row
from piranha.config.store import Version
from piranha.director.planned import PlanView
from piranha.director.status import ProblemView, ReloadDocument


class AwaitedView(TypedDict):
    """A change that is taken back to version `back_to` unless it is confirmed within `left_s` seconds."""

    version: int
    back_to: int
    until: str
    left_s: float
    who: str


class StoredDocument(TypedDict):
    """The file on disk. `version` is None until lvsd has taken the text into force once; `values` is what it says."""

    path: str
    text: str
    digest: str
    version: int | None
    in_force: bool
    serial_no: int
    problems: list[ProblemView]
    values: object
    awaits: AwaitedView | None


class CheckDocument(TypedDict):
    """What a text would do. `plan` is None for one with errors."""

    usable: bool
    problems: list[ProblemView]
    plan: PlanView | None


class RehearsedDocument(CheckDocument):
    """What edits would do: the text that they make, and how it differs."""

    text: str
    diff: str


class ChangedDocument(ReloadDocument):
    """What a change did. `digest` is the ETag of the text that is stored now."""

    version: int
    digest: str
    comment: str
    awaits: AwaitedView | None


class VersionView(TypedDict):
    number: int
    at: str
    who: str
    comment: str


class VersionsDocument(TypedDict):
    """The latest first; that is the present text, unless the file was edited since."""

    versions: list[VersionView]
    awaits: AwaitedView | None


class VersionDocument(VersionView):
    text: str
    digest: str


class DiffRow(TypedDict):
    """`kind` is same, changed, added, removed or skipped; line numbers count from 1."""

    kind: str
    left_line: int | None
    left: str
    right_line: int | None
    right: str


class DiffDocument(TypedDict):
    before: int
    after: int
    unified: str
    rows: list[DiffRow]


def version_view(version: Version) -> VersionView:
    at = datetime.fromtimestamp(version.changed_at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return VersionView(number=version.number, at=at, who=version.who, comment=version.comment)


def diff_rows(rows: Sequence[Row]) -> list[DiffRow]:
    return [
        DiffRow(kind=row.kind.value, left_line=row.left_line, left=row.left, right_line=row.right_line, right=row.right)
        for row in rows
    ]
