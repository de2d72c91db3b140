"""Every case of the bench, by name, in the order they run: neighbours that want the same world stand together.

A case is a function that yields rows; it raises Unverified when the programs did not do what was to be measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bench.bench import Bench
from bench.cases import (
    agreement,
    checks,
    control,
    established,
    floor,
    ipvsadm,
    listing,
    memory,
    new_connection,
    schedulers,
    services,
    sync,
)
from bench.report import Row

Case = Callable[[Bench], Iterator[Row]]

CASES: dict[str, Case] = {
    "agreement": agreement.run,
    "floor": floor.run,
    "established": established.run,
    "memory": memory.run,
    "new": new_connection.run,
    "schedulers": schedulers.run,
    "services": services.run,
    "listing": listing.run,
    "sync": sync.run,
    "control": control.run,
    "ipvsadm": ipvsadm.run,
    "checks": checks.run,
}
