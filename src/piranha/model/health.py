"""Health of a real server, as the nanny sees it."""

from __future__ import annotations

from enum import StrEnum


class Health(StrEnum):
    """UNKNOWN means never checked: such a server is not in the pool."""

    UP = "up"
    DOWN = "down"
    UNKNOWN = "unknown"
