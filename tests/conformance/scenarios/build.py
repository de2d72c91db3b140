"""Short words for writing scenarios: one service called "web" on 10.9.0.1:80, real servers 10.2.0.N by their number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.uml.scenario import (
    AddDestination,
    AddService,
    DeleteDestination,
    Destination,
    EditDestination,
    EditService,
    Look,
    Open,
    Scenario,
    Send,
    Service,
    Step,
)

VIP = "10.9.0.1:80"
TCP = f"tcp {VIP}"
UDP = "udp 10.9.0.1:53"
LOOK = Look()
LOOK_ALL = Look(connections=True)

Weights = Mapping[int, int]


def scenario(name: str, about: str, *steps: Step | Sequence[Step], differs: str = "") -> Scenario:
    """A scenario of steps and lists of steps."""
    flat: list[Step] = []
    for step in steps:
        flat.extend(step if isinstance(step, Sequence) else [step])
    return Scenario(name=name, about=about, steps=tuple(flat), differs=differs)


def service(scheduler: str, **more: Any) -> Service:
    values = {"label": "web", "protocol": "tcp", "endpoint": VIP, **more}
    if values.get("mark"):
        values |= {"protocol": "", "endpoint": ""}
    return Service(scheduler=scheduler, **values)


def destination(number: int, weight: int = 1, **more: Any) -> Destination:
    """10.2.0.`number`, port 80 unless `port` says otherwise."""
    port = more.pop("port", 80)
    return Destination(endpoint=f"10.2.0.{number}:{port}", weight=weight, **more)


def add(number: int, weight: int = 1, *, label: str = "web", **more: Any) -> Step:
    return AddDestination(label=label, destination=destination(number, weight, **more))


def weigh(number: int, weight: int, *, label: str = "web", **more: Any) -> Step:
    """Edit a destination: this weight, and whatever else is given (the rest goes back to its default)."""
    return EditDestination(label=label, destination=destination(number, weight, **more))


def remove(number: int, *, label: str = "web", port: int = 80) -> Step:
    return DeleteDestination(label=label, endpoint=f"10.2.0.{number}:{port}")


def edit(scheduler: str, **more: Any) -> Step:
    return EditService(service=service(scheduler, **more))


def table(scheduler: str, weights: Weights, *, each: Mapping[str, Any] | None = None, **more: Any) -> list[Step]:
    """The service with these destinations, added in this order; `each` is for every destination."""
    steps: list[Step] = [AddService(service=service(scheduler, **more))]
    return steps + [add(number, weight, **(each or {})) for number, weight in weights.items()]


def clients(count: int, *, first: int = 1000, to: str = TCP, **more: Any) -> Step:
    """`count` new connections from one client, ports from `first` on."""
    return Open(to=to, count=count, port=first, **more)


def many_clients(count: int, *, to: str = TCP, **more: Any) -> Step:
    """`count` new connections, each from another client address."""
    values = {"client": "10.1.0.1", "client_step": 1, "port_step": 0, **more}
    return Open(to=to, count=count, **values)


def talk(*packets: str, port: int = 1000, to: str = TCP, states: bool = False, **more: Any) -> Step:
    """Packets of the flow from `port`."""
    return Send(to=to, packets=packets, port=port, states=states, **more)


def finish(port: int, *, to: str = TCP) -> Step:
    """Both sides close the established connection from `port`."""
    return talk("C:FIN+ACK", "S:FIN+ACK", "C:ACK", port=port, to=to)
