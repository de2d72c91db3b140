"""Scenarios of the conformance suite, packet by packet through one program: who gets each connection.

What the kernel's own IPVS chose is recorded in `tests/conformance/recorded/ipvs.json`. Here only the choices are compared:
the server's endpoint for each first packet, or NOBODY.
"""

from __future__ import annotations

import functools
import json
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Any

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from piranha.dataplane import port
from piranha.dataplane.ebpf.slots import GRACE_S
from piranha.model.mark import MarkRule
from piranha.model.service import (
    Destination,
    DestinationKey,
    ForwardingMethod,
    Protocol,
    SchedulerFlag,
    Service,
    ServiceKey,
)
from tests.conformance.scenarios import SCENARIOS
from tests.packet.bench import CLIENT_MAC, SERVER_MAC, Bench
from tests.uml import scenario as sc

Address = IPv4Address | IPv6Address
Endpoint = tuple[Address, int]

RECORDED = Path(__file__).parent.parent / "conformance" / "recorded" / "ipvs.json"
NOBODY = "nobody"
_FLAGS = {
    "sh-port": SchedulerFlag.SCHED2,
    "mh-port": SchedulerFlag.SCHED2,
    "sh-fallback": SchedulerFlag.SCHED1,
    "mh-fallback": SchedulerFlag.SCHED1,
}
_PROTOCOLS = {"tcp": Protocol.TCP, "udp": Protocol.UDP}
_LAYERS = {Protocol.TCP: TCP, Protocol.UDP: UDP}
_TCP_BITS = {"FIN": 1, "SYN": 2, "RST": 4, "ACK": 16}
_TIMELESS = (sc.AddService | sc.EditService | sc.AddDestination | sc.EditDestination | sc.DeleteDestination
             | sc.SetMark | sc.Open | sc.Send | sc.Look)  # fmt: skip


@functools.cache
def recorded() -> dict[str, list[Any]]:
    """The real IPVS's results by scenario, one for each step."""
    found: dict[str, list[Any]] = json.loads(RECORDED.read_text())["scenarios"]
    return found


def named(*prefixes: str) -> list[sc.Scenario]:
    """The recorded scenarios whose name begins with one of the words, that need no waiting."""
    return [
        scenario
        for scenario in SCENARIOS
        if scenario.name.startswith(tuple(f"{prefix}-" for prefix in prefixes)) or scenario.name in prefixes
        if scenario.name in recorded() and all(isinstance(step, _TIMELESS) for step in scenario.steps)
    ]


def expected(scenario: sc.Scenario) -> list[list[str]]:
    """What the real IPVS chose, for each step that opens connections; "" where its kernel dropped the packet before."""
    words = {"masquerade": "", "refused": NOBODY, "dropped": ""}
    return [
        [words[kind] + server for kind, _, server in (text.partition(" ") for text in result)]
        for step, result in zip(scenario.steps, recorded()[scenario.name], strict=True)
        if isinstance(step, sc.Open)
    ]


def differences(scenario: sc.Scenario, choices: list[list[str]]) -> list[str]:
    """Where the choices are not those of the real IPVS."""
    return [
        f"connections {opened}, number {number}: {ours} instead of {theirs}"
        for opened, (ours_all, theirs_all) in enumerate(zip(choices, expected(scenario), strict=True))
        for number, (ours, theirs) in enumerate(zip(ours_all, theirs_all, strict=True))
        if theirs and ours != theirs
    ]


class Stage:
    """One scenario on a bench. `play` gives choices in the shape of `expected`."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._services: dict[str, ServiceKey] = {}
        self._marks: list[MarkRule] = []
        self._chosen: dict[tuple[Endpoint, Endpoint], Endpoint] = {}

    def play(self, scenario: sc.Scenario) -> list[list[str]]:
        choices = []
        for step in scenario.steps:
            if isinstance(step, sc.Open):
                choices.append([self._open(step, number) for number in range(step.count)])
            elif isinstance(step, sc.Send):
                self._send(step)
            elif not isinstance(step, sc.Look):
                self._bench.clock.advance(GRACE_S)  # one edit after another, so regions of the slots are free again
                self._bench.plane.apply([self._operation(step)])
                if isinstance(step, sc.AddDestination):
                    self._bench.resolve(str(_endpoint(step.destination.endpoint)[0]))
        return choices

    # ---- edits ----

    def _operation(self, step: sc.Step) -> port.Operation:
        match step:
            case sc.AddService(service=service):
                self._services[service.label] = _service_key(service)
                return port.AddService(service=_service(service))
            case sc.EditService(service=service):
                return port.EditService(service=_service(service))
            case sc.AddDestination(label=label, destination=destination):
                return port.AddDestination(service=self._services[label], destination=_destination(destination))
            case sc.EditDestination(label=label, destination=destination):
                return port.EditDestination(service=self._services[label], destination=_destination(destination))
            case sc.DeleteDestination(label=label, endpoint=endpoint):
                return port.DeleteDestination(service=self._services[label], key=_destination_key(endpoint))
            case sc.SetMark():
                network = ip_network(step.address)
                self._marks.append(MarkRule(mark=step.mark, network=network))
                return port.SetMarkRules(rules=tuple(self._marks))
        raise AssertionError(f"no such step here: {step}")

    # ---- packets ----

    def _open(self, step: sc.Open, number: int) -> str:
        protocol, target = _flow(step.to)
        client = (
            ip_address(int(ip_address(step.client)) + number * step.client_step),
            step.port + number * step.port_step,
        )
        virtual = (ip_address(int(target[0]) + number * step.to_step), target[1])
        choice = self._from_client(protocol, client, virtual, "SYN")
        words = [*(("S:SYN+ACK", "C:ACK") if step.establish else ()),
                 *(("C:FIN+ACK", "S:FIN+ACK", "C:ACK") if step.close else ())]  # fmt: skip
        self._converse(protocol, client, virtual, words)
        return choice

    def _send(self, step: sc.Send) -> None:
        protocol, virtual = _flow(step.to)
        self._converse(protocol, (ip_address(step.client), step.port), virtual, list(step.packets))

    def _converse(self, protocol: Protocol, client: Endpoint, virtual: Endpoint, words: list[str]) -> None:
        for text in words:
            side, _, word = text.partition(":")
            if side == "C":
                self._from_client(protocol, client, virtual, word)
            elif (server := self._chosen.get((client, virtual))) is not None:
                self._bench.run_raw(_frame(protocol, server, client, word, SERVER_MAC, self._bench.net.mac["rs"]), "rs")

    def _from_client(self, protocol: Protocol, client: Endpoint, virtual: Endpoint, word: str) -> str:
        frame = _frame(protocol, client, virtual, word, CLIENT_MAC, self._bench.net.mac["cl"])
        verdict, out = self._bench.run_raw(frame)
        target = _target(out)
        if verdict != "redirect" or _protocol(out) != protocol or target == virtual:
            return NOBODY
        self._chosen[client, virtual] = target
        return f"[{target[0]}]:{target[1]}" if target[0].version == 6 else f"{target[0]}:{target[1]}"


@functools.cache
def _template(protocol: Protocol, version: int) -> bytes:
    return bytes(Ether() / (IP if version == 4 else IPv6)() / _LAYERS[protocol]() / b"data")


def _frame(
    protocol: Protocol, source: Endpoint, target: Endpoint, word: str, source_mac: str, target_mac: str
) -> bytes:
    """A frame; its checksums are not those of its bytes (the programs only move them)."""
    version = source[0].version
    frame = bytearray(_template(protocol, version))
    frame[0:6], frame[6:12] = (bytes.fromhex(mac.replace(":", "")) for mac in (target_mac, source_mac))
    at, length = (14 + 12, 4) if version == 4 else (14 + 8, 16)
    frame[at : at + 2 * length] = source[0].packed + target[0].packed
    struct.pack_into("!HH", frame, at + 2 * length, source[1], target[1])
    if protocol is Protocol.TCP:
        frame[at + 2 * length + 13] = sum(_TCP_BITS[name] for name in word.split("+"))
    return bytes(frame)


def _target(frame: bytes) -> Endpoint:
    """Where a frame goes to."""
    at, length = (14 + 16, 4) if frame[12:14] == b"\x08\x00" else (14 + 24, 16)
    return ip_address(frame[at : at + length]), int.from_bytes(frame[at + length + 2 : at + length + 4], "big")


def _protocol(frame: bytes) -> int:
    return frame[14 + 9] if frame[12:14] == b"\x08\x00" else frame[14 + 6]


def _endpoint(text: str) -> Endpoint:
    address, _, number = text.rpartition(":")
    return ip_address(address.strip("[]")), int(number)


def _flow(text: str) -> tuple[Protocol, Endpoint]:
    word, _, endpoint = text.partition(" ")
    return _PROTOCOLS[word], _endpoint(endpoint)


def _service_key(service: sc.Service) -> ServiceKey:
    if service.mark:
        return ServiceKey.of_mark(service.mark, service.version)
    address, number = _endpoint(service.endpoint)
    return ServiceKey(protocol=_PROTOCOLS[service.protocol], address=address, port=number)


def _service(service: sc.Service) -> Service:
    flags = SchedulerFlag(0)
    for word in service.flags:
        flags |= _FLAGS[word]
    return Service(key=_service_key(service), scheduler=service.scheduler, flags=flags)


def _destination_key(text: str) -> DestinationKey:
    address, number = _endpoint(text)
    return DestinationKey(address=address, port=number)


def _destination(destination: sc.Destination) -> Destination:
    assert destination.method == "masquerade"
    return Destination(
        key=_destination_key(destination.endpoint),
        method=ForwardingMethod.MASQUERADE,
        weight=destination.weight,
        upper_threshold=destination.upper,
        lower_threshold=destination.lower,
    )
