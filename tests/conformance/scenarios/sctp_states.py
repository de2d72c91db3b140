"""SCTP's state table: from every state that a scenario can reach, by every chunk, as all three views see it."""

from __future__ import annotations

from typing import Any

from tests.conformance.scenarios.build import LOOK, scenario, table, talk
from tests.uml.packets import SCTP_CHUNKS
from tests.uml.scenario import Scenario, SetOption, Step

SCTP = "sctp 10.9.0.1:80"
COOKIE = ("C:INIT", "S:INIT-ACK", "C:COOKIE-ECHO")
ESTABLISHED = (*COOKIE, "S:COOKIE-ACK")
TWO_WAY: dict[str, tuple[str, ...]] = {
    "init1": ("C:INIT",),
    "init": ("C:INIT", "C:INIT"),
    "cookie-sent": ("C:INIT", "S:INIT-ACK"),
    "cookie-replied": COOKIE,
    "cookie-wait": ("C:INIT", "C:INIT-ACK"),
    "cookie": ("C:INIT", "C:INIT-ACK", "C:INIT-ACK"),
    "cookie-echoed": ("C:INIT", "C:INIT-ACK", "S:COOKIE-ECHO"),
    "established": ESTABLISHED,
    "shutdown-sent": (*ESTABLISHED, "S:SHUTDOWN"),
    "shutdown-received": (*ESTABLISHED, "C:SHUTDOWN"),
    "shutdown-ack-sent": (*ESTABLISHED, "C:SHUTDOWN", "S:SHUTDOWN-ACK"),
    "rejected": ("C:INIT", "S:ABORT"),
    "closed": ("C:INIT", "C:ABORT"),
}
ONE_WAY: dict[str, tuple[str, ...]] = {
    "init1": ("C:INIT",),
    "init": ("C:INIT", "C:INIT"),
    "cookie-echoed": ("C:INIT", "C:INIT-ACK"),
    "established": ("C:INIT", "C:COOKIE-ECHO"),
    "shutdown-received": ("C:INIT", "C:COOKIE-ECHO", "C:SHUTDOWN"),
    "closed": ("C:INIT", "C:ABORT"),
}


def sctp_table(**each: Any) -> list[Step]:
    return table("rr", {1: 1}, protocol="sctp", endpoint="10.9.0.1:80", each=each)


def every_chunk(reach: tuple[str, ...], sides: str) -> list[Step]:
    events = [f"{side}:{chunk}" for side in sides for chunk in SCTP_CHUNKS]
    return [talk(*reach, event, to=SCTP, port=1000 + n, states=True) for n, event in enumerate(events)]


SCENARIOS: tuple[Scenario, ...] = (
    *(
        scenario(f"states-sctp-{name}", f"SCTP masqueraded, from {name}", sctp_table(), every_chunk(reach, "CS"), LOOK)
        for name, reach in TWO_WAY.items()
    ),
    *(
        scenario(
            f"states-sctp-direct-{name}",
            f"SCTP in the one-way view, from {name}",
            sctp_table(method="direct"),
            every_chunk(reach, "C"),
            LOOK,
        )
        for name, reach in ONE_WAY.items()
    ),
    *(
        scenario(
            f"states-sctp-{name}none",
            "whatever is no ABORT begins an association with sloppy_sctp",
            SetOption(name="sloppy_sctp", value="1"),
            sctp_table(**each),
            every_chunk((), "C"),
            LOOK,
        )
        for name, each in (("", {}), ("direct-", {"method": "direct"}))
    ),
    scenario("states-sctp-strict", "only an INIT begins one", sctp_table(), every_chunk((), "C"), LOOK),
)
