"""Play a scenario on a data plane over the two wires, whichever plane it is: edits go to the plane, packets to the wire."""

from __future__ import annotations

import struct
import time
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Protocol

from tests.uml import scenario as sc
from tests.uml.packets import (
    Address,
    Endpoint,
    Segment,
    build_echo,
    build_error,
    build_fragments,
    build_packet,
    ones_complement,
    wrap,
)
from tests.uml.reading import Seen
from tests.uml.wire import CLIENT_SIDE, LOCAL_NODES, SERVER_SIDE, Wire, everyone, router_before

Flow = tuple[str, Endpoint, Endpoint]
Edit = (
    sc.AddService | sc.EditService | sc.DeleteService | sc.AddDestination | sc.EditDestination | sc.DeleteDestination
    | sc.Flush | sc.Zero | sc.SetTimeouts | sc.SetOption | sc.SetMark
)  # fmt: skip
AWAIT_STEP_S = 0.1
REPLACED_STEP_S, REPLACED_LIMIT_S = 0.01, 2.0
PORT_UNREACHABLE = ((3, 3), (1, 4))


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


@dataclass(slots=True)
class Ends:
    """What the two ends of a TCP flow send next, and have got; the client first."""

    sends: list[int] = field(default_factory=lambda: [1000, 5000])
    got: list[int] = field(default_factory=lambda: [0, 0])


class Player:
    """One scenario on one plane. `play` gives the results, one per step."""

    def __init__(self, plane: Plane, wire: Wire) -> None:
        self._plane = plane
        self._wire = wire
        self._chosen: dict[Flow, Seen] = {}
        self._ends: dict[Flow, Ends] = {}

    def play(self, scenario: sc.Scenario) -> list[Any]:
        return [self._step(step) for step in scenario.steps]

    def _step(self, step: sc.Step) -> Any:
        match step:
            case sc.Open():
                return [self._open(step, number) for number in range(step.count)]
            case sc.Send():
                return self._send(step)
            case sc.Say():
                return self._say(step)
            case sc.ServerSend():
                protocol, _, source = step.source.partition(" ")
                segment = Segment(protocol=protocol, source=Endpoint.parse(source), target=Endpoint.parse(step.to),
                                  word=step.word, payload=step.payload.encode())  # fmt: skip
                return self._from_server(segment)
            case sc.SendError():
                return self._error(step)
            case sc.Echo():
                client, target = ip_address(step.client), ip_address(step.to)
                to_servers, to_clients = self._wire.from_client(build_echo(client, target))
                return _joined([_icmp(seen) for seen in to_servers + to_clients])
            case sc.SetMtu():
                self._wire.set_mtu(CLIENT_SIDE if step.side == "C" else SERVER_SIDE, step.mtu)
                return "ok"
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
        outcome = self._from_client(
            flow, Segment(protocol=protocol, source=flow[1], target=flow[2], word=first, payload=step.payload.encode())
        )
        if step.establish:
            self._converse(flow, ("S:SYN+ACK", "C:ACK"))
        if step.close:
            self._converse(flow, ("C:FIN+ACK", "S:FIN+ACK", "C:ACK"))
        return outcome

    def _converse(self, flow: Flow, packets: tuple[str, ...]) -> None:
        for packet in packets:
            side, _, word = packet.partition(":")
            if side == "C":
                self._from_client(flow, Segment(protocol=flow[0], source=flow[1], target=flow[2], word=word))
            elif self._answers_through_us(flow):
                self._answer(flow, word, b"")

    def _send(self, step: sc.Send) -> list[str]:
        protocol, target = _flow_text(step.to)
        flow = (protocol, Endpoint(address=ip_address(step.client), port=step.port), target)
        payload = step.payload.encode().ljust(step.size, b".")
        outcomes = []
        for packet in step.packets:
            side, _, word = packet.partition(":")
            if side == "C":
                segment = Segment(
                    protocol=protocol, source=flow[1], target=target, word=word, payload=payload, ttl=step.ttl
                )
                packets = None
                if step.fragment:
                    packets = build_fragments(segment, step.fragment)
                elif step.may_fragment or step.extended:
                    packets = [build_packet(segment, dont_fragment=not step.may_fragment, extended=step.extended)]
                outcome = self._from_client(flow, segment, packets)
            elif self._answers_through_us(flow):
                outcome = self._answer(flow, word, payload)
            else:
                raise ValueError(f"{step.to} from {flow[1]}: no masqueraded server answers here")
            outcomes.append(f"{outcome} = {self._state(flow)}" if step.states else outcome)
        return outcomes

    def _say(self, step: sc.Say) -> list[str]:
        protocol, target = _flow_text(step.to)
        flow = (protocol, Endpoint(address=ip_address(step.client), port=step.port), target)
        if flow not in self._ends:
            self._ends[flow] = Ends()
            for side, word in (("C", "SYN"), ("S", "SYN+ACK"), ("C", "ACK")):
                self._say_one(flow, side, word, b"")
        lines = [line.partition(":") for line in step.lines]
        return [self._say_one(flow, side, "PSH+ACK", text.encode()) for side, _, text in lines]

    def _say_one(self, flow: Flow, side: str, word: str, payload: bytes) -> str:
        ends, server = self._ends[flow], side == "S"
        source, target = (flow[1], flow[2])
        if server:
            chosen = self._chosen[flow].segment
            assert chosen is not None
            source, target = (chosen.target, flow[1])
        segment = Segment(protocol=flow[0], source=source, target=target, word=word, payload=payload,
                          sequence=ends.sends[server], acknowledged=ends.got[server])  # fmt: skip
        packet = build_packet(segment)
        if server:
            _, delivered = self._wire.from_server(packet, source.address)
        else:
            delivered, _ = self._wire.from_client(packet)
        if len(delivered) != 1 or delivered[0].segment is None:
            return "dropped" if not delivered else _joined([_icmp(seen) for seen in delivered])
        seen = delivered[0].segment
        if not server:
            self._chosen[flow] = delivered[0]
        begins = "SYN" in word
        ends.sends[server] += len(payload) + begins
        ends.got[not server] = seen.sequence + len(seen.payload) + begins
        outcome = (
            f"client {seen.source}{_soundness(delivered[0])}" if server else self._to_server(segment, delivered[0])
        )
        return f"{outcome} seq {seen.sequence} ack {seen.acknowledged} {seen.payload.decode()!r}"

    def _error(self, step: sc.SendError) -> str:
        protocol, target = _flow_text(step.to)
        flow = (protocol, Endpoint(address=ip_address(step.client), port=step.port), target)
        if step.side == "C":
            answer = build_packet(Segment(protocol=protocol, source=target, target=flow[1]))
            packet = build_error(flow[1].address, target.address, step.error, answer, step.mtu)
            to_servers, to_clients = self._wire.from_client(packet)
            return _joined(
                [f"to {seen.target} {_icmp(seen)}" for seen in to_servers] + [_icmp(seen) for seen in to_clients]
            )
        seen = self._chosen[flow]
        assert seen.segment is not None
        received = build_packet(seen.segment)
        router: Address = seen.segment.target.address
        if seen.tunnel:
            assert seen.outer is not None
            router = router_before(seen.outer)
            received = _tunnelled(seen, _director(seen.outer), received, self._wire.gue_port)
            packet = build_error(router, _director(seen.outer), step.error, received, step.mtu)
        else:
            router = self._wire.server_of(seen) or router
            packet = build_error(router, flow[1].address, step.error, received, step.mtu)
        to_servers, to_clients = self._wire.from_server(packet, router)
        from_where = [f"from {item.source} {_icmp(item)}" if not seen.tunnel else _icmp(item) for item in to_clients]
        return _joined(from_where + [f"to the servers {_icmp(item)}" for item in to_servers])

    def _state(self, flow: Flow) -> str:
        """The state of the flow's entry; where a SYN has just replaced one, that of the entry that stays."""
        key = (flow[0], str(flow[1]), str(flow[2]))
        deadline_at = time.monotonic() + REPLACED_LIMIT_S
        while True:
            entries = self._plane.connections()
            states = [
                str(entry["state"])
                for entry in entries
                if (entry["protocol"], entry["client"], entry["virtual"]) == key
            ]
            if len(states) < 2 or time.monotonic() > deadline_at:
                return " and ".join(states) or "none"
            time.sleep(REPLACED_STEP_S)

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

    def _from_client(self, flow: Flow, segment: Segment, packets: list[bytes] | None = None) -> str:
        to_servers, to_clients = self._wire.from_client(*(packets or [build_packet(segment)]))
        if to_servers and to_servers[-1].segment:
            self._chosen[flow] = to_servers[-1]
        outcomes = [self._to_server(segment, seen) for seen in to_servers]
        return _joined(outcomes + [_to_client(segment, seen) for seen in to_clients])

    def _answer(self, flow: Flow, word: str, payload: bytes) -> str:
        chosen = self._chosen[flow].segment
        assert chosen is not None
        return self._from_server(
            Segment(protocol=flow[0], source=chosen.target, target=flow[1], word=word, payload=payload)
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
        ours = seen.quoted == f"{sent.protocol} {sent.source} > {sent.target}" and seen.sound
        return "refused" if ours and seen.icmp in PORT_UNREACHABLE else _icmp(seen)
    if seen.segment.source == sent.target:
        return "reset" if "RST" in seen.segment.word else f"answered {seen.segment.word}"
    return f"forwarded{_soundness(seen)}"


def _icmp(seen: Seen) -> str:
    if seen.icmp is None:
        return str(seen.segment)
    mtu = f" mtu={seen.mtu}" if seen.mtu else ""
    quoting = f" quoting {seen.quoted}" if seen.quoted else ""
    return f"icmp {seen.icmp[0]}/{seen.icmp[1]}{mtu}{quoting}{_soundness(seen)}"


def _director(server: Address) -> Address:
    """The director's own address on the servers' side, of a server's family."""
    return ip_address(LOCAL_NODES[server.version == 6])


def _tunnelled(seen: Seen, director: Address, packet: bytes, gue_port: int) -> bytes:
    """The packet in a tunnel's outer header, as the director sent it."""
    assert seen.outer is not None
    inside6 = packet[0] >> 4 == 6
    if seen.tunnel == "ipip":
        return wrap(director, seen.outer, 41 if inside6 else 4, packet)
    if seen.tunnel.startswith("gre"):
        kind = 0x86DD if inside6 else 0x0800
        plain = struct.pack("!HH", 0, kind) + packet
        if "csum" in seen.tunnel:
            summed = ones_complement(struct.pack("!HHI", 0x8000, kind, 0) + packet)
            plain = struct.pack("!HHHH", 0x8000, kind, summed, 0) + packet
        return wrap(director, seen.outer, 47, plain)
    gue = struct.pack("!BBH", 0, 41 if inside6 else 4, 0) + packet
    return wrap(director, seen.outer, 17, struct.pack("!HHHH", 40000, gue_port, 8 + len(gue), 0) + gue)


def _soundness(seen: Seen) -> str:
    return "" if seen.sound else " (bad checksum)"


def _joined(outcomes: list[str]) -> str:
    return " & ".join(outcomes) or "dropped"


def _flow_text(text: str) -> tuple[str, Endpoint]:
    protocol, _, endpoint = text.partition(" ")
    return protocol, Endpoint.parse(endpoint)


def _moved(text: str, by: int) -> Address:
    return ip_address(text) + by
