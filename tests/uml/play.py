"""Play a scenario on a data plane over the two wires, whichever plane it is: edits go to the plane, packets to the wire."""

from __future__ import annotations

import time
from ipaddress import ip_address
from typing import Any, Protocol

from tests.uml import scenario as sc
from tests.uml.packets import Address, Endpoint, Seen, Segment, build_packet
from tests.uml.wire import Wire, everyone

Flow = tuple[str, Endpoint, Endpoint]
Edit = (
    sc.AddService | sc.EditService | sc.DeleteService | sc.AddDestination | sc.EditDestination | sc.DeleteDestination
    | sc.Flush | sc.Zero | sc.SetTimeouts | sc.SetOption | sc.SetMark
)  # fmt: skip
AWAIT_STEP_S = 0.1


class Plane(Protocol):
    """What a runner gives: its data plane in the words of the scenario."""

    def edit(self, step: Edit) -> str:
        """Carry out one edit; "ok" or the word of the refusal."""
        ...

    def services(self, *, counters: bool) -> list[dict[str, Any]]:
        """The table, services by mark, protocol and endpoint, destinations newest first (`kernel_plane.py` has the keys)."""
        ...

    def connections(self) -> list[dict[str, Any]]:
        """Every connection entry and template, sorted: protocol, client, virtual, destination, state, timeout_s."""
        ...


def wire_for(scenario: sc.Scenario) -> Wire:
    """The wires that a scenario needs, in the calling thread's namespace."""
    wire = Wire(everyone(str(Endpoint.parse(text).address) for text in scenario.endpoints()))
    for step in scenario.steps:
        if isinstance(step, sc.AddDestination) and step.destination.tunnel == "gue":
            wire.gue_port = step.destination.tunnel_port
    return wire


class Player:
    """One scenario on one plane. `play` gives the results, one per step."""

    def __init__(self, plane: Plane, wire: Wire) -> None:
        self._plane = plane
        self._wire = wire
        self._chosen: dict[Flow, Seen] = {}

    def play(self, scenario: sc.Scenario) -> list[Any]:
        return [self._step(step) for step in scenario.steps]

    def _step(self, step: sc.Step) -> Any:
        match step:
            case sc.Open():
                return [self._open(step, number) for number in range(step.count)]
            case sc.Send():
                return self._send(step)
            case sc.ServerSend():
                protocol, _, source = step.source.partition(" ")
                segment = Segment(protocol=protocol, source=Endpoint.parse(source), target=Endpoint.parse(step.to),
                                  word=step.word, payload=step.payload.encode())  # fmt: skip
                return self._from_server(segment)
            case sc.Await():
                return self._await(step)
            case sc.Look():
                result: dict[str, Any] = {}
                if step.connections:
                    result["connections"] = self._plane.connections()
                result["services"] = self._plane.services(counters=step.counters)
                return result
            case _:
                return self._plane.edit(step)

    def _open(self, step: sc.Open, number: int) -> str:
        protocol, target = _flow_text(step.to)
        flow = (
            protocol,
            Endpoint(address=_moved(step.client, number * step.client_step), port=step.port + number * step.port_step),
            Endpoint(address=_moved(str(target.address), number * step.to_step), port=target.port),
        )
        first = {"tcp": "SYN", "udp": "", "sctp": "INIT"}[protocol]
        outcome = self._from_client(flow, first, step.payload)
        if step.establish:
            self._converse(flow, ("S:SYN+ACK", "C:ACK"))
        if step.close:
            self._converse(flow, ("C:FIN+ACK", "S:FIN+ACK", "C:ACK"))
        return outcome

    def _converse(self, flow: Flow, packets: tuple[str, ...]) -> None:
        for packet in packets:
            side, _, word = packet.partition(":")
            if side == "C":
                self._from_client(flow, word, "")
            elif self._answers_through_us(flow):
                self._answer(flow, word, "")

    def _send(self, step: sc.Send) -> list[str]:
        protocol, target = _flow_text(step.to)
        flow = (protocol, Endpoint(address=ip_address(step.client), port=step.port), target)
        outcomes = []
        for packet in step.packets:
            side, _, word = packet.partition(":")
            if side == "C":
                outcome = self._from_client(flow, word, step.payload, step.ttl)
            elif self._answers_through_us(flow):
                outcome = self._answer(flow, word, step.payload)
            else:
                raise ValueError(f"{step.to} from {flow[1]}: no masqueraded server answers here")
            outcomes.append(f"{outcome} = {self._state(flow)}" if step.states else outcome)
        return outcomes

    def _state(self, flow: Flow) -> str:
        protocol, client, virtual = flow[0], str(flow[1]), str(flow[2])
        for entry in self._plane.connections():
            if (entry["protocol"], entry["client"], entry["virtual"]) == (protocol, client, virtual):
                return str(entry["state"])
        return "none"

    def _await(self, step: sc.Await) -> str:
        client = str(Endpoint(address=ip_address(step.client), port=step.port))
        deadline_at = time.monotonic() + step.within_s
        while any(entry["client"] == client for entry in self._plane.connections()):
            if time.monotonic() > deadline_at:
                return "still there"
            time.sleep(AWAIT_STEP_S)
        return "gone"

    def _answers_through_us(self, flow: Flow) -> bool:
        chosen = self._chosen.get(flow)
        return (
            chosen is not None and not chosen.tunnel and chosen.segment is not None and chosen.segment.target != flow[2]
        )

    def _from_client(self, flow: Flow, word: str, payload: str, ttl: int = 64) -> str:
        protocol, client, target = flow
        segment = Segment(protocol=protocol, source=client, target=target, word=word, payload=payload.encode(), ttl=ttl)
        to_servers, to_clients = self._wire.from_client(build_packet(segment))
        if to_servers:
            self._chosen[flow] = to_servers[-1]
        outcomes = [self._to_server(segment, seen) for seen in to_servers]
        return _joined(outcomes + [_to_client(segment, seen) for seen in to_clients])

    def _answer(self, flow: Flow, word: str, payload: str) -> str:
        chosen = self._chosen[flow].segment
        assert chosen is not None
        return self._from_server(
            Segment(protocol=flow[0], source=chosen.target, target=flow[1], word=word, payload=payload.encode())
        )

    def _from_server(self, segment: Segment) -> str:
        to_servers, to_clients = self._wire.from_server(build_packet(segment), segment.source.address)
        outcomes = []
        for seen in to_clients:
            if seen.segment is None:
                outcomes.append(_icmp(seen))
            elif seen.segment.source == segment.source:
                outcomes.append("forwarded")
            else:
                outcomes.append(f"client {seen.segment.source}{_soundness(seen)}")
        return _joined(outcomes + [_icmp(seen) if seen.icmp else "back to the servers" for seen in to_servers])

    def _to_server(self, sent: Segment, seen: Seen) -> str:
        if seen.segment is None:
            return _icmp(seen)
        if seen.tunnel:
            return f"{seen.tunnel} {seen.outer}{_soundness(seen)}"
        if seen.segment.target != sent.target:
            return f"masquerade {seen.segment.target}{_soundness(seen)}"
        server = self._wire.server_of(seen)
        return f"direct {server}{_soundness(seen)}" if server else "forwarded"


def _to_client(sent: Segment, seen: Seen) -> str:
    if seen.segment is None:
        return _icmp(seen)
    if seen.segment.source == sent.target:
        return "reset" if "RST" in seen.segment.word else f"answered {seen.segment.word}"
    return f"forwarded{_soundness(seen)}"


def _icmp(seen: Seen) -> str:
    assert seen.icmp is not None
    if seen.icmp in ((3, 3), (1, 4)):
        return "refused"
    return f"icmp {seen.icmp[0]}/{seen.icmp[1]}" + (f" mtu={seen.mtu}" if seen.mtu else "")


def _soundness(seen: Seen) -> str:
    return "" if seen.sound else " (bad checksum)"


def _joined(outcomes: list[str]) -> str:
    return " & ".join(outcomes) or "dropped"


def _flow_text(text: str) -> tuple[str, Endpoint]:
    protocol, _, endpoint = text.partition(" ")
    return protocol, Endpoint.parse(endpoint)


def _moved(text: str, by: int) -> Address:
    return ip_address(text) + by
