"""A SYN on an old connection: conn_reuse_mode; connections without a SYN: sloppy_tcp; strays."""

from __future__ import annotations

from tests.conformance.scenarios.build import LOOK, clients, scenario, table, talk, weigh
from tests.uml.scenario import Scenario, SetOption, Step

TWO = {1: 1, 2: 1}
ENDINGS = {
    "closed": ("C:FIN+ACK", "S:FIN+ACK", "C:ACK"),
    "reset": ("C:RST",),
    "half-closed": ("S:FIN+ACK",),
    "client-closed": ("C:FIN+ACK",),
    "alive": ("C:ACK",),
}


def reused(mode: str, ending: str, *, quiesce: bool = False) -> list[Step]:
    steps: list[Step] = [SetOption(name="conn_reuse_mode", value=mode), *table("rr", TWO)]
    steps += [clients(1, establish=True), talk(*ENDINGS[ending], states=True)]
    steps += [weigh(2, 0)] if quiesce else []
    return [*steps, talk("C:SYN", states=True), LOOK]


def reused_direct(mode: str, *packets: str) -> list[Step]:
    steps: list[Step] = [SetOption(name="conn_reuse_mode", value=mode), *table("rr", TWO, each={"method": "direct"})]
    return [*steps, clients(1, establish=True), talk(*packets, states=True), talk("C:SYN", states=True), LOOK]


SCENARIOS: tuple[Scenario, ...] = (
    *(
        scenario(f"reuse-{mode}-{ending}", f"conn_reuse_mode {mode}, old connection {ending}", reused(mode, ending))
        for mode in ("0", "1", "2", "3")
        for ending in ENDINGS
    ),
    *(
        scenario(
            f"reuse-{mode}-{ending}-quiesced",
            f"conn_reuse_mode {mode}, old connection {ending}, its server quiesced",
            reused(mode, ending, quiesce=True),
        )
        for mode in ("0", "1")
        for ending in ("closed", "alive")
    ),
    *(
        scenario(
            f"reuse-{mode}-direct-fin",
            f"conn_reuse_mode {mode}, one-way view in fin-wait",
            reused_direct(mode, "C:FIN+ACK"),
        )
        for mode in ("0", "1", "2", "3")
    ),
    scenario("reuse-1-direct-reset", "one-way view, reset", reused_direct("1", "C:RST")),
    scenario(
        "reuse-udp",
        "datagrams of one flow stay",
        table("rr", TWO, protocol="udp", endpoint="10.9.0.1:53", each={"port": 53}),
        talk("C:", "C:", "S:", "C:", to="udp 10.9.0.1:53", states=True),
        talk("C:", port=1001, to="udp 10.9.0.1:53"),
        weigh(1, 0, port=53),
        weigh(2, 0, port=53),
        talk("C:", to="udp 10.9.0.1:53"),
        talk("C:", port=1002, to="udp 10.9.0.1:53"),
    ),
    scenario(
        "strays",
        "segments without a connection go to the local stack",
        table("rr", TWO),
        *(
            talk(f"C:{word}", port=1000 + n, states=True)
            for n, word in enumerate(("ACK", "RST", "FIN+ACK", "SYN+ACK", "FIN"))
        ),
        LOOK,
    ),
    scenario(
        "sloppy-tcp",
        "sloppy_tcp: any segment but a reset begins a connection",
        SetOption(name="sloppy_tcp", value="1"),
        table("rr", TWO),
        *(
            talk(f"C:{word}", port=1000 + n, states=True)
            for n, word in enumerate(("ACK", "RST", "FIN+ACK", "SYN+ACK", "PSH+ACK", "SYN+RST"))
        ),
        LOOK,
    ),
    scenario("syn-rst", "a segment with SYN and RST begins nothing", table("rr", TWO), talk("C:SYN+RST", states=True)),
    scenario(
        "port-20", "a client's port 20 is never scheduled", table("rr", TWO), clients(1, first=20), clients(1, first=21)
    ),
)
