"""Connection sync at the table: what leaves it, what comes in, and packets that meet both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import Any

import numpy as np
import pytest
from scapy.layers.inet import TCP, UDP

from piranha.dataplane.ebpf import abi
from piranha.dataplane.ebpf.arrivals import Arrivals, Outcome, Taken
from piranha.dataplane.ebpf.departures import Columns, Departures, Due
from piranha.dataplane.ebpf.tables import Capacity, Tables
from piranha.dataplane.exchange import Entries, Flag
from piranha.dataplane.port import AddDestination, AddService, DeleteDestination
from piranha.model.service import ForwardingMethod, Protocol, Service, ServiceKey
from piranha.sync.rules import EveryConnection
from tests.packet.bench import CAPACITY, CLIENT, SERVER, VIP, Bench, Net
from tests.unit.sync.test_datagram import entry

MASQUERADE, DIRECT, TUNNEL = ForwardingMethod.MASQUERADE, ForwardingMethod.DIRECT, ForwardingMethod.TUNNEL
ESTABLISHED, FIN_WAIT, CLOSE_WAIT = 1, 4, 7


def anything_new(c: Columns) -> Any:
    return ~c.known


def due(departures: Departures) -> list[Due]:
    return [piece for piece in departures.pieces() if piece is not None]


def told(departures: Departures) -> list[np.void]:
    """Everything that is due; afterwards the listener knows it."""
    rows: list[np.void] = []
    for piece in due(departures):
        rows += list(piece.entries.rows)
        departures.told(piece)
    return rows


def row(version: int = 4, **fields: Any) -> np.ndarray[Any, np.dtype[np.void]]:
    """A masqueraded connection of the bench's client, established."""
    ends = {"client": CLIENT[version], "virtual": VIP[version], "server": SERVER[version]}
    default = {"client_port": 4000, "virtual_port": 80, "server_port": 8080, "state": 1, "timeout_s": 600}
    return entry(version=version, **(ends | default | fields))


@pytest.fixture
def arrivals(bench: Bench) -> Iterator[Arrivals]:
    way = Arrivals(bench.tables)
    yield way
    way.close()


def take(arrivals: Arrivals, *rows: np.ndarray[Any, np.dtype[np.void]], keep: bool = False) -> Taken:
    arrivals.services_changed()
    return arrivals.take(Entries(np.concatenate(rows)), keep=keep)


def outcomes(taken: Taken) -> list[Outcome]:
    return [Outcome(number) for number in taken.outcomes]


# ---- out ----


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(("method", "flags"), [(MASQUERADE, 0), (DIRECT, 0x83), (TUNNEL, 0x82)])
def test_a_connection_is_told_as_it_is(bench: Bench, version: int, method: ForwardingMethod, flags: int) -> None:
    service = bench.service(version)
    bench.server(service, method=method, port=8080 if method is MASQUERADE else 80)
    departures = Departures(bench.tables, EveryConnection())
    bench.run(bench.to_vip(version, sport=4000, flags="S"))
    assert not told(departures), "half-open connections stay at home"
    if method is MASQUERADE:
        bench.run(bench.from_server(8080, 4000, version, flags="SA"), "rs")
    bench.run(bench.to_vip(version, sport=4000, flags="A"))
    port = 8080 if method is MASQUERADE else 80
    assert told(departures) == [row(version, server_port=port, flags=flags, timeout_s=900)[0]]
    assert not told(departures)
    bench.run(bench.to_vip(version, sport=4000, flags="FA"))
    (closing,) = told(departures)
    assert closing["flags"] == flags | Flag.INACTIVE
    assert closing["state"] == (CLOSE_WAIT if method is MASQUERADE else FIN_WAIT)


def test_a_new_connection_in_the_place_of_an_old_one_is_news(bench: Bench) -> None:
    bench.server(bench.service(protocol=Protocol.UDP))
    departures = Departures(bench.tables, EveryConnection())
    packet = bench.to_vip(l4=UDP, sport=4000)
    bench.run(packet)
    bench.tables.conns["created"][bench.tables.tags != 0] -= 5  # it began a moment earlier
    assert len(told(departures)) == 1
    bench.age(400)
    bench.run(packet)
    assert len(told(departures)) == 1


def test_a_busy_connection_is_told_again_before_its_copy_expires(bench: Bench) -> None:
    bench.server(bench.service(protocol=Protocol.UDP))
    departures = Departures(bench.tables, EveryConnection())
    packet = bench.to_vip(l4=UDP, sport=4000)
    bench.run(packet)
    assert len(told(departures)) == 1
    departures._told["expires"] -= np.uint32(100 * bench.tables.hz)
    assert not told(departures)
    departures._told["expires"] -= np.uint32(60 * bench.tables.hz)
    assert len(told(departures)) == 1


def test_what_expired_is_told_to_nobody(bench: Bench) -> None:
    bench.server(bench.service(protocol=Protocol.UDP))
    bench.run(bench.to_vip(l4=UDP, sport=4000))
    bench.age(400)
    assert not due(Departures(bench.tables, anything_new))


def test_a_template_and_its_connection(bench: Bench) -> None:
    key = ServiceKey(protocol=Protocol.UDP, address=ip_address(VIP[4]), port=80)
    bench.plane.apply([AddService(service=Service(key=key, scheduler="rr", persistent_s=100, persistence_prefix=24))])
    bench.server(key)
    bench.run(bench.to_vip(l4=UDP, sport=4000))
    rows = sorted(told(Departures(bench.tables, EveryConnection())), key=lambda r: int(r["flags"]))
    assert rows == [
        row(protocol=17, state=0, flags=Flag.INACTIVE, timeout_s=300)[0],
        row(
            protocol=17,
            client="10.1.0.0",
            client_port=0,
            state=0,
            flags=Flag.TEMPLATE | Flag.INACTIVE,
            timeout_s=100,
        )[0],
    ]


# ---- in ----


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("method", [MASQUERADE, DIRECT])
def test_packets_of_an_entry_that_came_in_go_to_its_server(
    bench: Bench, arrivals: Arrivals, version: int, method: ForwardingMethod
) -> None:
    service = bench.service(version)
    port = 8080 if method is MASQUERADE else 80
    bench.server(service, method=method, port=port)
    taken = take(arrivals, row(version, server_port=port))
    assert outcomes(taken) == [Outcome.MADE]
    (connection,) = bench.connections()
    assert (connection.state, round(connection.expires_s)) == ("ESTABLISHED", 600)
    assert (bench.status(service).destinations[0].active_connections, bench.reasons()) == (1, {})
    result = bench.run(bench.to_vip(version, sport=4000, flags="A"))
    assert result.verdict == "redirect"
    if method is MASQUERADE:
        assert result.packet[TCP].dport == 8080
        answer = bench.run(bench.from_server(8080, 4000, version, flags="A"), "rs")
        assert (answer.verdict, answer.packet[TCP].sport) == ("redirect", 80)
    bench.age(1000)
    assert bench.sweep() == (0, 1)
    assert bench.status(service).destinations[0].active_connections == 0
    assert not bench.tables.maps["rev_tags"].array(abi.REV_LINE)["word"].any()


def test_a_second_record_closes_it(bench: Bench, arrivals: Arrivals) -> None:
    service = bench.service()
    bench.server(service)
    take(arrivals, row())
    taken = take(arrivals, row(state=FIN_WAIT, flags=Flag.INACTIVE, timeout_s=5))
    assert outcomes(taken) == [Outcome.UPDATED]
    (connection,) = bench.connections()
    assert (connection.state, round(connection.expires_s)) == ("FIN_WAIT", 5)
    (destination,) = bench.status(service).destinations
    assert (destination.active_connections, destination.inactive_connections) == (0, 1)


def test_time_0_leaves_it_to_the_state(bench: Bench, arrivals: Arrivals) -> None:
    bench.server(bench.service())
    take(arrivals, row(timeout_s=0, state=FIN_WAIT, flags=Flag.INACTIVE))
    assert [round(c.expires_s) for c in bench.connections()] == [120]


def test_another_destination_replaces_it_and_the_old_ones_end_is_ignored(bench: Bench, arrivals: Arrivals) -> None:
    service = bench.service()
    bench.server(service)
    bench.server(service, "10.2.0.3")
    take(arrivals, row())
    other = {"server": "10.2.0.3"}
    assert outcomes(take(arrivals, row(**other))) == [Outcome.REPLACED]
    assert outcomes(take(arrivals, row(state=FIN_WAIT, flags=Flag.INACTIVE))) == [Outcome.STALE]
    (connection,) = bench.connections()
    assert (str(connection.destination), connection.state) == ("10.2.0.3", "ESTABLISHED")
    counts = [d.active_connections for d in bench.status(service).destinations]
    assert sorted(counts) == [0, 1]


def test_what_is_here_is_kept_where_that_is_asked_for(bench: Bench, arrivals: Arrivals) -> None:
    bench.server(bench.service())
    take(arrivals, row())
    taken = take(arrivals, row(state=FIN_WAIT, flags=Flag.INACTIVE), row(client_port=4001), keep=True)
    assert outcomes(taken) == [Outcome.KNOWN, Outcome.MADE]
    assert [c.state for c in bench.connections()] == ["ESTABLISHED", "ESTABLISHED"]


@pytest.mark.parametrize(
    "odd",
    [
        {"state": 11},
        {"protocol": 17, "state": 1},
        {"protocol": 50},
        {"protocol": 0},
        {"flags": int(Flag.ONE_PACKET)},
        {"flags": int(Flag.NO_CLIENT_PORT)},
        {"client": CLIENT[6]},
    ],
)
def test_what_the_plane_cannot_keep_is_refused(bench: Bench, arrivals: Arrivals, odd: dict[str, int]) -> None:
    bench.server(bench.service())
    bench.server(bench.service(protocol=Protocol.UDP))
    assert outcomes(take(arrivals, row(**odd))) == [Outcome.INVALID]
    assert not bench.connections()


def test_an_entry_without_destination_waits_outside(bench: Bench, arrivals: Arrivals) -> None:
    service = bench.service()
    bench.server(service)
    strangers = [row(server="10.2.0.99"), row(virtual="10.9.0.2"), row(virtual_port=81), row(protocol=17, state=0)]
    assert outcomes(take(arrivals, *strangers)) == [Outcome.NO_DESTINATION] * 4
    taken = take(arrivals, *strangers)
    assert list(taken.homeless) == [0, 1, 2, 3]
    (destination,) = bench.status(service).destinations
    bench.plane.apply([DeleteDestination(service=service, key=destination.destination.key)])
    assert outcomes(take(arrivals, row())) == [Outcome.NO_DESTINATION], "one in the trash takes none"
    bench.plane.apply([AddDestination(service=service, destination=destination.destination)])
    assert outcomes(take(arrivals, row())) == [Outcome.MADE]


def test_a_template_binds_the_clients_network(bench: Bench, arrivals: Arrivals) -> None:
    key = ServiceKey(protocol=Protocol.TCP, address=ip_address(VIP[4]), port=80)
    service = Service(key=key, scheduler="rr", persistent_s=200, persistence_prefix=24)
    bench.plane.apply([AddService(service=service)])
    bench.server(key)
    bench.server(key, "10.2.0.3")
    template = row(client="10.1.0.0", client_port=0, flags=Flag.TEMPLATE, state=1, server="10.2.0.2", timeout_s=50)
    assert outcomes(take(arrivals, template)) == [Outcome.MADE]
    (shown,) = bench.connections()
    assert (shown.is_template, shown.state, round(shown.expires_s)) == (True, "ASSURED", 50)
    for _ in range(4):  # rr would alternate
        bench.run(bench.to_vip(flags="S"))
    ends = {str(c.destination) for c in bench.connections()}
    assert ends == {"10.2.0.2"}
    template_life = next(c.expires_s for c in bench.connections() if c.is_template)
    assert round(template_life) == 200, "each connection gives it the service's time"


@pytest.mark.parametrize("version", [4, 6])
def test_a_marks_template(bench: Bench, arrivals: Arrivals, version: int) -> None:
    any_address = "0.0.0.0" if version == 4 else "::"
    key = ServiceKey(protocol=Protocol.IP, address=ip_address(any_address), port=0, mark=99)
    bench.plane.apply([AddService(service=Service(key=key, scheduler="rr", persistent_s=200))])
    bench.server(key, SERVER[version], method=DIRECT, port=0)
    mark = "0.0.0.99" if version == 4 else "0:63::"
    fields = {"client_port": 0, "virtual": mark, "virtual_port": 0, "server_port": 0, "protocol": 0, "state": 0}
    template = row(version, **fields, mark=99, flags=Flag.TEMPLATE | 0x83, timeout_s=77)
    assert outcomes(take(arrivals, template)) == [Outcome.MADE]
    (shown,) = bench.connections()
    assert (shown.is_template, shown.mark) == (True, 99)
    departures = Departures(bench.tables, anything_new)
    (back,) = told(departures)
    assert back == row(version, **fields, mark=99, flags=Flag.TEMPLATE | Flag.INACTIVE | 0x83, timeout_s=77)[0]


def test_a_connection_of_all_ports_goes_to_the_port_that_was_asked_for(bench: Bench, arrivals: Arrivals) -> None:
    key = ServiceKey(protocol=Protocol.TCP, address=ip_address(VIP[4]), port=0)
    bench.plane.apply([AddService(service=Service(key=key, scheduler="rr", persistent_s=200))])
    bench.server(key, port=0)
    assert outcomes(take(arrivals, row(virtual_port=2222, server_port=2222))) == [Outcome.MADE]
    result = bench.run(bench.to_vip(sport=4000, dport=2222, flags="A"))
    assert (result.verdict, result.packet[TCP].dport) == ("redirect", 2222)


# ---- round ----


def test_what_came_in_is_not_told_back_until_a_packet_changes_it(bench: Bench, arrivals: Arrivals) -> None:
    bench.server(bench.service())
    departures = Departures(bench.tables, EveryConnection())
    taken = take(arrivals, row())
    departures.learned(taken.slots)
    assert not told(departures)
    bench.run(bench.to_vip(sport=4000, flags="FA"))
    assert len(told(departures)) == 1


def test_a_whole_table_round(net: Net, tables_of: Callable[[Capacity], Tables]) -> None:
    """A table, told to another, told back, is the same table; and the counts are right."""
    bench = Bench(net, "tc", tables_of(CAPACITY))
    for version in (4, 6):
        bench.server(bench.service(version))
        bench.server(bench.service(version, Protocol.UDP), method=DIRECT, port=80)
    for port in range(3000, 3400):
        version = 4 + 2 * (port % 2)
        bench.run(bench.to_vip(version, UDP, port) if port % 3 else bench.to_vip(version, TCP, port, flags="S"))
        if port % 3 == 0:
            bench.run(bench.from_server(8080, port, version, flags="SA"), "rs")
            bench.run(bench.to_vip(version, TCP, port, flags="A"))
    before = told(Departures(bench.tables, EveryConnection()))
    assert len(before) == 400
    counts = _counts(bench)
    bench.age(2000)
    assert bench.sweep() == (0, 400)
    way = Arrivals(bench.tables)
    taken = way.take(Entries(np.array(before)))
    way.close()
    assert taken.count(Outcome.MADE) == 400
    after = told(Departures(bench.tables, anything_new))
    key = ["client", "client_port", "protocol", "version"]
    ordered = [sorted(rows, key=lambda r: [bytes(r[name].tobytes()) for name in key]) for rows in (before, after)]
    assert ordered[0] == ordered[1]
    assert _counts(bench) == counts


def _counts(bench: Bench) -> list[tuple[int, int]]:
    return [(d.active_connections, d.inactive_connections) for s in bench.plane.snapshot() for d in s.destinations]
