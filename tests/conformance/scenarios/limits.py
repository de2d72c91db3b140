"""Upper and lower thresholds, with every scheduler that must pass over a full server; ovf's own limit."""

from __future__ import annotations

from tests.conformance.scenarios.build import (
    LOOK,
    UDP,
    add,
    clients,
    finish,
    many_clients,
    scenario,
    service,
    table,
    talk,
    weigh,
)
from tests.uml.scenario import AddDestination, AddService, Await, Destination, Scenario, SetTimeouts, Step

SCHEDULERS = ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh")


def limited(scheduler: str, limits: dict[int, tuple[int, int]], **more: object) -> list[Step]:
    steps: list[Step] = [AddService(service=service(scheduler, **more))]
    for number, (upper, lower) in limits.items():
        server = Destination(endpoint=f"10.2.0.{number}:80", weight=10, upper=upper, lower=lower)
        steps.append(AddDestination(label="web", destination=server))
    return steps


DNS = {"protocol": "udp", "endpoint": "10.9.0.1:53"}
WEIGHTS = {1: 4, 2: 3, 3: 2}


def all_full(scheduler: str, uppers: tuple[int, ...]) -> list[Step]:
    """Datagrams until every server is full, two more that are refused, and the turn once all have room again."""
    steps: list[Step] = [SetTimeouts(udp_s=1), AddService(service=service(scheduler, **DNS))]
    steps += [add(number, WEIGHTS[number], port=53, upper=upper) for number, upper in enumerate(uppers, 1)]
    return [
        *steps,
        clients(sum(uppers), to=UDP),
        clients(2, first=1100, to=UDP),
        Await(client="10.1.0.1", port=999 + sum(uppers), within_s=8),
        clients(min(uppers) * 3, first=1200, to=UDP),
        LOOK,
    ]


SCENARIOS: tuple[Scenario, ...] = (
    *(
        scenario(
            f"{name}-all-full-{'-'.join(map(str, uppers))}",
            "where the turn is after everybody was full",
            all_full(name, uppers),
        )
        for name in ("rr", "wrr")
        for uppers in ((1, 1, 1), (2, 1, 1), (1, 2, 1), (2, 3, 2), (4, 3, 2), (5, 4, 2))
    ),
    *(
        scenario(
            f"upper-{name}",
            "full servers take no more; all full is refused",
            limited(name, {1: (2, 0), 2: (3, 0), 3: (4, 0)}),
            many_clients(14),
            LOOK,
        )
        for name in SCHEDULERS
    ),
    scenario(
        "upper-counts-closed",
        "a closed connection holds its place",
        limited("rr", {1: (2, 0)}),
        clients(2, establish=True, close=True),
        clients(1, first=1100),
        LOOK,
    ),
    scenario(
        "lower",
        "a server that was full returns below its lower threshold",
        SetTimeouts(tcp_fin_s=1),
        limited("rr", {1: (4, 2), 2: (0, 0)}),
        clients(10, establish=True),
        LOOK,
        talk("S:FIN+ACK", port=1001),
        Await(client="10.1.0.1", port=1001, within_s=8),
        LOOK,
        clients(3, first=1100),
        talk("S:FIN+ACK", port=1003),
        Await(client="10.1.0.1", port=1003, within_s=8),
        clients(3, first=1200),
        talk("S:FIN+ACK", port=1005),
        Await(client="10.1.0.1", port=1005, within_s=8),
        clients(4, first=1300),
        LOOK,
    ),
    scenario(
        "lower-default",
        "without a lower threshold it returns below three quarters",
        SetTimeouts(tcp_fin_s=1),
        limited("rr", {1: (4, 0)}),
        clients(5, establish=True),
        talk("S:FIN+ACK", port=1000),
        Await(client="10.1.0.1", port=1000, within_s=8),
        clients(1, first=1100),
        talk("S:FIN+ACK", port=1001),
        Await(client="10.1.0.1", port=1001, within_s=8),
        clients(4, first=1200),
        LOOK,
    ),
    scenario(
        "threshold-edited",
        "thresholds raised, lowered and taken away from a living server",
        limited("rr", {1: (2, 0), 2: (0, 0)}),
        clients(6),
        weigh(1, 10, upper=4),
        clients(6, first=1100),
        weigh(1, 10, upper=2),
        clients(3, first=1200),
        weigh(1, 10),
        clients(4, first=1300),
        LOOK,
    ),
    scenario("threshold-refused", "a lower threshold above the upper", limited("rr", {1: (2, 5), 2: (5, 5)}), LOOK),
    scenario(
        "threshold-persistent",
        "a template to a full server",
        limited("rr", {1: (2, 0), 2: (0, 0)}, persistent_s=60),
        clients(4),
        many_clients(4, client="10.1.1.1"),
        LOOK,
    ),
    scenario("ovf-overflow", "a server of weight w takes w + 1", table("ovf", {1: 1, 2: 3, 3: 2}), clients(10), LOOK),
    scenario(
        "ovf-closes",
        "closed connections make room",
        table("ovf", {1: 1, 2: 2}),
        clients(5, establish=True),
        clients(1, first=1100),
        finish(1001),
        finish(1003),
        clients(3, first=1200),
        LOOK,
    ),
)
