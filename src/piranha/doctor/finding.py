"""One result of the examination: what was found, what it means, and how to mend it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A kernel setting that `--fix` may write; `key` is a path below /proc/sys."""

    key: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`meaning` and `mend` are empty where all is well; `fix` is empty where a person has to act."""

    subject: str
    verdict: Verdict
    found: str
    meaning: str = ""
    mend: str = ""
    fix: tuple[Setting, ...] = ()
