"""lc, wlc, sed, nq: counts, ties, and the moment when an inactive connection weighs."""

from __future__ import annotations

from typing import Any

from tests.conformance.scenarios.build import LOOK, add, clients, remove, scenario, table, talk, weigh
from tests.uml.scenario import Scenario, Step

ESTABLISHED: dict[str, Any] = {"establish": True}
CLOSED: dict[str, Any] = {"establish": True, "close": True}


def mixture(scheduler: str) -> list[Step]:
    """Opened, established, closed and reset connections, with edits between them."""
    return [
        *table(scheduler, {1: 1, 2: 2, 3: 3}),
        clients(7),
        clients(6, first=1100, **ESTABLISHED),
        clients(6, first=1200, **CLOSED),
        LOOK,
        clients(5, first=1300),
        *(talk("C:RST", port=port) for port in range(1000, 1007)),
        LOOK,
        clients(9, first=1400),
        weigh(1, 10),
        clients(8, first=1500),
        weigh(3, 0),
        clients(5, first=1600),
        add(4, 4),
        clients(9, first=1700),
        remove(4),
        clients(4, first=1800),
        LOOK,
    ]


NAMES = ("lc", "wlc", "sed", "nq", "fo", "ovf")

SCENARIOS: tuple[Scenario, ...] = (
    *(
        scenario(
            f"{name}-equal", "equal weights, ties to the newest", table(name, {1: 1, 2: 1, 3: 1}), clients(10), LOOK
        )
        for name in NAMES
    ),
    *(
        scenario(f"{name}-weights", "unequal weights", table(name, {1: 1, 2: 2, 3: 4, 4: 8}), clients(31), LOOK)
        for name in NAMES
    ),
    *(
        scenario(
            f"{name}-heavy-oldest", "the heaviest was added first", table(name, {1: 9, 2: 3, 3: 1}), clients(26), LOOK
        )
        for name in NAMES
    ),
    *(scenario(f"{name}-mixture", "connections of every kind, and edits", mixture(name)) for name in NAMES),
    *(
        scenario(f"{name}-zero", "a quiesced one among them", table(name, {1: 2, 2: 0, 3: 1}), clients(9))
        for name in NAMES
    ),
    *(scenario(f"{name}-all-zero", "all quiesced", table(name, {1: 0, 2: 0}), clients(2)) for name in NAMES),
    *(
        scenario(
            f"{name}-large",
            "weights as large as ipvsadm lets them",
            table(name, {1: 65535, 2: 1, 3: 65534}),
            clients(12),
        )
        for name in NAMES
    ),
    *(
        scenario(
            f"{name}-256-inactive",
            "one active against 256 inactive connections: equal, or not",
            table(name, {1: 1, 2: 0}),
            clients(256, first=2000, **CLOSED),
            weigh(1, 0),
            weigh(2, 1),
            clients(1, first=3000),
            weigh(1, 1),
            LOOK,
            clients(1, first=3001),
            clients(1, first=3002),
            LOOK,
        )
        for name in ("lc", "wlc")
    ),
    *(
        scenario(
            f"{name}-256-inactive-newest",
            "the same with the other one newest",
            table(name, {2: 0, 1: 1}),
            clients(256, first=2000, **CLOSED),
            weigh(1, 0),
            weigh(2, 1),
            clients(1, first=3000),
            weigh(1, 1),
            clients(1, first=3001),
            clients(1, first=3002),
            LOOK,
        )
        for name in ("lc", "wlc")
    ),
    *(
        scenario(
            f"{name}-{word}-than-two-active",
            f"two active connections against {closed} closed ones: they weigh 256 each, not 257",
            table(name, {1: 1, 2: 0}),
            clients(closed, first=2000, **CLOSED),
            weigh(1, 0),
            weigh(2, 1),
            clients(2, first=3000, establish=True),
            weigh(1, 1),
            clients(1, first=3010),
            LOOK,
        )
        for name in ("lc", "wlc")
        for word, closed in (("less", 511), ("more", 513))
    ),
    *(
        scenario(
            f"{name}-udp",
            "datagrams are never active",
            table(name, {1: 1, 2: 2, 3: 3}, protocol="udp", endpoint="10.9.0.1:53", each={"port": 53}),
            clients(14, to="udp 10.9.0.1:53"),
            LOOK,
        )
        for name in NAMES
    ),
)
