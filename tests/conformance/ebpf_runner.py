"""The scenarios on the eBPF plane of this kernel: the real programs on two taps, in a network namespace of its own.

The wires, the player and the words of a result are those of the kernel's IPVS (`tests/uml/wire.py`, `play.py`,
`scenario.py`), so a packet that the programs pass up meets the same local stack. Time passes in an `Await` only, and there
by making the connection table older.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Address, ip_address, ip_network
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from piranha.base.clock import ManualClock
from piranha.dataplane import port
from piranha.dataplane.ebpf import abi, syscall
from piranha.dataplane.ebpf.clsact import Clsact, Direction
from piranha.dataplane.ebpf.interfaces import interfaces
from piranha.dataplane.ebpf.nexthop import NextHopResolver
from piranha.dataplane.ebpf.plane import EbpfPlane, PlaneSettings
from piranha.dataplane.ebpf.slots import GRACE_S
from piranha.dataplane.ebpf.tables import Tables
from piranha.dataplane.ebpf.uapi import AttachType, LinkFlag
from piranha.dataplane.port import Connection, ConnectionFilter, RefusalKind, RefusedError
from piranha.model.address import format_endpoint
from piranha.model.mark import MOST_PORT, MarkRule
from piranha.model.rules import PlaneRules
from piranha.model.service import (
    Counters,
    Destination,
    DestinationKey,
    DestinationStatus,
    ForwardingMethod,
    Protocol,
    SchedulerFlag,
    Service,
    ServiceKey,
    ServiceStatus,
    Timeouts,
    TunnelChecksum,
    TunnelType,
)
from tests.packet.bench import wiped
from tests.uml import scenario as sc
from tests.uml.packets import Endpoint
from tests.uml.play import Edit, Player
from tests.uml.wire import CLIENT_SIDE, SERVER_SIDE, Wire, enter_new_network, everyone, set_kernel

T = TypeVar("T")
PLAY_LIMIT_S = 60
AWAIT_STEP_S = 1.0
SWEEP_GRACE_S = 1.1  # the sweep frees an entry, and its place in the counts, this long after nobody sees it any more
REARM_GRACE_S = 0.1  # several jiffies: the sweep leaves what has only just expired to packets under way
ICMP_PER_SECOND = 1_000_000
PERSISTENT, ONE_PACKET = 1, 4
METHODS = {
    "masquerade": ForwardingMethod.MASQUERADE,
    "direct": ForwardingMethod.DIRECT,
    "tunnel": ForwardingMethod.TUNNEL,
}
METHOD_WORDS = {method: word for word, method in METHODS.items()}
FLAGS = {
    "sh-fallback": SchedulerFlag.SCHED1,
    "mh-fallback": SchedulerFlag.SCHED1,
    "sh-port": SchedulerFlag.SCHED2,
    "mh-port": SchedulerFlag.SCHED2,
}
# The kernel has one number for a scheduler and a destination that are not there (ENOENT).
REFUSALS = {
    RefusalKind.EXISTS: "exists",
    RefusalKind.NO_SERVICE: "no-service",
    RefusalKind.NO_DESTINATION: "not-found",
    RefusalKind.NO_SCHEDULER: "not-found",
    RefusalKind.INVALID: "invalid",
    RefusalKind.RANGE: "out-of-range",
}


class NotBuiltError(Exception):
    """A scenario uses what the eBPF plane refuses; the text is the plane's own sentence."""


class EbpfTable:
    """The eBPF plane in the words of the scenario: implements `play.Plane`."""

    def __init__(self, tables: Tables, hook: str) -> None:
        self._tables = wiped(tables)
        self._hook = hook
        self._clock = ManualClock(1000.0)
        self._keys: dict[str, ServiceKey] = {}
        self._marks: list[MarkRule] = []
        self._clsact = Clsact()
        self._links: list[int] = []
        self._egress = False
        self.plane = EbpfPlane(self._tables, None, PlaneSettings(), self._clock, None)
        self.plane._resolver = NextHopResolver(self.plane._take_next_hops)
        self._attach()

    def _attach(self) -> None:
        found = [interface for interface in interfaces() if interface.name in (CLIENT_SIDE, SERVER_SIDE)]
        for interface in found:
            self._filter(interface.index, Direction.INGRESS, "lb_tc")
        if self._hook == "xdp":
            program = self._tables.program("lb_xdp")
            for interface in found:
                link = syscall.link_create(program, interface.index, AttachType.XDP, flags=LinkFlag.XDP_DRV_MODE)
                self._links.append(link)
            self.plane._tell_devices(found)

    def _filter(self, ifindex: int, direction: Direction, name: str) -> None:
        program = self._tables.program(name)
        self._clsact.attach(ifindex, direction, program, syscall.prog_info(program).id)

    def close(self) -> None:
        for link in self._links:
            os.close(link)
        self._clsact.close()
        if self.plane._resolver is not None:
            self.plane._resolver.close()

    def follow(self) -> None:
        """Take over what changed in routes, neighbours and interfaces."""
        assert self.plane._resolver is not None
        self.plane._resolver.poll()
        self.plane._hops.refresh()

    # ---- edits ----

    def edit(self, step: Edit) -> str:
        self._clock.advance(GRACE_S)  # one edit after another, so regions of the slots are free again
        try:
            self.plane.apply([self._operation(step)])
        except RefusedError as error:
            if error.kind is RefusalKind.UNSUPPORTED:
                raise NotBuiltError(str(error)) from error
            return REFUSALS[error.kind]
        if self.plane._records.has_local_masqueraded and not self._egress:
            for interface in interfaces():
                if interface.name in (CLIENT_SIDE, SERVER_SIDE):
                    self._filter(interface.index, Direction.EGRESS, "lb_tc_egress")
            self._egress = True
        return "ok"

    def _operation(self, step: Edit) -> port.Operation:
        match step:
            case sc.AddService(service=service):
                self._keys[service.label] = service_key(service)
                return port.AddService(service=read_service(service))
            case sc.EditService(service=service):
                return port.EditService(service=read_service(service))
            case sc.DeleteService(label=label):
                return port.DeleteService(key=self._keys[label])
            case sc.AddDestination(label=label, destination=destination):
                return port.AddDestination(service=self._keys[label], destination=read_destination(destination))
            case sc.EditDestination(label=label, destination=destination):
                return port.EditDestination(service=self._keys[label], destination=read_destination(destination))
            case sc.DeleteDestination(label=label, endpoint=endpoint):
                return port.DeleteDestination(service=self._keys[label], key=destination_key(endpoint))
            case sc.Flush():
                return port.Clear()
            case sc.Zero(label=label):
                return port.ZeroCounters(key=self._keys[label] if label else None)
            case sc.SetTimeouts():
                return port.SetTimeouts(timeouts=Timeouts(tcp_s=step.tcp_s, tcp_fin_s=step.tcp_fin_s, udp_s=step.udp_s))
            case sc.SetOption(name=name, value=value):
                return port.SetSettings(settings=self._rules_with(name, int(value)))
            case sc.SetMark():
                self._marks.append(mark_rule(step))
                return port.SetMarkRules(rules=tuple(self._marks))

    def _rules_with(self, name: str, value: int) -> PlaneRules:
        rules = self.plane.rules()
        if not hasattr(rules, name):
            raise NotBuiltError(f"{name} is no rule of this plane yet")
        changed: dict[str, Any] = {name: type(getattr(rules, name))(value)}
        return replace(rules, **changed)

    # ---- looks ----

    def services(self, *, counters: bool) -> list[dict[str, Any]]:
        self._sweep()
        shown = [show_service(status, counters) for status in self.plane.snapshot()]
        return sorted(shown, key=lambda item: str(item["service"]))

    def connections(self) -> list[dict[str, Any]]:
        self._sweep()
        page = self.plane.connections(ConnectionFilter(limit=self._tables.tags.size))
        rows = [show_connection(row) for row in page.rows]
        return sorted(rows, key=lambda row: [str(row[key]) for key in row if key != "timeout_s"])

    def _sweep(self) -> None:
        self._tables.sweep(0, len(self._tables.tags) // abi.CONN_WAYS)

    def age(self, seconds: float) -> None:
        """Make every connection older, and remove what has expired."""
        valid = (self._tables.tags & 3) == abi.TAG_VALID
        self._tables.conns["expires"][valid] -= np.uint32(round(seconds * self._tables.hz))
        self._clock.advance(seconds)
        self._sweep()


class FollowedWire(Wire):
    """The wires, with the plane told of what it would hear from the kernel in lvsd's loop."""

    table: EbpfTable | None = None

    def set_mtu(self, side: str, mtu: int) -> None:
        super().set_mtu(side, mtu)
        assert self.table is not None
        self.table.follow()


class EbpfPlayer(Player):
    """A player that lets the table grow old instead of waiting, and goes on after a step that could not be played."""

    def __init__(self, table: EbpfTable, wire: Wire) -> None:
        super().__init__(table, wire)
        self._table = table

    def _step(self, step: sc.Step) -> Any:
        try:
            return super()._step(step)
        except (AssertionError, KeyError, ValueError, RuntimeError, OSError) as error:
            return f"could not be played: {error!r}"

    def _listed(self, client: str) -> bool:
        """Whether there is an entry of this client; one that holds others is listed again when the sweep has seen it."""
        for pause_s in (0.0, REARM_GRACE_S):
            time.sleep(pause_s)
            if any(entry["client"] == client for entry in self._table.connections()):
                return True
        return False

    def _await(self, step: sc.Await) -> str:
        client = str(Endpoint(address=ip_address(step.client), port=step.port))
        waited_s = 0.0
        while self._listed(client):
            if waited_s > step.within_s:
                return "still there"
            self._table.age(AWAIT_STEP_S)
            waited_s += AWAIT_STEP_S
        if waited_s:
            self._table.age(SWEEP_GRACE_S)
        return "gone"


def play(scenario: sc.Scenario, tables: Tables, hook: str = "tc") -> list[Any]:
    """What the eBPF plane does: one result for each step. Raises NotBuiltError."""
    return in_new_network(lambda: _play(scenario, tables, hook))


def _play(scenario: sc.Scenario, tables: Tables, hook: str) -> list[Any]:
    for name in ("net.ipv4.icmp_msgs_per_sec", "net.ipv4.icmp_msgs_burst"):
        with suppress(OSError):  # of each network namespace since Linux 6.12, of the first alone before
            set_kernel(name, ICMP_PER_SECOND)
    wire = FollowedWire(everyone(str(Endpoint.parse(text).address) for text in scenario.endpoints()))
    for step in scenario.steps:
        if isinstance(step, sc.AddDestination) and step.destination.tunnel == "gue":
            wire.gue_port = step.destination.tunnel_port
    table = wire.table = EbpfTable(tables, hook)
    try:
        return EbpfPlayer(table, wire).play(scenario)
    finally:
        table.close()
        wire.close()


def in_new_network(work: Callable[[], T]) -> T:
    """The result of `work`, done in a thread with a fresh network namespace."""
    with ThreadPoolExecutor(1, thread_name_prefix="network", initializer=enter_new_network) as pool:
        return pool.submit(work).result(PLAY_LIMIT_S)


def why_not() -> str:
    """Why scenarios cannot be played here; empty where they can."""
    if os.geteuid() != 0:
        return "needs root: BPF programs and a network namespace"
    return "" if Path("/dev/net/tun").exists() else "needs /dev/net/tun"


# ---- the scenario's words and the model's ----


def service_key(service: sc.Service) -> ServiceKey:
    if service.mark:
        return ServiceKey.of_mark(service.mark, service.version)
    endpoint = Endpoint.parse(service.endpoint)
    return ServiceKey(protocol=Protocol[service.protocol.upper()], address=endpoint.address, port=endpoint.port)


def read_service(service: sc.Service) -> Service:
    flags = SchedulerFlag(0)
    for word in service.flags:
        flags |= FLAGS[word]
    return Service(
        key=service_key(service),
        scheduler=service.scheduler,
        flags=flags,
        persistent_s=service.persistent_s,
        persistence_prefix=IPv4Address(service.mask) if service.mask else service.prefix,
        engine=service.engine,
        one_packet=service.one_packet,
    )


def destination_key(text: str) -> DestinationKey:
    endpoint = Endpoint.parse(text)
    return DestinationKey(address=endpoint.address, port=endpoint.port)


def read_destination(destination: sc.Destination) -> Destination:
    if destination.weight < 0:
        raise RefusedError(RefusalKind.RANGE, "a weight below 0 cannot even be said to this plane")
    return Destination(
        key=destination_key(destination.endpoint),
        method=METHODS[destination.method],
        weight=destination.weight,
        upper_threshold=destination.upper,
        lower_threshold=destination.lower,
        tunnel=TunnelType(destination.tunnel),
        tunnel_port=destination.tunnel_port,
        tunnel_checksum=TunnelChecksum(destination.tunnel_option),
    )


def mark_rule(step: sc.SetMark) -> MarkRule:
    return MarkRule(
        mark=step.mark,
        network=ip_network(step.address),
        protocol=Protocol[step.protocol.upper()] if step.protocol else Protocol.IP,
        first_port=step.low,
        last_port=step.high or MOST_PORT,
    )


def show_service(status: ServiceStatus, counters: bool) -> dict[str, Any]:
    """With the keys of `kernel_plane.read_service`; the flags are the kernel's bits."""
    service = status.service
    bits = int(service.flags) | PERSISTENT * bool(service.persistent_s) | ONE_PACKET * service.one_packet
    shown: dict[str, Any] = {
        "service": str(service.key).removeprefix("fw"),
        "scheduler": service.scheduler,
        "flags": bits,
        "persistent_s": service.persistent_s,
    }
    if counters:
        shown["counters"] = show_counters(status.counters)
    shown["destinations"] = [show_destination(item, counters) for item in reversed(status.destinations)]
    return shown


def show_destination(status: DestinationStatus, counters: bool) -> dict[str, Any]:
    destination = status.destination
    shown: dict[str, Any] = {
        "destination": str(destination.key),
        "method": METHOD_WORDS[destination.method],
        "weight": destination.weight,
        "upper": destination.upper_threshold,
        "lower": destination.lower_threshold,
        "active": status.active_connections,
        "inactive": status.inactive_connections,
        "persistent": status.persistent_connections,
    }
    if counters:
        shown["counters"] = show_counters(status.counters)
    return shown


def show_counters(counters: Counters) -> dict[str, int]:
    return {
        "conns": counters.connections,
        "inpkts": counters.in_packets,
        "outpkts": counters.out_packets,
        "inbytes": counters.in_bytes,
        "outbytes": counters.out_bytes,
    }


def show_connection(row: Connection) -> dict[str, Any]:
    """As a line of /proc/net/ip_vs_conn: in a mark's template the mark stands in the place of the VIP."""
    virtual = IPv4Address(row.mark) if row.mark and row.virtual.version == 4 else row.virtual
    return {
        "protocol": row.protocol.word,
        "client": format_endpoint(row.client, row.client_port),
        "virtual": format_endpoint(virtual, row.virtual_port),
        "destination": format_endpoint(row.destination, row.destination_port),
        "state": row.state,
        "timeout_s": int(row.expires_s),
    }
