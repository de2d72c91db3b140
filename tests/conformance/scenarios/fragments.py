"""Packets in fragments, and IPv6's headers before the transport."""

from __future__ import annotations

from tests.conformance.scenarios.build import LOOK, UDP, clients, scenario, table, talk
from tests.conformance.scenarios.errors import METHODS, SIX, SIX_CLIENT, six
from tests.uml.scenario import AddDestination, AddService, Destination, Look, Open, Scenario, Send, Service, Step

SCTP = "sctp 10.9.0.1:80"
MAPPED = (
    "a new port changes the CRC32c by the length of the whole packet, which the first fragment does not tell: it is dropped"
    " (reason rewrite_failed); IPVS puts the fragments together first"
)
DNS = {"protocol": "udp", "endpoint": "10.9.0.1:53"}
SIX_UDP = "udp [fd09::1]:53"


def six_dns(method: str) -> list[Step]:
    servers = [Destination(endpoint=f"[fd02::{number}]:53", method=method) for number in (1, 2)]
    return [AddService(service=Service(label="six", protocol="udp", endpoint="[fd09::1]:53")),
            *(AddDestination(label="six", destination=server) for server in servers)]  # fmt: skip


SCENARIOS: tuple[Scenario, ...] = (
    *(
        scenario(
            f"fragments-{name}",
            f"datagrams in fragments, by {name}",
            table("rr", {1: 1, 2: 1}, **DNS, each={"port": 53, **values}),
            *(talk("C:", to=UDP, port=1000 + n, size=2000, fragment=1000, may_fragment=True) for n in range(3)),
            talk("C:", to=UDP, size=100, fragment=8, may_fragment=True),
            talk("C:", to=UDP),
            LOOK,
        )
        for name, values in METHODS.items()
        if "csum" not in name
    ),
    scenario("fragments-tcp", "a segment in fragments of an established connection", table("rr", {1: 1}),
             clients(1, establish=True), talk("C:ACK", size=400, fragment=104, may_fragment=True, states=True),
             talk("C:FIN+ACK", size=400, fragment=24, may_fragment=True, states=True)),
    *(
        scenario(
            f"fragments-sctp{name}",
            about,
            table("rr", {1: 1}, protocol="sctp", endpoint="10.9.0.1:80", each={"port": port}),
            talk("C:INIT", "S:INIT-ACK", to=SCTP, states=True),
            talk("C:COOKIE-ECHO", "C:DATA", to=SCTP, fragment=16, may_fragment=True, states=True),
            talk("C:INIT", to=SCTP, port=1001, fragment=16, may_fragment=True),
            LOOK,
            differs=why,
        )
        for name, port, about, why in (
            ("", 80, "an association's packets in fragments", ""),
            ("-mapped", 8080, "the same to a server with another port", MAPPED),
        )
    ),
    scenario("fragments-refused", "no server", table("rr", {1: 0}, **DNS, each={"port": 53}),
             talk("C:", to=UDP, size=2000, fragment=1000, may_fragment=True)),
    *(
        scenario(f"fragments-six-{method}", f"IPv6 datagrams in fragments, by {method}", six_dns(method),
                 *(Send(to=SIX_UDP, client=SIX_CLIENT, port=1000 + n, packets=("C:",), size=1600, fragment=800) for n in range(3)),
                 LOOK)
        for method in ("masquerade", "direct", "tunnel")
    ),
    *(
        scenario(f"extension-header-{name}", f"IPv6 destination options before the transport, by {name}", six(**values),
                 Send(to=SIX, client=SIX_CLIENT, packets=("C:SYN",), extended=True, states=True),
                 Send(to=SIX, client=SIX_CLIENT, packets=("C:ACK",), states=True),
                 Send(to=SIX, client=SIX_CLIENT, packets=("C:ACK",), extended=True, states=True),
                 Open(to=SIX, client=SIX_CLIENT, port=1001), Look(connections=True),
                 differs="the kernel reads the TCP flags at the place where they were without extension headers")
        for name, values in METHODS.items()
        if name in ("masquerade", "direct", "ipip")
    ),
)  # fmt: skip
