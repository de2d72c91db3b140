"""The defences that a table under pressure puts up, switched on by hand: drop_packet (secure_tcp is among the states)."""

from __future__ import annotations

from tests.conformance.scenarios.build import LOOK, TCP, UDP, add, clients, scenario, service, table, talk
from tests.uml.scenario import AddService, Open, Scenario, SetOption

DNS = {"protocol": "udp", "endpoint": "10.9.0.1:53"}
EVERY_FOURTH = [SetOption(name="am_droprate", value="4"), SetOption(name="drop_packet", value="3")]

SCENARIOS: tuple[Scenario, ...] = (
    scenario(
        "drop-packet",
        "the first packet of a new connection is dropped, and then every fourth; established ones go on",
        table("rr", {1: 1, 2: 1}),
        clients(1, establish=True),
        EVERY_FOURTH,
        clients(10, first=1100),
        talk("C:ACK", "C:ACK", "C:ACK", "C:ACK", "C:ACK"),
        SetOption(name="drop_packet", value="0"),
        clients(5, first=1200),
        LOOK,
    ),
    scenario(
        "drop-packet-default",
        "am_droprate is 10 unless it is set",
        SetOption(name="drop_packet", value="3"),
        table("rr", {1: 1, 2: 1}),
        clients(22),
        LOOK,
    ),
    scenario(
        "drop-packet-others",
        "datagrams count too; what no service or no connection may have does not",
        table("rr", {1: 1, 2: 1}),
        AddService(service=service("rr", label="dns", **DNS)),
        *(add(number, label="dns", port=53) for number in (1, 2)),
        EVERY_FOURTH,
        clients(6, to=UDP),
        talk("C:ACK", "C:ACK", "C:ACK", port=2000),
        Open(to="tcp 10.9.0.1:81", count=3),
        clients(6, to=TCP, first=1100),
        LOOK,
    ),
    scenario(
        "drop-packet-waiting",
        "automatic, while there is room: nothing is dropped",
        *(SetOption(name=name, value="1") for name in ("drop_packet", "drop_entry", "secure_tcp")),
        SetOption(name="amemthresh", value="1"),
        table("rr", {1: 1, 2: 1}),
        clients(12),
        talk("C:ACK", "S:ACK", states=True),
        LOOK,
    ),
)
