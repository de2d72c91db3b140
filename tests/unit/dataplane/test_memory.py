"""The memory plane keeps the port's contract, with a kernel's errors."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest

from piranha.base.errors import PiranhaError
from piranha.dataplane.memory import MemoryPlane
from piranha.dataplane.port import (
    AddDestination,
    AddService,
    Capabilities,
    Clear,
    Connection,
    ConnectionFilter,
    DataPlane,
    DeleteDestination,
    DeleteService,
    EditDestination,
    EditService,
    Operation,
    RefusalKind,
    RefusedError,
    SetTimeouts,
    StartDaemon,
    StopDaemon,
    SyncDaemon,
    SyncRole,
    ZeroCounters,
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


V6 = DestinationKey(address=IPv6Address("fd00::1"), port=80)
MASTER = SyncDaemon(role=SyncRole.MASTER, interface="eth0")


def server(address: str, *, upper: int = 0, lower: int = 0) -> Destination:
    key = DestinationKey(address=IPv4Address(address), port=80)
    return Destination(key=key, method=ForwardingMethod.MASQUERADE, upper_threshold=upper, lower_threshold=lower)


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        (AddService(service=Service(key=WEB)), RefusalKind.EXISTS),
        (AddService(service=Service(key=OTHER, scheduler="nosuch")), RefusalKind.NO_SCHEDULER),
        (AddService(service=Service(key=OTHER, engine="sip")), RefusalKind.NO_SCHEDULER),
        (AddService(service=Service(key=replace(OTHER, port=0))), RefusalKind.INVALID),
        (EditService(service=Service(key=OTHER)), RefusalKind.NO_SERVICE),
        (ZeroCounters(key=OTHER), RefusalKind.NO_SERVICE),
        (AddDestination(service=OTHER, destination=SERVER1), RefusalKind.NO_SERVICE),
        (AddDestination(service=WEB, destination=SERVER1), RefusalKind.EXISTS),
        (AddDestination(service=WEB, destination=server("10.0.0.9", upper=1, lower=2)), RefusalKind.RANGE),
        (AddDestination(service=WEB, destination=server("0.0.0.0")), RefusalKind.INVALID),
        (AddDestination(service=WEB, destination=server("224.0.0.1")), RefusalKind.INVALID),
        (AddDestination(service=WEB, destination=server("255.255.255.255")), RefusalKind.INVALID),
        (
            AddDestination(service=WEB, destination=Destination(key=V6, method=ForwardingMethod.DIRECT)),
            RefusalKind.INVALID,
        ),
        (DeleteDestination(service=WEB, key=RIP2), RefusalKind.NO_DESTINATION),
        (StopDaemon(role=SyncRole.MASTER), RefusalKind.NO_SERVICE),
    ],
)
def test_refusals_have_the_kernels_kind(plane: MemoryPlane, operation: Operation, kind: RefusalKind) -> None:
    with pytest.raises(RefusedError) as refused:
        plane.apply([operation])
    assert refused.value.kind is kind


def test_counters_begin_again_at_zero(plane: MemoryPlane) -> None:
    plane.apply([AddService(service=Service(key=OTHER)), AddDestination(service=OTHER, destination=SERVER1)])
    for key in (WEB, OTHER):
        plane.inject_traffic(key, RIP1, Counters(in_packets=5))
    plane.apply([ZeroCounters(key=WEB)])
    assert [status.counters.in_packets for status in plane.snapshot()] == [0, 5]
    plane.apply([ZeroCounters()])
    assert [status.counters.in_packets for status in plane.snapshot()] == [0, 0]


def test_clearing_leaves_connections(plane: MemoryPlane) -> None:
    plane.inject_connection(connection(1000))
    plane.apply([Clear()])
    assert plane.snapshot() == ()
    assert plane.connections(ConnectionFilter()).total == 1


def test_templates_count_apart(plane: MemoryPlane) -> None:
    plane.inject_connection(replace(connection(0, state="NONE"), is_template=True))
    plane.inject_connection(connection(1000))
    found = plane.snapshot()[0].destinations[0]
    assert (found.active_connections, found.inactive_connections, found.persistent_connections) == (1, 0, 1)
    assert plane.connection_counts().sum() == found.counters.connections == 1


def test_a_marks_connections_count_at_its_service() -> None:
    plane = MemoryPlane(capabilities=Capabilities(schedulers=frozenset({"wlc"}), firewall_marks=True))
    key = ServiceKey.of_mark(7)
    plane.apply([AddService(service=Service(key=key)), AddDestination(service=key, destination=SERVER1)])
    plane.inject_connection(replace(connection(1), mark=7))
    assert plane.snapshot()[0].destinations[0].active_connections == 1


def test_daemons_take_the_lengths_of_their_interface() -> None:
    plane = MemoryPlane(interfaces=["eth0"])
    backup = replace(MASTER, role=SyncRole.BACKUP, group=IPv6Address("ff02::51"))
    plane.apply([StartDaemon(daemon=MASTER), StartDaemon(daemon=backup)])
    assert [daemon.max_length for daemon in plane.daemons()] == [1472, 1452]
    with pytest.raises(RefusedError, match="it runs already"):
        plane.apply([StartDaemon(daemon=MASTER)])
    plane.apply([StopDaemon(role=SyncRole.MASTER), StartDaemon(daemon=replace(MASTER, max_length=100))])
    assert [daemon.max_length for daemon in plane.daemons()] == [1452, 1024]
    plane.apply([StopDaemon(role=SyncRole.MASTER)])
    with pytest.raises(RefusedError, match="no interface eth7"):
        plane.apply([StartDaemon(daemon=replace(MASTER, interface="eth7"))])


def test_a_tunnel_across_families_keeps_daemons_away(plane: MemoryPlane) -> None:
    crossing = Destination(key=V6, method=ForwardingMethod.TUNNEL)
    plane.apply([AddDestination(service=WEB, destination=crossing)])
    with pytest.raises(RefusedError, match="crosses families"):
        plane.apply([StartDaemon(daemon=MASTER)])
