"""The route table: the one list of what the API does. Default deny: what is not here is not there."""

from __future__ import annotations

from piranha.api.operation import Operation
from piranha.api.resources import (
    cluster,
    configuration,
    description,
    doctor,
    events,
    metrics,
    overview,
    replication,
    servers,
    statistics,
    table,
)

PREFIX = "/api/v1"

OPERATIONS: tuple[Operation, ...] = (
    *overview.OPERATIONS,
    *configuration.OPERATIONS,
    *servers.OPERATIONS,
    *events.OPERATIONS,
    *statistics.OPERATIONS,
    *metrics.OPERATIONS,
    *cluster.OPERATIONS,
    *replication.OPERATIONS,
    *table.OPERATIONS,
    *doctor.OPERATIONS,
    *description.OPERATIONS,
)
