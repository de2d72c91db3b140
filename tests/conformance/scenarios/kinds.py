"""Kinds of services: UDP, one packet, SCTP, marks, IPv6, order of look-up."""

from __future__ import annotations

from typing import Any

from tests.conformance.scenarios.build import LOOK, LOOK_ALL, UDP, add, clients, scenario, service, table, talk
from tests.uml.scenario import (
    AddDestination,
    AddService,
    Destination,
    Look,
    Open,
    Scenario,
    Send,
    Service,
    SetMark,
    Step,
)

TWO = {1: 1, 2: 1}
SCTP = "sctp 10.9.0.1:5000"
SIX = "tcp [fd09::1]:80"
DNS: dict[str, Any] = {"protocol": "udp", "endpoint": "10.9.0.1:53", "each": {"port": 53}}


def six_service(scheduler: str, *methods: str, protocol: str = "tcp") -> list[Step]:
    service_ = Service(label="six", scheduler=scheduler, protocol=protocol, endpoint="[fd09::1]:80")
    servers = [Destination(endpoint=f"[fd02::{n}]:80", method=method, weight=n) for n, method in enumerate(methods, 1)]
    return [AddService(service=service_), *(AddDestination(label="six", destination=server) for server in servers)]


SCENARIOS: tuple[Scenario, ...] = (
    scenario("udp", "each flow is scheduled once", table("rr", TWO, **DNS), clients(4, to=UDP),
             talk("S:", "C:", to=UDP, states=True), LOOK_ALL, Look(counters=True)),
    scenario("udp-refused", "no server", table("rr", {1: 0}, **DNS), clients(1, to=UDP)),
    scenario("one-packet", "every datagram is scheduled; nothing is kept", table("rr", TWO, one_packet=True, **DNS),
             talk("C:", "C:", "C:", to=UDP, states=True), clients(3, to=UDP, first=1100), LOOK_ALL, Look(counters=True)),
    scenario("one-packet-reply", "a masqueraded reply is not translated", table("rr", {1: 1}, one_packet=True, **DNS),
             talk("C:", "S:", to=UDP, states=True), LOOK_ALL),
    scenario("one-packet-persistent", "with a template", table("rr", TWO, one_packet=True, persistent_s=100, **DNS),
             talk("C:", "C:", to=UDP), clients(2, to=UDP, first=1100), LOOK_ALL),
    scenario("one-packet-wlc", "counts stay zero", table("wlc", {1: 1, 2: 2, 3: 3}, one_packet=True, **DNS),
             clients(6, to=UDP), LOOK),
    scenario("sctp", "an association", table("rr", TWO, protocol="sctp", endpoint="10.9.0.1:5000", each={"port": 5000}),
             talk("C:INIT", "S:INIT-ACK", "C:COOKIE-ECHO", "S:COOKIE-ACK", "C:DATA", "S:DATA", "C:SHUTDOWN", "S:SHUTDOWN-ACK",
                  "C:SHUTDOWN-COMPLETE", to=SCTP, states=True), clients(3, to=SCTP, first=1100), LOOK_ALL),
    scenario("sctp-stray", "only INIT begins one", table("rr", TWO, protocol="sctp", endpoint="10.9.0.1:5000", each={"port": 5000}),
             *(Send(to=SCTP, port=1000 + n, packets=(f"C:{kind}",), states=True)
               for n, kind in enumerate(("DATA", "COOKIE-ECHO", "SHUTDOWN"))), LOOK),
    scenario("sctp-server-closes", "the server shuts down; then a new association",
             table("rr", TWO, protocol="sctp", endpoint="10.9.0.1:5000", each={"port": 5000}),
             talk("C:INIT", "S:INIT-ACK", "C:COOKIE-ECHO", "S:COOKIE-ACK", "S:SHUTDOWN", "C:SHUTDOWN-ACK", "S:SHUTDOWN-COMPLETE",
                  "C:INIT", to=SCTP, states=True), LOOK),
    scenario("sctp-abort", "an association aborted by either side",
             table("rr", TWO, protocol="sctp", endpoint="10.9.0.1:5000", each={"port": 5000}),
             talk("C:INIT", "S:INIT-ACK", "C:ABORT", to=SCTP, states=True),
             talk("C:INIT", "S:ABORT", to=SCTP, port=1001, states=True),
             talk("C:INIT", "S:INIT-ACK", "C:COOKIE-ECHO", "S:COOKIE-ACK", "S:ABORT", "C:INIT", to=SCTP, port=1002, states=True)),
    scenario("mark", "a mark gathers addresses, protocols and ports",
             AddService(service=service("rr", mark=5)), add(1, port=0), add(2, port=0), add(3, port=0),
             SetMark(mark=5, address="10.9.0.1", protocol="tcp", low=80, high=80),
             SetMark(mark=5, address="10.9.0.2", protocol="tcp", low=8000, high=8010),
             SetMark(mark=5, address="10.9.0.3", protocol="udp", low=53, high=53),
             clients(2), clients(2, to="tcp 10.9.0.2:8005"), clients(2, to="udp 10.9.0.3:53"),
             clients(1, to="tcp 10.9.0.2:8011"), clients(1, to="tcp 10.9.0.3:53"), LOOK_ALL),
    scenario("mark-before-address", "the mark is looked up before the address",
             table("rr", {1: 1}), AddService(service=service("rr", label="marked", mark=5)), add(2, label="marked", port=0),
             clients(1), SetMark(mark=5, address="10.9.0.1", protocol="tcp", low=80, high=80), clients(2, first=1100), LOOK),
    scenario("mark-port", "a mark with servers on a fixed port",
             AddService(service=service("rr", mark=5)), add(1, port=8080), add(2, port=8081),
             SetMark(mark=5, address="10.9.0.1"), clients(4), clients(2, to="udp 10.9.0.1:53"), LOOK_ALL),
    scenario("mark-unserved", "a mark without a service falls back to the address", table("rr", TWO),
             SetMark(mark=6, address="10.9.0.1"), clients(3), LOOK),
    scenario("mark-unavailable", "a mark whose servers are quiesced", AddService(service=service("rr", mark=5)), add(1, 0, port=0),
             SetMark(mark=5, address="10.9.0.1"), clients(1)),
    scenario("mark-two", "two marks of one address",
             AddService(service=service("rr", mark=5)), add(1, port=0),
             AddService(service=service("rr", label="other", mark=6)), add(2, label="other", port=0),
             SetMark(mark=5, address="10.9.0.1", protocol="tcp", low=80, high=80),
             SetMark(mark=6, address="10.9.0.1", protocol="tcp", low=443, high=443),
             clients(2), clients(2, to="tcp 10.9.0.1:443"), LOOK),
    scenario("six", "IPv6, masqueraded", six_service("rr", "masquerade", "masquerade"),
             Open(to=SIX, client="2001:db8:c::1", count=4, establish=True, close=True), LOOK_ALL),
    scenario("six-udp", "IPv6 datagrams", six_service("rr", "masquerade", "masquerade", protocol="udp"),
             Open(to="udp [fd09::1]:80", client="2001:db8:c::1", count=4),
             Send(to="udp [fd09::1]:80", client="2001:db8:c::1", packets=("S:", "C:")), LOOK_ALL),
    scenario("six-methods", "IPv6 by every method", six_service("wrr", "direct", "tunnel", "masquerade"),
             Open(to=SIX, client="2001:db8:c::1", count=6), LOOK),
    scenario("six-refused", "IPv6 without a server", six_service("rr"), Open(to=SIX, client="2001:db8:c::1", count=1)),
    scenario("six-mark", "an IPv6 mark", AddService(service=service("rr", mark=5, version=6)),
             *(AddDestination(label="web", destination=Destination(endpoint=f"[fd02::{n}]:0")) for n in (1, 2)),
             SetMark(mark=5, address="fd09::1"), Open(to=SIX, client="2001:db8:c::1", count=3), LOOK),
    scenario("six-weights", "IPv6 by least connections", six_service("wlc", "masquerade", "masquerade", "masquerade"),
             Open(to=SIX, client="2001:db8:c::1", count=12), LOOK),
    scenario("same-address-all-kinds", "TCP, UDP and SCTP of one endpoint are three services",
             table("rr", {1: 1}), AddService(service=service("rr", label="u", protocol="udp")), add(2, label="u"),
             AddService(service=service("rr", label="s", protocol="sctp")), add(3, label="s"),
             clients(1), clients(1, to="udp 10.9.0.1:80"), clients(1, to="sctp 10.9.0.1:80"), LOOK_ALL),
)  # fmt: skip
