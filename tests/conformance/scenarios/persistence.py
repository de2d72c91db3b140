"""Persistence: templates, masks, all ports, marks, quiesced and removed servers, expiry, the sip engine."""

from __future__ import annotations

from typing import Any

from tests.conformance.scenarios.build import (
    LOOK,
    LOOK_ALL,
    add,
    clients,
    edit,
    many_clients,
    remove,
    scenario,
    service,
    table,
    talk,
    weigh,
)
from tests.uml.scenario import (
    AddDestination,
    AddService,
    Await,
    Destination,
    Open,
    Scenario,
    Service,
    SetMark,
    SetOption,
    SetTimeouts,
)

TWO = {1: 1, 2: 1}
HUNDRED: dict[str, Any] = {"persistent_s": 100}
SIX = Service(label="six", scheduler="rr", protocol="tcp", endpoint="[fd09::1]:80", persistent_s=100, prefix=64)


def call(number: int) -> str:
    return f"OPTIONS sip:someone@10.9.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.1.0.1\r\nCall-ID: {number}@10.1.0.1\r\n\r\n"


SCENARIOS: tuple[Scenario, ...] = (
    scenario("persistent", "a client keeps its server", table("rr", TWO, **HUNDRED), clients(3),
             many_clients(4, client="10.1.1.1"), clients(2, first=1100), LOOK_ALL),
    scenario("persistent-mask", "clients of one network together", table("rr", TWO, **HUNDRED, prefix=24),
             many_clients(4, client="10.1.1.1", client_step=64), many_clients(3, client="10.1.2.1", client_step=64), LOOK_ALL),
    scenario("persistent-mask-0", "everybody together", table("rr", TWO, **HUNDRED, prefix=0),
             many_clients(4, client="10.1.1.1", client_step=1 << 20), LOOK_ALL),
    scenario("persistent-states", "a template is assured once a connection is established", table("rr", TWO, **HUNDRED),
             clients(1), LOOK_ALL, talk("S:SYN+ACK", "C:ACK"), LOOK_ALL, talk("C:RST"), LOOK_ALL),
    scenario("persistent-direct", "the one-way view", table("wlc", TWO, **HUNDRED, each={"method": "direct"}),
             clients(3, establish=True), many_clients(3, client="10.1.1.1"), LOOK_ALL),
    scenario("persistent-quiesced", "a template to a quiesced server is honoured", table("rr", TWO, **HUNDRED), clients(1),
             weigh(2, 0), clients(2, first=1100), many_clients(2, client="10.1.1.1"), weigh(2, 1),
             many_clients(2, client="10.1.2.1"), LOOK),
    scenario("expire-quiescent-template", "unless expire_quiescent_template is on",
             SetOption(name="expire_quiescent_template", value="1"), table("rr", TWO, **HUNDRED), clients(1),
             weigh(2, 0), clients(2, first=1100), weigh(2, 1), clients(2, first=1200), LOOK_ALL),
    scenario("persistent-removed", "a template to a removed server is void", table("rr", TWO, **HUNDRED), clients(1),
             remove(2), clients(2, first=1100), add(2), clients(2, first=1200), many_clients(2, client="10.1.1.1"), LOOK_ALL),
    scenario("persistent-expiry", "a template expires once its connections are gone",
             SetTimeouts(udp_s=1), table("rr", TWO, protocol="udp", endpoint="10.9.0.1:53", persistent_s=2, each={"port": 53}),
             clients(2, to="udp 10.9.0.1:53"), LOOK, Await(client="10.1.0.1", port=0, within_s=75), LOOK_ALL,
             clients(1, to="udp 10.9.0.1:53", first=1100)),
    scenario("persistent-all-ports", "port 0: all ports of a client on one server",
             AddService(service=service("rr", endpoint="10.9.0.1:0", persistent_s=100)), add(1, port=0), add(2, port=0),
             clients(2), clients(1, to="tcp 10.9.0.1:443"), clients(1, to="tcp 10.9.0.1:21"),
             many_clients(2, client="10.1.1.1", to="tcp 10.9.0.1:8080"), LOOK_ALL),
    scenario("all-ports-and-one", "an exact service before the port-0 one",
             AddService(service=service("rr", endpoint="10.9.0.1:0", persistent_s=100)), add(1, port=0), add(2, port=0),
             AddService(service=service("rr", label="exact", endpoint="10.9.0.1:80")), add(3, label="exact"),
             clients(2), clients(2, to="tcp 10.9.0.1:443"), clients(1, to="udp 10.9.0.1:443"), LOOK),
    scenario("all-ports-port-fixed", "port 0 with servers on a fixed port",
             AddService(service=service("rr", endpoint="10.9.0.1:0", persistent_s=100)), add(1, port=8000), add(2, port=8001),
             clients(1), clients(1, to="tcp 10.9.0.1:443"), many_clients(2, client="10.1.1.1"), LOOK_ALL),
    scenario("persistent-mark", "one template for all ports and protocols of a mark",
             AddService(service=service("rr", mark=5, persistent_s=100)), add(1, port=0), add(2, port=0),
             SetMark(mark=5, address="10.9.0.1", protocol="tcp", low=80, high=80),
             SetMark(mark=5, address="10.9.0.1", protocol="tcp", low=443, high=445),
             SetMark(mark=5, address="10.9.0.2", protocol="udp", low=53, high=53),
             clients(2), clients(2, to="tcp 10.9.0.1:444"), clients(1, to="udp 10.9.0.2:53"), clients(1, to="tcp 10.9.0.1:446"),
             many_clients(3, client="10.1.1.1", to="tcp 10.9.0.1:443"), LOOK_ALL),
    scenario("persistent-mark-mask", "and for a network of clients",
             AddService(service=service("rr", mark=5, persistent_s=100, prefix=24)), add(1, port=0), add(2, port=0),
             SetMark(mark=5, address="10.9.0.0/24"),
             many_clients(3, client="10.1.1.1"), many_clients(2, client="10.1.2.1", to="tcp 10.9.0.7:22"), LOOK_ALL),
    scenario("persistent-made", "a service becomes persistent, and stops being it", table("rr", TWO), clients(2),
             edit("rr", persistent_s=100), clients(3, first=1100), edit("rr", persistent_s=50), clients(1, first=1200),
             LOOK_ALL, edit("rr"), clients(3, first=1300), LOOK_ALL),
    scenario("persistent-udp", "datagrams, and the template after a reply",
             table("rr", TWO, protocol="udp", endpoint="10.9.0.1:53", persistent_s=100, each={"port": 53}),
             clients(2, to="udp 10.9.0.1:53"), LOOK_ALL, talk("S:", to="udp 10.9.0.1:53"), LOOK_ALL),
    scenario("persistent-six", "IPv6 by prefix", AddService(service=SIX),
             *(AddDestination(label="six", destination=Destination(endpoint=f"[fd02::{n}]:80")) for n in (1, 2)),
             Open(to="tcp [fd09::1]:80", client="2001:db8:c::1", count=3, client_step=1),
             Open(to="tcp [fd09::1]:80", client="2001:db8:d::1", count=3, client_step=1), LOOK_ALL),
    scenario("persistent-sh", "persistence above a hashed scheduler", table("sh", {1: 1, 2: 1, 3: 1}, **HUNDRED, flags=("sh-port",)),
             clients(4), many_clients(8, client="10.1.1.1"), LOOK),
    scenario("sip", "the sip engine: a call keeps its server",
             table("rr", TWO, protocol="udp", endpoint="10.9.0.1:5060", persistent_s=100, engine="sip", each={"port": 5060}),
             *(Open(to="udp 10.9.0.1:5060", port=1000 + n, payload=call(number)) for n, number in enumerate((1, 2, 3, 1, 2, 3))),
             Open(to="udp 10.9.0.1:5060", port=2000, payload="no call"), LOOK_ALL),
)  # fmt: skip
