"""The TCP state tables: from every state that a scenario can reach, by every event, as both views see it."""

from __future__ import annotations

from tests.conformance.scenarios.build import LOOK, scenario, table, talk
from tests.uml.scenario import Scenario, SetOption, Step

ESTABLISH = ("C:SYN", "S:SYN+ACK", "C:ACK")
TWO_WAY: dict[str, tuple[str, ...]] = {
    "syn-recv": ("C:SYN",),
    "established": ESTABLISH,
    "fin-wait": (*ESTABLISH, "S:FIN+ACK"),
    "close-wait": (*ESTABLISH, "C:FIN+ACK"),
    "time-wait": (*ESTABLISH, "C:FIN+ACK", "S:FIN+ACK"),
    "close": (*ESTABLISH, "C:RST"),
    "syn-sent": (*ESTABLISH, "C:FIN+ACK", "S:FIN+ACK", "S:SYN"),
}
ONE_WAY: dict[str, tuple[str, ...]] = {
    "syn-recv": ("C:SYN",),
    "established": ("C:SYN", "C:ACK"),
    "fin-wait": ("C:SYN", "C:ACK", "C:FIN+ACK"),
    "time-wait": ("C:SYN", "C:FIN"),
    "close": ("C:SYN", "C:ACK", "C:RST"),
}
SECURE_TWO_WAY = {**TWO_WAY, "synack": ("C:SYN", "S:SYN")}
SECURE_ONE_WAY = {**{name: reach for name, reach in ONE_WAY.items() if name != "syn-recv"}, "synack": ("C:SYN",)}
WORDS = ("SYN", "FIN", "ACK", "RST", "SYN+ACK", "FIN+ACK", "RST+ACK", "SYN+FIN", "PSH", "SYN+FIN+RST+ACK")


def every_event(reach: tuple[str, ...], sides: str) -> list[Step]:
    events = [f"{side}:{word}" for side in sides for word in WORDS]
    return [talk(*reach, event, "C:ACK", port=1000 + n, states=True) for n, event in enumerate(events)]


SCENARIOS: tuple[Scenario, ...] = (
    *(
        scenario(f"states-{name}", f"masqueraded, from {name}", table("rr", {1: 1}), every_event(reach, "CS"), LOOK)
        for name, reach in TWO_WAY.items()
    ),
    *(
        scenario(
            f"states-direct-{name}",
            f"the one-way view, from {name}",
            table("rr", {1: 1}, each={"method": "direct"}),
            every_event(reach, "C"),
            LOOK,
        )
        for name, reach in ONE_WAY.items()
    ),
    *(
        scenario(
            f"states-secure-{name}",
            f"secure_tcp, from {name}",
            SetOption(name="secure_tcp", value="3"),
            table("rr", {1: 1}),
            every_event(reach, "CS"),
            LOOK,
        )
        for name, reach in SECURE_TWO_WAY.items()
    ),
    *(
        scenario(
            f"states-secure-direct-{name}",
            f"secure_tcp in the one-way view, from {name}",
            SetOption(name="secure_tcp", value="3"),
            table("rr", {1: 1}, each={"method": "direct"}),
            every_event(reach, "C"),
            LOOK,
        )
        for name, reach in SECURE_ONE_WAY.items()
    ),
)
