"""What a command line asks for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from piranha.dataplane.port import Operation
from piranha.model.service import ServiceKey


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How to show a table. Of several columns asked for the first counts: stats, rate, thresholds, persistent, tunnels."""

    numeric: bool = False
    stats: bool = False
    rate: bool = False
    thresholds: bool = False
    persistent: bool = False
    tunnels: bool = False
    exact: bool = False
    sort: bool = True


class Subject(Enum):
    TABLE = auto()
    SERVICE = auto()
    CONNECTIONS = auto()
    TIMEOUTS = auto()
    DAEMONS = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Show:
    """List something; `key` is that of Subject.SERVICE."""

    subject: Subject = Subject.TABLE
    key: ServiceKey | None = None
    view: View = View()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    operation: Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class Save:
    numeric: bool = False


@dataclass(frozen=True, slots=True)
class Restore:
    """Carry out the lines of standard input."""


@dataclass(frozen=True, slots=True)
class Say:
    """Print a text and end, even in the middle of a restore."""

    text: str


Command = Show | Change | Save | Restore | Say
