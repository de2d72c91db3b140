"""The table of a running lvsd, which alone may write to its data plane: asked over the API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from piranha.base.errors import PiranhaError
from piranha.client.http import Client
from piranha.dataplane.port import Connection, Operation, SyncDaemon
from piranha.dataplane.wire import (
    connections_from_json,
    daemon_from_json,
    operation_to_json,
    outcome_from_json,
    table_from_json,
    timeouts_from_json,
)
from piranha.model.service import ServiceStatus, Timeouts

AT_ONCE = 1000
"""Operations in one request: while lvsd carries them out nothing else moves in it."""


class LvsdTable:
    """Keeps the contract of `Table`. Raises UnreachableError where lvsd does not answer."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._state: dict[str, Any] = client.get("table/state")

    @property
    def plane(self) -> str:
        """Which data plane lvsd works on."""
        return str(self._state["plane"])

    @property
    def size(self) -> int:
        return int(self._state["size"])

    def snapshot(self) -> Sequence[ServiceStatus]:
        return table_from_json(self._client.get("table")["services"])

    def connections(self) -> Sequence[Connection]:
        return connections_from_json(self._client.get("table/connections")["connections"])

    def timeouts(self) -> Timeouts:
        return timeouts_from_json(self._fresh_state()["timeouts"])

    def daemons(self) -> Sequence[SyncDaemon]:
        return [daemon_from_json(item) for item in self._fresh_state()["daemons"]]

    def apply(self, operations: Sequence[Operation]) -> Sequence[PiranhaError | None]:
        outcomes: list[PiranhaError | None] = []
        for start in range(0, len(operations), AT_ONCE):
            document = [operation_to_json(operation) for operation in operations[start : start + AT_ONCE]]
            answer = self._client.post("table", document)
            outcomes += [outcome_from_json(item) for item in answer["outcomes"]]
        return outcomes

    def _fresh_state(self) -> dict[str, Any]:
        """Lines of a restore may have changed it since."""
        self._state = self._client.get("table/state")
        return self._state
