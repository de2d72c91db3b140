"""Connection sync: CPU time of one connection event, out of the table onto the wire and from the wire into the table."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from ipaddress import IPv4Address
from statistics import median

import numpy as np
from numpy.typing import NDArray

from bench.bench import Bench
from bench.report import Goal, Row
from bench.world import Unverified
from piranha.base.clock import MonotonicClock
from piranha.dataplane.ebpf import abi
from piranha.dataplane.ebpf.departures import Departures
from piranha.dataplane.ebpf.plane import EbpfPlane, PlaneSettings
from piranha.dataplane.ebpf.tables import Capacity, open_tables
from piranha.dataplane.exchange import ENTRY, Entries
from piranha.dataplane.port import AddDestination, AddService, SyncDaemon, SyncRole
from piranha.model.service import Destination, DestinationKey, ForwardingMethod, Protocol, Service, ServiceKey
from piranha.sync.daemons import Hearer, Speaker
from piranha.sync.datagram import write
from piranha.sync.intake import Intake
from piranha.sync.multicast import open_sender
from piranha.sync.rules import EveryConnection
from piranha.sync.tally import Tally

_CONNECTIONS = 400_000
_SERVERS = 16
_ROUNDS = 5
_LENGTH = 1472
_ESTABLISHED, _FIN_WAIT = 1, 4
_IN_FLIGHT = 64
GOAL = Goal(most=10_000)
"""A hundred thousand events a second on one core."""


def run(bench: Bench) -> Iterator[Row]:
    bench.close_world()
    plane = EbpfPlane(open_tables(None, Capacity()), None, PlaneSettings(), MonotonicClock(), None)
    try:
        yield from _rows(plane)
    finally:
        plane.close()


def _rows(plane: EbpfPlane) -> Iterator[Row]:
    key = ServiceKey(protocol=Protocol.TCP, address=IPv4Address("10.9.0.1"), port=80)
    plane.apply([AddService(service=Service(key=key, scheduler="rr"))])
    for number in range(_SERVERS):
        address = DestinationKey(address=IPv4Address("10.2.0.1") + number, port=8080)
        destination = Destination(key=address, method=ForwardingMethod.MASQUERADE)
        plane.apply([AddDestination(service=key, destination=destination)])
    rows = _connections()
    yield _arriving(plane, rows, "sync in: a new connection", "made", rounds=1)
    yield _arriving(plane, rows, "sync in: a change of one", "updated", rounds=_ROUNDS)
    yield asyncio.run(_leaving(plane))
    yield _looking(plane)


def _connections() -> NDArray[np.void]:
    """In no order that a table has."""
    number = np.random.default_rng(7).permutation(_CONNECTIONS)
    rows = np.zeros(_CONNECTIONS, ENTRY)
    for name, address in (("client", "10.64.0.0"), ("virtual", "10.9.0.1"), ("server", "10.2.0.1")):
        rows[name] = np.frombuffer(abi.pack_address(IPv4Address(address)), "u1")
    rows["client"][:, 13] += (number >> 16).astype(np.uint8)
    rows["client"][:, 14], rows["client"][:, 15] = number >> 8 & 255, number & 255
    rows["server"][:, 15] += (number % _SERVERS).astype(np.uint8)
    rows["client_port"], rows["virtual_port"], rows["server_port"] = 1024 + number % 60_000, 80, 8080
    rows["protocol"], rows["state"], rows["timeout_s"], rows["version"] = 6, _ESTABLISHED, 900, 4
    return rows


def _arriving(plane: EbpfPlane, rows: NDArray[np.void], case: str, outcome: str, rounds: int) -> Row:
    """From a socket of loopback: received, read, bound and written into the table."""
    datagrams = [datagram for datagram, _ in write(Entries(rows), 7, _LENGTH)]
    took = []
    for _ in range(rounds):
        tally = Tally()
        hearer = Hearer(Intake(plane.sync_table, tally, MonotonicClock()), _daemon(SyncRole.BACKUP))
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as near,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far,
        ):
            far.bind(("127.0.0.1", 0))
            far.setblocking(False)
            near.connect(far.getsockname())
            spent = 0.0
            for first in range(0, len(datagrams), _IN_FLIGHT):
                for datagram in datagrams[first : first + _IN_FLIGHT]:
                    near.send(datagram)
                before = time.thread_time()
                hearer.hear(far)
                spent += time.thread_time() - before
        took.append(spent / _CONNECTIONS * 1e9)
        heard = {word.name.lower(): count for word, count in tally.heard.items()}
        if heard != {outcome: _CONNECTIONS} or tally.faults:
            raise Unverified(f"{case}: {heard} of {_CONNECTIONS} connections, {tally.faults} unreadable messages")
    return Row(case=case, ours=median(took), goal=GOAL, detail={"rounds": took, "a_second": 1e9 / median(took)})


async def _leaving(plane: EbpfPlane) -> Row:
    """Found in the table, written as messages, sent to a multicast group on loopback; every connection has changed."""
    tally, clock = Tally(), MonotonicClock()
    departures = Departures(plane.tables, EveryConnection())
    speaker = Speaker(departures, _daemon(SyncRole.MASTER), tally, clock, lambda: False)
    took = []
    with open_sender(_daemon(SyncRole.MASTER)) as opened:
        for number in range(_ROUNDS + 1):
            _change_all(plane, (_ESTABLISHED, _FIN_WAIT)[number % 2])
            before, told = time.thread_time(), tally.told_entries
            for due in departures.pieces():
                if due is not None:
                    await speaker.tell(opened, due)
            took.append((time.thread_time() - before) / _CONNECTIONS * 1e9)
            if tally.told_entries - told != _CONNECTIONS:
                raise Unverified(f"{tally.told_entries - told} of {_CONNECTIONS} changed connections were told")
    took = took[1:]
    detail = {"rounds": took, "a_second": 1e9 / median(took)}
    return Row(case="sync out: a change of a connection", ours=median(took), goal=GOAL, detail=detail)


def _looking(plane: EbpfPlane) -> Row:
    """What it costs to find that nothing changed; lvsd spends at most a twentieth of its time so."""
    departures = Departures(plane.tables, EveryConnection())
    for due in departures.pieces():
        if due is not None:
            departures.told(due)
    took = []
    for _ in range(_ROUNDS):
        before = time.thread_time()
        found = sum(due is not None for due in departures.pieces())
        took.append((time.thread_time() - before) / _CONNECTIONS * 1e9)
        if found:
            raise Unverified("a walk found changes where none were made")
    return Row(case="sync out: a connection that did not change", ours=median(took), detail={"rounds": took})


def _change_all(plane: EbpfPlane, state: int) -> None:
    """As packets would, without their price."""
    life = plane.tables.conns["life"]
    valid = (plane.tables.tags & 3) == abi.TAG_VALID
    life[valid] = (life[valid] & np.uint32(0xFFFF00FF)) | np.uint32(state << 8)


def _daemon(role: SyncRole) -> SyncDaemon:
    return SyncDaemon(role=role, interface="lo", sync_id=7, max_length=_LENGTH)
