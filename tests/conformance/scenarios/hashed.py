"""sh, dh, mh: the same client (or address) on the same server on every plane."""

from __future__ import annotations

from tests.conformance.scenarios.build import (
    LOOK,
    VIP,
    add,
    clients,
    edit,
    many_clients,
    remove,
    scenario,
    table,
    weigh,
)
from tests.uml.scenario import AddDestination, AddService, Destination, Open, Scenario, Service, SetMark

THREE = {1: 1, 2: 1, 3: 1}
UNEQUAL = {1: 1, 2: 3, 3: 6}
SIX = Service(label="six", scheduler="rr", protocol="tcp", endpoint="[fd09::1]:80")


def six(scheduler: str, *flags: str) -> list[AddService | AddDestination]:
    service = Service(label="six", scheduler=scheduler, protocol="tcp", endpoint="[fd09::1]:80", flags=flags)
    servers = (Destination(endpoint=f"[fd02::{number}]:80", weight=number) for number in (1, 2, 3))
    return [AddService(service=service), *(AddDestination(label="six", destination=server) for server in servers)]


def of_source(name: str) -> tuple[Scenario, ...]:
    port, fallback = f"{name}-port", f"{name}-fallback"
    return (
        scenario(f"{name}", "by client address", table(name, THREE), many_clients(300), LOOK),
        scenario(f"{name}-spread", "clients far apart", table(name, THREE), many_clients(200, client_step=65537), LOOK),
        scenario(f"{name}-weights", "unequal weights", table(name, UNEQUAL), many_clients(300), LOOK),
        scenario(f"{name}-order", "the order of adding", table(name, {3: 1, 1: 1, 2: 1}), many_clients(60)),
        scenario(f"{name}-same-client", "a client stays", table(name, THREE), clients(10)),
        scenario(
            f"{port}", "by client address and port", table(name, UNEQUAL, flags=(port,)), clients(200), many_clients(50)
        ),
        scenario(
            f"{name}-quiesced",
            "clients of a quiesced server are refused",
            table(name, UNEQUAL),
            weigh(2, 0),
            many_clients(40),
            weigh(2, 3),
            many_clients(40, client="10.1.1.1"),
        ),
        scenario(
            f"{fallback}",
            "clients of a quiesced server go elsewhere",
            table(name, UNEQUAL, flags=(fallback,)),
            weigh(2, 0),
            many_clients(60),
            weigh(3, 0),
            many_clients(30, client="10.1.1.1"),
            weigh(1, 0),
            many_clients(3, client="10.1.2.1"),
        ),
        scenario(
            f"{name}-fallback-port",
            "both flags",
            table(name, UNEQUAL, flags=(fallback, port)),
            weigh(3, 0),
            clients(80),
        ),
        scenario(
            f"{name}-edits",
            "servers added, removed and weighed",
            table(name, THREE),
            many_clients(40),
            add(4, 2),
            many_clients(40, client="10.1.1.1"),
            remove(2),
            many_clients(40, client="10.1.2.1"),
            weigh(1, 5),
            many_clients(40, client="10.1.3.1"),
            LOOK,
        ),
        scenario(
            f"{name}-flags-edited",
            "flags of a living service are changed",
            table(name, UNEQUAL),
            clients(10),
            edit(name, flags=(port,)),
            clients(30, first=1100),
            edit(name),
            clients(10, first=1200),
        ),
        scenario(
            f"{name}-six",
            "IPv6",
            six(name),
            Open(to="tcp [fd09::1]:80", client="2001:db8:c::1", count=100, client_step=1),
        ),
        scenario(
            f"{name}-six-spread",
            "IPv6 clients that differ in every word, by port too",
            six(name, port),
            Open(to="tcp [fd09::1]:80", client="2001:db8:c::1", count=60, client_step=0x0001_0001_0001_0001),
        ),
        scenario(
            f"{name}-empty",
            "no server",
            table(name, {}),
            clients(1),
            add(1),
            clients(1),
            remove(1),
            clients(1, first=1500),
        ),
        scenario(
            f"{name}-many",
            "more servers than weights",
            table(name, {n: n % 5 for n in range(1, 41)}),
            many_clients(200),
        ),
        scenario(
            f"{name}-heavy",
            "weights beyond the table",
            table(name, {1: 1000, 2: 100, 3: 1}),
            many_clients(200),
        ),
        scenario(
            f"{name}-udp",
            "datagrams",
            table(name, UNEQUAL, protocol="udp", endpoint="10.9.0.1:53", flags=(port,), each={"port": 53}),
            clients(60, to="udp 10.9.0.1:53"),
        ),
    )


DESTINATION_HASH = (
    scenario(
        "dh",
        "by destination address, of a mark",
        table("dh", UNEQUAL, mark=9, each={"port": 0}),
        SetMark(mark=9, address="10.9.0.0/16"),
        Open(to="tcp 10.9.1.1:80", count=300, to_step=1),
        LOOK,
    ),
    scenario(
        "dh-quiesced",
        "addresses of a quiesced server are refused; weights do nothing else",
        table("dh", {1: 1, 2: 5, 3: 1}, mark=9, each={"port": 0}),
        SetMark(mark=9, address="10.9.0.0/16"),
        weigh(2, 0, port=0),
        Open(to="tcp 10.9.1.1:80", count=40, to_step=1),
        weigh(2, 9, port=0),
        Open(to="tcp 10.9.1.1:80", count=40, to_step=1, port=3000),
    ),
    scenario(
        "dh-edits",
        "servers added and removed",
        table("dh", THREE, mark=9, each={"port": 0}),
        SetMark(mark=9, address="10.9.0.0/16"),
        add(4, port=0),
        Open(to="tcp 10.9.1.1:80", count=40, to_step=1),
        remove(1, port=0),
        Open(to="tcp 10.9.1.1:80", count=40, to_step=1, port=3000),
    ),
    scenario(
        "dh-one-address", f"an ordinary service: {VIP} has one server", table("dh", THREE), clients(5), many_clients(5)
    ),
)

SCENARIOS: tuple[Scenario, ...] = (*of_source("sh"), *of_source("mh"), *DESTINATION_HASH)
