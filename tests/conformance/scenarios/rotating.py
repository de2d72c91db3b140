"""rr and wrr: order, phase, and what edits do to them."""

from __future__ import annotations

from tests.conformance.scenarios.build import LOOK, add, clients, edit, remove, scenario, table, weigh
from tests.uml.scenario import AddService, Scenario, Service

SCENARIOS: tuple[Scenario, ...] = (
    scenario("rr", "newest destination first, cyclic", table("rr", {1: 1, 2: 1, 3: 1}), clients(8), LOOK),
    scenario("rr-weights", "rr heeds weight only as zero or not", table("rr", {1: 5, 2: 0, 3: 100}), clients(6), LOOK),
    scenario("rr-one", "a single destination", table("rr", {1: 1}), clients(3)),
    scenario("rr-none", "no destination at all", table("rr", {}), clients(2), LOOK),
    scenario("rr-all-quiesced", "every weight zero", table("rr", {1: 0, 2: 0}), clients(2), LOOK),
    scenario(
        "rr-edits",
        "the cursor survives adding, removing and weighing",
        table("rr", {1: 1, 2: 1, 3: 1}),
        clients(1),
        add(4),
        clients(5, first=1100),
        remove(2),
        clients(4, first=1200),
        weigh(4, 0),
        clients(3, first=1300),
        weigh(4, 1),
        clients(4, first=1400),
        add(5),
        clients(6, first=1500),
    ),
    *(
        scenario(
            f"rr-remove-{when}-{which}",
            f"destination {which} of three is removed after {when} connections",
            table("rr", {1: 1, 2: 1, 3: 1}),
            clients(when),
            remove(which),
            clients(4, first=1100),
        )
        for when in (1, 2, 3)
        for which in (1, 2, 3)
    ),
    *(
        scenario(
            f"wrr-{name}",
            f"weights {weights} in the order added",
            table("wrr", dict(enumerate(weights, 1))),
            clients(count),
        )
        for name, weights, count in (
            ("equal", (1, 1, 1), 7),
            ("5-1-1", (5, 1, 1), 15),
            ("4-3-2", (4, 3, 2), 19),
            ("2-3-4", (2, 3, 4), 19),
            ("10-20-30", (10, 20, 30), 13),
            ("6-4", (6, 4), 11),
            ("zero", (3, 0, 2), 11),
            ("all-zero", (0, 0), 2),
            ("primes", (7, 3, 5, 2), 35),
            ("far", (1, 100), 103),
            ("large", (65535, 1, 32768), 20),
            ("one", (9,), 4),
            ("hundreds", (100, 200, 300), 13),
        )
    ),
    scenario(
        "wrr-edits",
        "every edit puts the cursor back, the current weight stays in step",
        table("wrr", {1: 4, 2: 3, 3: 2}),
        clients(4),
        weigh(1, 6),
        clients(9, first=1100),
        add(4, 5),
        clients(10, first=1200),
        remove(2),
        clients(9, first=1300),
        weigh(4, 0),
        clients(9, first=1400),
        weigh(4, 10),
        clients(9, first=1500),
        LOOK,
    ),
    scenario(
        "wrr-quiesce-all",
        "all quiesced and one brought back",
        table("wrr", {1: 2, 2: 2}),
        clients(3),
        weigh(1, 0),
        weigh(2, 0),
        clients(2, first=1100),
        weigh(2, 3),
        clients(3, first=1200),
        weigh(1, 3),
        clients(5, first=1300),
    ),
    scenario(
        "scheduler-edited",
        "the scheduler of a living service is changed",
        table("rr", {1: 1, 2: 2, 3: 3}),
        clients(4),
        edit("wrr"),
        clients(8, first=1100),
        edit("rr"),
        clients(4, first=1200),
        edit("wlc"),
        clients(4, first=1300),
        LOOK,
    ),
    scenario(
        "two-services",
        "each service has a cursor of its own",
        table("rr", {1: 1, 2: 1, 3: 1}),
        AddService(service=Service(label="other", protocol="tcp", endpoint="10.9.0.1:443", scheduler="rr")),
        *(add(number, label="other", port=443) for number in (1, 2, 3)),
        clients(2),
        clients(1, to="tcp 10.9.0.1:443"),
        clients(2, first=1100),
        clients(3, to="tcp 10.9.0.1:443", first=1100),
        LOOK,
    ),
)
