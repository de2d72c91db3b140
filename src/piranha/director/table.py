"""The documents about the bare table, which programs read that speak IPVS; people read `services.py`."""

from __future__ import annotations

from typing import Any, TypedDict


class TableDocument(TypedDict):
    """Services with destinations as `dataplane/wire.py` writes them."""

    services: list[dict[str, Any]]


class TableStateDocument(TypedDict):
    """`size` is how many connections the plane has room for; timeouts are those of TCP, TCP after FIN, and UDP."""

    plane: str
    size: int
    timeouts: list[float]
    daemons: list[dict[str, Any]]


class TableConnectionsDocument(TypedDict):
    """`total` entries there are, `connections` are rows of the first."""

    total: int
    connections: list[list[Any]]


class AppliedDocument(TypedDict):
    """For each operation None, or why it was refused."""

    outcomes: list[dict[str, Any] | None]
