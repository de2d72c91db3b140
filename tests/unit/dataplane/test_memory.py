"""The memory plane keeps the port's contract, with a kernel's errors."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from piranha.base.errors import PiranhaError
from piranha.dataplane.memory import MemoryPlane
from piranha.dataplane.port import (
    AddDestination,
    AddService,
    Connection,
    ConnectionFilter,
    DataPlane,
    DeleteDestination,
    DeleteService,
    EditDestination,
    EditService,
    Operation,
    SetTimeouts,
)
from piranha.model.service import (
    Counters,
    Destination,
    DestinationKey,
    ForwardingMethod,
    Protocol,
    Service,
    ServiceEntry,
    ServiceKey,
    Timeouts,
)

WEB = ServiceKey(protocol=Protocol.TCP, address=IPv4Address("10.0.0.100"), port=80)
OTHER = ServiceKey(protocol=Protocol.TCP, address=IPv4Address("10.0.0.101"), port=80)
RIP1 = DestinationKey(address=IPv4Address("10.0.0.11"), port=80)
RIP2 = DestinationKey(address=IPv4Address("10.0.0.12"), port=80)
SERVER1 = Destination(key=RIP1, method=ForwardingMethod.DIRECT)


def connection(client_port: int, destination: DestinationKey = RIP1, state: str = "ESTABLISHED") -> Connection:
    return Connection(
        protocol=Protocol.TCP,
        client=IPv4Address("10.0.0.1"),
        client_port=client_port,
        virtual=WEB.address,
        virtual_port=WEB.port,
        destination=destination.address,
        destination_port=destination.port,
        state=state,
        expires_s=900,
    )


@pytest.fixture
def plane() -> MemoryPlane:
    made = MemoryPlane()
    made.apply([AddService(service=Service(key=WEB)), AddDestination(service=WEB, destination=SERVER1)])
    return made


def test_it_is_a_data_plane(plane: MemoryPlane) -> None:
    port: DataPlane = plane
    assert port.snapshot()[0].entry == ServiceEntry(service=Service(key=WEB), destinations=(SERVER1,))
    assert port.status().name == "memory"


@pytest.mark.parametrize(
    ("operation", "complaint"),
    [
        (AddService(service=Service(key=WEB)), "tcp 10.0.0.100:80: it exists already"),
        (AddService(service=Service(key=OTHER, scheduler="lblc")), "no scheduler lblc"),
        (EditService(service=Service(key=WEB, scheduler="lblc")), "no scheduler lblc"),
        (EditService(service=Service(key=OTHER)), "edit service tcp 10.0.0.101:80: no such service"),
        (DeleteService(key=OTHER), "delete service tcp 10.0.0.101:80: no such service"),
        (AddDestination(service=OTHER, destination=SERVER1), "no such service"),
        (AddDestination(service=WEB, destination=SERVER1), "10.0.0.11:80 to tcp 10.0.0.100:80: it exists already"),
        (
            EditDestination(service=WEB, destination=Destination(key=RIP2, method=ForwardingMethod.DIRECT)),
            "edit destination 10.0.0.12:80 of tcp 10.0.0.100:80: no such destination",
        ),
        (DeleteDestination(service=WEB, key=RIP2), "no such destination"),
    ],
)
def test_what_a_kernel_refuses_is_refused_by_name(plane: MemoryPlane, operation: Operation, complaint: str) -> None:
    before = plane.snapshot()
    with pytest.raises(PiranhaError, match=complaint):
        plane.apply([operation])
    assert plane.snapshot() == before


def test_operations_before_the_failing_one_stay(plane: MemoryPlane) -> None:
    with pytest.raises(PiranhaError):
        plane.apply([AddService(service=Service(key=OTHER)), DeleteDestination(service=WEB, key=RIP2)])
    assert [s.service.key for s in plane.snapshot()] == [WEB, OTHER]


def test_edits_keep_counters_and_connections(plane: MemoryPlane) -> None:
    plane.inject_connection(connection(1000))
    plane.inject_connection(connection(1001, state="FIN_WAIT"))
    plane.inject_traffic(WEB, RIP1, Counters(in_packets=5, in_bytes=500))
    plane.apply(
        [
            EditService(service=Service(key=WEB, scheduler="rr")),
            EditDestination(
                service=WEB, destination=Destination(key=RIP1, method=ForwardingMethod.MASQUERADE, weight=0)
            ),
        ]
    )
    (status,) = plane.snapshot()
    assert status.service.scheduler == "rr"
    (server,) = status.destinations
    assert (server.destination.weight, server.destination.method) == (0, ForwardingMethod.MASQUERADE)
    assert (server.active_connections, server.inactive_connections) == (1, 1)
    assert server.counters == status.counters == Counters(connections=2, in_packets=5, in_bytes=500)


def test_connections_are_filtered_counted_and_bounded(plane: MemoryPlane) -> None:
    for port in range(10):
        plane.inject_connection(connection(port, RIP1 if port % 2 else RIP2))
    page = plane.connections(ConnectionFilter(destination=RIP2.address, limit=3))
    assert page.total == 5
    assert [row.client_port for row in page.rows] == [0, 2, 4]
    assert plane.connections(ConnectionFilter(protocol=Protocol.UDP)).total == 0
    assert plane.connections(ConnectionFilter(state="FIN_WAIT")).total == 0
    assert plane.connections(ConnectionFilter(virtual=WEB.address, virtual_port=81)).total == 0
    assert plane.connections(ConnectionFilter(client=IPv4Address("10.0.0.2"))).total == 0


def test_connection_counts_by_protocol_and_activity(plane: MemoryPlane) -> None:
    plane.inject_connection(connection(1))
    plane.inject_connection(connection(2, state="TIME_WAIT"))
    plane.inject_connection(connection(3, state="SYN_RECV"))
    assert plane.connection_counts().tolist() == [[2, 1], [0, 0]]


def test_zero_leaves_a_timeout(plane: MemoryPlane) -> None:
    plane.apply([SetTimeouts(timeouts=Timeouts(tcp_s=60))])
    assert plane.timeouts() == Timeouts(tcp_s=60, tcp_fin_s=120, udp_s=300)


def test_a_plane_told_to_fail_fails_for_that_service_only(plane: MemoryPlane) -> None:
    plane.fail_on.add(WEB)
    with pytest.raises(PiranhaError, match="no space left"):
        plane.apply([EditService(service=Service(key=WEB, scheduler="rr"))])
    plane.apply([AddService(service=Service(key=OTHER))])
    assert plane.applied[-1] == AddService(service=Service(key=OTHER))
