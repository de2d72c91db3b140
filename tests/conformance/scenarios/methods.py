"""Forwarding methods: masquerade with other ports, direct, every tunnel, local node, mixed families, time to live."""

from __future__ import annotations

from typing import Any

from tests.conformance.scenarios.build import LOOK, LOOK_ALL, add, clients, finish, scenario, table, talk, weigh
from tests.uml.scenario import AddDestination, AddService, Destination, Look, Open, Scenario, Service

TUNNELS = (("ipip", 0, "nocsum"), ("gue", 6080, "nocsum"), ("gue", 6080, "csum"), ("gue", 6080, "remcsum"),
           ("gre", 0, "nocsum"), ("gre", 0, "csum"))  # fmt: skip


def add_six(number: int, **more: Any) -> AddDestination:
    return AddDestination(label="web", destination=Destination(endpoint=f"[fd02::{number}]:80", **more))


SCENARIOS: tuple[Scenario, ...] = (
    scenario("masquerade", "both ways, with the port changed", table("rr", {1: 1, 2: 1}, each={"port": 8080}),
             talk("C:SYN", "S:SYN+ACK", "C:ACK", "C:PSH+ACK", "S:PSH+ACK", states=True, payload="some words"), finish(1000),
             LOOK_ALL, Look(counters=True)),
    scenario("direct", "the packet as it came", table("rr", {1: 1, 2: 1}, each={"method": "direct"}),
             clients(3, establish=True, close=True), LOOK_ALL, Look(counters=True)),
    scenario("direct-other-port", "direct with another port is taken, and cannot work",
             table("rr", {1: 1}, each={"method": "direct", "port": 8080}), clients(2), LOOK_ALL),
    *(
        scenario(f"tunnel-{kind}-{option}", f"{kind} with {option}",
                 table("rr", {1: 1, 2: 1}, each={"method": "tunnel", "tunnel": kind, "tunnel_port": port, "tunnel_option": option}),
                 clients(3, establish=True), talk("C:PSH+ACK", payload="some words"), LOOK_ALL, Look(counters=kind == "gue" and option == "nocsum"))
        for kind, port, option in TUNNELS
    ),
    scenario("mixed-methods", "all methods in one service", table("rr", {1: 1}), add(2, method="direct"), add(3, method="tunnel"),
             add(4, method="tunnel", tunnel="gre"), clients(8), LOOK),
    scenario("method-edited", "connections keep the method they began with", table("rr", {1: 1}), clients(1, establish=True),
             weigh(1, 1, method="tunnel"), talk("C:ACK"), clients(1, first=1100), weigh(1, 1),
             talk("C:ACK"), talk("C:ACK", port=1100), clients(1, first=1200), LOOK),
    scenario("method-edited-to-direct", "the same, from masquerade to direct", table("rr", {1: 1}), clients(1, establish=True),
             weigh(1, 1, method="direct"), talk("C:ACK"), clients(1, first=1100), talk("C:ACK", port=1100), LOOK,
             differs="the kernel keeps the destination's route from before the edit, looks for the VIP's own neighbour and"
             " sends nothing until that route is renewed"),
    scenario("local-node", "the director itself as a server", table("rr", {254: 1, 1: 1}), clients(4), LOOK_ALL),
    scenario("mixed-families", "IPv6 servers of an IPv4 service, by tunnel alone", table("rr", {1: 1}),
             add_six(1, method="tunnel"), add_six(2, method="tunnel", tunnel="gre"), add_six(3), add_six(4, method="direct"),
             clients(6), LOOK),
    scenario("mixed-families-other-way", "IPv4 servers of an IPv6 service",
             AddService(service=Service(label="web", protocol="tcp", endpoint="[fd09::1]:80")),
             add(1, method="tunnel"), add(2), add_six(3),
             Open(to="tcp [fd09::1]:80", client="2001:db8:c::1", count=4), LOOK),
    scenario("time-to-live", "one hop is taken away; none left is answered", table("rr", {1: 1}), add(2, method="direct"),
             add(3, method="tunnel"), *(talk("C:SYN", port=1000 + n, ttl=1) for n in range(3)),
             *(talk("C:SYN", port=1100 + n, ttl=2) for n in range(3))),
    scenario("same-server-two-ports", "two ports of one server are two destinations", table("rr", {1: 1}), add(1, port=81),
             add(1, port=82), clients(6), LOOK),
)  # fmt: skip
