"""lblc and lblcr: which server a destination address keeps, and when it moves. A mark covers many addresses."""

from __future__ import annotations

from tests.conformance.scenarios.build import LOOK, add, clients, remove, scenario, table, weigh
from tests.uml.scenario import Open, Scenario, SetMark, Step

MARKED = {"mark": 9}


def marked(scheduler: str, weights: dict[int, int]) -> list[Step]:
    return [*table(scheduler, weights, each={"port": 0}, **MARKED), SetMark(mark=9, address="10.9.0.0/16")]


def to_address(last: int, *, count: int = 1, first: int = 1000) -> Step:
    return Open(to=f"tcp 10.9.1.{last}:80", count=count, port=first)


SCENARIOS: tuple[Scenario, ...] = tuple(
    item
    for name in ("lblc", "lblcr")
    for item in (
        scenario(
            f"{name}-keeps",
            "an address keeps its server",
            marked(name, {1: 1, 2: 1, 3: 1}),
            *(to_address(last, count=2, first=1000 + 10 * last) for last in (1, 2, 3, 4, 1, 2)),
            LOOK,
        ),
        scenario(
            f"{name}-overloaded",
            "more active connections than the weight, with another half idle",
            marked(name, {1: 2, 2: 4, 3: 4}),
            *(to_address(1, count=4, first=1000 + 10 * round_) for round_ in range(6)),
            to_address(2, count=6, first=2000),
            LOOK,
        ),
        scenario(
            f"{name}-quiesced",
            "the kept server is quiesced, then comes back",
            marked(name, {1: 100, 2: 100}),
            to_address(1, count=3),
            weigh(2, 0, port=0),
            to_address(1, count=3, first=1100),
            weigh(2, 100, port=0),
            to_address(1, count=3, first=1200),
            weigh(1, 0, port=0),
            weigh(2, 0, port=0),
            to_address(1, first=1300),
        ),
        scenario(
            f"{name}-removed",
            "the kept server is removed, another added",
            marked(name, {1: 100, 2: 100}),
            to_address(1, count=2),
            remove(2, port=0),
            to_address(1, count=2, first=1100),
            add(3, 100, port=0),
            to_address(1, count=2, first=1200),
            to_address(2, count=2, first=1300),
            add(2, 100, port=0),
            to_address(1, count=2, first=1400),
        ),
        scenario(f"{name}-one-address", "an ordinary service", table(name, {1: 3, 2: 3, 3: 3}), clients(20), LOOK),
    )
)
