"""Runs inside the guest, as root of a kernel with IPVS: every operation against the kernel and Debian's ipvsadm.

`test_ipvs_plane.py` starts it; outside a guest nothing collects it.
"""

from __future__ import annotations

import json
import os
import random
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from piranha.base.paths import Paths
from piranha.dataplane.ipvs.plane import STATE_FILE, IpvsPlane, unload
from piranha.dataplane.plan import foreign_conflicts, plan
from piranha.dataplane.port import (
    AddDestination,
    AddService,
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
    SetSettings,
    SetTimeouts,
    StartDaemon,
    StopDaemon,
    SyncDaemon,
    SyncRole,
    ZeroCounters,
)
from piranha.model.rules import PlaneRules
from piranha.model.service import (
    Counters,
    Destination,
    DestinationKey,
    ForwardingMethod,
    Protocol,
    SchedulerFlag,
    Service,
    ServiceEntry,
    ServiceKey,
    Timeouts,
    TunnelChecksum,
    TunnelType,
)
from piranha.sync.conductor import Conductor
from piranha.sync.role import PairRole, SettableRole
from piranha.sync.settings import SyncSettings
from tests.uml.ipvs_netlink import FLUSH, IpvsSocket

TCP, UDP, SCTP = Protocol.TCP, Protocol.UDP, Protocol.SCTP
NAT, DIRECT, TUNNEL = ForwardingMethod.MASQUERADE, ForwardingMethod.DIRECT, ForwardingMethod.TUNNEL
SCHEDULERS = ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh")
WAIT_S = 8.0


def ipvsadm(*words: str, text: str | None = None) -> str:
    done = subprocess.run(["ipvsadm", *words], capture_output=True, text=True, input=text)
    assert done.returncode == 0, done.stderr
    return done.stdout


def saved() -> list[str]:
    """ipvsadm's own reading of the table, as the commands that make it."""
    return [line.strip() for line in ipvsadm("-Sn").splitlines()]


def key(address: str, port: int = 80, protocol: Protocol = TCP) -> ServiceKey:
    return ServiceKey(protocol=protocol, address=ip_address(address), port=port)


def dest(address: str, port: int = 80, method: ForwardingMethod = DIRECT, weight: int = 1) -> Destination:
    return Destination(key=DestinationKey(address=ip_address(address), port=port), method=method, weight=weight)


def wait_for(what: str, condition: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < until, f"in {WAIT_S} s never: {what}"
        time.sleep(0.02)


def refusal_of(plane: DataPlane, operation: Operation) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        plane.apply([operation])
    return caught.value


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(config=tmp_path / "lvs.cf", run=tmp_path / "run", state=tmp_path / "state", etc=tmp_path / "etc")


@pytest.fixture
def plane(paths: Paths) -> Iterator[IpvsPlane]:
    # The suite's own netlink: ipvsadm -C would do, but a process costs a tenth of a second here.
    reference = IpvsSocket()
    reference.change(FLUSH)
    opened = IpvsPlane.open(paths)
    yield opened
    opened.close()
    reference.change(FLUSH)
    reference.close()


V4, V6 = key("10.1.0.1"), key("fd00::1")
SERVICES = [
    *((Service(key=V4, scheduler=name), f"-A -t 10.1.0.1:80 -s {name}") for name in SCHEDULERS),
    (Service(key=key("10.1.0.2", 53, UDP), scheduler="rr"), "-A -u 10.1.0.2:53 -s rr"),
    (Service(key=key("10.1.0.2", 99, SCTP), scheduler="rr"), "-A --sctp-service 10.1.0.2:99 -s rr"),
    (Service(key=V6, scheduler="wlc"), "-A -t [fd00::1]:80 -s wlc"),
    (Service(key=ServiceKey.of_mark(5), scheduler="rr"), "-A -f 5 -s rr"),
    (Service(key=ServiceKey.of_mark(2**31 - 1, 6), scheduler="rr"), "-A -f 2147483647 -6 -s rr"),
    (Service(key=V4, scheduler="rr", persistent_s=360), "-A -t 10.1.0.1:80 -s rr -p 360"),
    (
        Service(key=V4, scheduler="rr", persistent_s=600, persistence_prefix=24),
        "-A -t 10.1.0.1:80 -s rr -p 600 -M 255.255.255.0",
    ),
    (
        Service(key=key("fd00::1", 0), scheduler="rr", persistent_s=300, persistence_prefix=64),
        "-A -t [fd00::1]:0 -s rr -p 300 -M 64",
    ),
    (Service(key=ServiceKey.of_mark(7, 6), scheduler="wrr", persistent_s=60), "-A -f 7 -6 -s wrr -p 60"),
    (Service(key=key("10.1.0.2", 53, UDP), scheduler="rr", one_packet=True), "-A -u 10.1.0.2:53 -s rr -o"),
    (
        Service(key=V4, scheduler="sh", flags=SchedulerFlag.SCHED1 | SchedulerFlag.SCHED2),
        "-A -t 10.1.0.1:80 -s sh -b sh-fallback,sh-port",
    ),
    (Service(key=V4, scheduler="mh", flags=SchedulerFlag.SCHED2), "-A -t 10.1.0.1:80 -s mh -b mh-port"),
    (Service(key=V4, scheduler="rr", flags=SchedulerFlag.SCHED3), "-A -t 10.1.0.1:80 -s rr -b flag-3"),
    (
        Service(key=key("10.1.0.2", 5060, UDP), scheduler="rr", persistent_s=60, engine="sip"),
        "-A -u 10.1.0.2:5060 -s rr -p 60 --pe sip",
    ),
]


@pytest.mark.parametrize(("service", "line"), SERVICES, ids=[line for _, line in SERVICES])
def test_a_service_is_what_ipvsadm_saves_and_reads_back(plane: IpvsPlane, service: Service, line: str) -> None:
    plane.apply([AddService(service=service)])
    assert saved() == [line]
    (status,) = plane.snapshot()
    assert status.service == service
    assert not status.foreign


def test_a_service_without_scheduler(plane: IpvsPlane) -> None:
    """ipvsadm knows nothing special of `none`: it takes any name."""
    service = Service(key=V4, scheduler="none")
    plane.apply([AddService(service=service)])
    assert plane.snapshot()[0].service == service
    assert saved() == ["-A -t 10.1.0.1:80 -s none"]


DESTINATIONS = [
    (V4, dest("10.2.0.1", 8080, NAT, 3), "-a -t 10.1.0.1:80 -r 10.2.0.1:8080 -m -w 3"),
    (V4, dest("10.2.0.1"), "-a -t 10.1.0.1:80 -r 10.2.0.1:80 -g -w 1"),
    (V4, dest("10.2.0.1", weight=0), "-a -t 10.1.0.1:80 -r 10.2.0.1:80 -g -w 0"),
    (V4, dest("10.2.0.1", weight=2**31 - 1), "-a -t 10.1.0.1:80 -r 10.2.0.1:80 -g -w 2147483647"),
    (V4, dest("10.2.0.1", method=TUNNEL), "-a -t 10.1.0.1:80 -r 10.2.0.1:80 -i -w 1 --tun-type ipip"),
    (
        V4,
        replace(dest("10.2.0.1", method=TUNNEL), tunnel=TunnelType.GUE, tunnel_port=6080),
        "-a -t 10.1.0.1:80 -r 10.2.0.1:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-nocsum",
    ),
    (
        V4,
        replace(
            dest("10.2.0.1", method=TUNNEL),
            tunnel=TunnelType.GUE,
            tunnel_port=6080,
            tunnel_checksum=TunnelChecksum.REMOTE,
        ),
        "-a -t 10.1.0.1:80 -r 10.2.0.1:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-remcsum",
    ),
    (
        V4,
        replace(dest("10.2.0.1", method=TUNNEL), tunnel=TunnelType.GRE, tunnel_checksum=TunnelChecksum.FULL),
        "-a -t 10.1.0.1:80 -r 10.2.0.1:80 -i -w 1 --tun-type gre --tun-csum",
    ),
    (V4, dest("fd00::9", method=TUNNEL), "-a -t 10.1.0.1:80 -r [fd00::9]:80 -i -w 1 --tun-type ipip"),
    (V6, dest("fd00::9", 8080, NAT), "-a -t [fd00::1]:80 -r [fd00::9]:8080 -m -w 1"),
    (ServiceKey.of_mark(5), dest("10.2.0.1", 0), "-a -f 5 -r 10.2.0.1:0 -g -w 1"),
    (ServiceKey.of_mark(5), dest("10.2.0.1", 8080, NAT), "-a -f 5 -r 10.2.0.1:8080 -m -w 1"),
]


@pytest.mark.parametrize(("service", "destination", "line"), DESTINATIONS, ids=[row[2] for row in DESTINATIONS])
def test_a_destination_is_what_ipvsadm_saves_and_reads_back(
    plane: IpvsPlane, service: ServiceKey, destination: Destination, line: str
) -> None:
    plane.apply([AddService(service=Service(key=service, scheduler="rr"))])
    plane.apply([AddDestination(service=service, destination=destination)])
    assert saved()[1:] == [line]
    assert plane.snapshot()[0].entry.destinations == (destination,)


def test_thresholds(plane: IpvsPlane) -> None:
    destination = replace(dest("10.2.0.1"), upper_threshold=100, lower_threshold=80)
    plane.apply([AddService(service=Service(key=V4)), AddDestination(service=V4, destination=destination)])
    assert ipvsadm("-Ln", "--thresholds").splitlines()[-1].split()[1:4] == ["10.2.0.1:80", "100", "80"]
    assert plane.snapshot()[0].entry.destinations == (destination,)


def test_edits_stay_in_place(plane: IpvsPlane) -> None:
    first, second = dest("10.2.0.1"), dest("10.2.0.2")
    plane.apply([AddService(service=Service(key=V4, scheduler="rr", persistent_s=60))])
    plane.apply([AddDestination(service=V4, destination=d) for d in (first, second)])
    quiesced = replace(first, weight=0)
    service = Service(key=V4, scheduler="sh", flags=SchedulerFlag.SCHED2)
    plane.apply([EditService(service=service), EditDestination(service=V4, destination=quiesced)])
    assert plane.snapshot()[0].entry == ServiceEntry(service=service, destinations=(quiesced, second))
    assert saved() == [
        "-A -t 10.1.0.1:80 -s sh -b sh-port",
        "-a -t 10.1.0.1:80 -r 10.2.0.1:80 -g -w 0",
        "-a -t 10.1.0.1:80 -r 10.2.0.2:80 -g -w 1",
    ]
    plane.apply([DeleteDestination(service=V4, key=first.key)])
    assert plane.snapshot()[0].entry.destinations == (second,)
    plane.apply([DeleteService(key=V4)])
    assert plane.snapshot() == ()


def test_an_engine_goes_with_an_edit_that_has_none(plane: IpvsPlane) -> None:
    service = Service(key=key("10.1.0.2", 5060, UDP), scheduler="rr", persistent_s=60, engine="sip")
    plane.apply([AddService(service=service), EditService(service=replace(service, engine=""))])
    assert plane.snapshot()[0].service.engine == ""


def test_the_order_is_that_of_addition(plane: IpvsPlane) -> None:
    keys = [key(f"10.1.{number}.1") for number in random.Random(1).sample(range(200), 40)]
    servers = [dest(f"10.2.0.{number}") for number in (9, 3, 7)]
    for one in keys:
        plane.apply(
            [AddService(service=Service(key=one)), *(AddDestination(service=one, destination=d) for d in servers)]
        )
    assert [status.service.key for status in plane.snapshot()] == keys
    assert {status.entry.destinations for status in plane.snapshot()} == {tuple(servers)}


GOOD = Service(key=V4, scheduler="rr")
SERVER = dest("10.2.0.1")
REFUSED: list[tuple[str, Operation, RefusalKind]] = [
    ("service exists", AddService(service=GOOD), RefusalKind.EXISTS),
    ("no scheduler", AddService(service=Service(key=V6, scheduler="zzz")), RefusalKind.NO_SCHEDULER),
    ("no scheduler on edit", EditService(service=replace(GOOD, scheduler="zzz")), RefusalKind.NO_SCHEDULER),
    (
        "no engine",
        AddService(service=Service(key=V6, scheduler="rr", persistent_s=60, engine="zzz")),
        RefusalKind.NO_SCHEDULER,
    ),
    ("edit of no service", EditService(service=Service(key=V6)), RefusalKind.NO_SERVICE),
    ("delete of no service", DeleteService(key=V6), RefusalKind.NO_SERVICE),
    ("zero of no service", ZeroCounters(key=V6), RefusalKind.NO_SERVICE),
    ("destination exists", AddDestination(service=V4, destination=SERVER), RefusalKind.EXISTS),
    ("destination of no service", AddDestination(service=V6, destination=dest("fd00::9")), RefusalKind.NO_SERVICE),
    ("edit of no destination", EditDestination(service=V4, destination=dest("10.2.0.9")), RefusalKind.NO_DESTINATION),
    (
        "delete of no destination",
        DeleteDestination(service=V4, key=dest("10.2.0.9").key),
        RefusalKind.NO_DESTINATION,
    ),
    ("multicast server", AddDestination(service=V4, destination=dest("224.0.0.9")), RefusalKind.INVALID),
    ("other family", AddDestination(service=V4, destination=dest("fd00::9")), RefusalKind.INVALID),
    (
        "gue without port",
        AddDestination(service=V4, destination=replace(dest("10.2.0.9", method=TUNNEL), tunnel=TunnelType.GUE)),
        RefusalKind.INVALID,
    ),
    (
        "lower above upper",
        AddDestination(service=V4, destination=replace(dest("10.2.0.9"), upper_threshold=1, lower_threshold=2)),
        RefusalKind.RANGE,
    ),
    ("direct to another port", AddDestination(service=V4, destination=dest("10.2.0.9", 81)), RefusalKind.INVALID),
    (
        "tunnel to another port",
        AddDestination(service=V4, destination=dest("10.2.0.9", 81, TUNNEL)),
        RefusalKind.INVALID,
    ),
    ("v6 prefix", AddService(service=Service(key=V6, persistent_s=9, persistence_prefix=129)), RefusalKind.INVALID),
    ("stop of no daemon", StopDaemon(role=SyncRole.MASTER), RefusalKind.NO_SERVICE),
    (
        "daemon on no interface",
        StartDaemon(daemon=SyncDaemon(role=SyncRole.MASTER, interface="nowhere")),
        RefusalKind.INVALID,
    ),
    ("half a second", SetTimeouts(timeouts=Timeouts(tcp_s=1.5)), RefusalKind.RANGE),
]


@pytest.mark.parametrize(("operation", "kind"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refusals_have_their_kind_and_change_nothing(plane: IpvsPlane, operation: Operation, kind: RefusalKind) -> None:
    plane.apply([AddService(service=GOOD), AddDestination(service=V4, destination=SERVER)])
    before = saved()
    error = refusal_of(plane, operation)
    assert error.kind is kind, str(error)
    assert saved() == before


def test_what_was_before_a_refusal_stays(plane: IpvsPlane) -> None:
    with pytest.raises(RefusedError, match=r"add service tcp \[fd00::1\]:80: the kernel has no scheduler zzz"):
        plane.apply(
            [AddService(service=GOOD), AddService(service=Service(key=V6, scheduler="zzz")), DeleteService(key=V4)]
        )
    assert saved() == ["-A -t 10.1.0.1:80 -s rr"]


def test_timeouts_and_what_zero_leaves(plane: IpvsPlane) -> None:
    plane.apply([SetTimeouts(timeouts=Timeouts(tcp_s=800, tcp_fin_s=100, udp_s=50))])
    plane.apply([SetTimeouts(timeouts=Timeouts(tcp_fin_s=30))])
    assert ipvsadm("-L", "--timeout") == "Timeout (tcp tcpfin udp): 800 30 50\n"
    assert plane.timeouts() == Timeouts(tcp_s=800, tcp_fin_s=30, udp_s=50)
    plane.apply([SetTimeouts(timeouts=Timeouts(tcp_s=900, tcp_fin_s=120, udp_s=300))])


def test_rules_are_sysctls(plane: IpvsPlane) -> None:
    folder = Path("/proc/sys/net/ipv4/vs")
    assert plane.rules() == PlaneRules()
    wanted = PlaneRules(
        conn_reuse_mode=3, expire_nodest_conn=True, pmtu_disc=False, sloppy_tcp=True, drop_packet=1, secure_tcp=3,
        amemthresh=2**31 - 1, am_droprate=7, lblc_expiration=60, lblcr_expiration=70,
    )  # fmt: skip
    plane.apply([SetSettings(settings=wanted)])
    try:
        assert plane.rules() == wanted
        assert (folder / "conn_reuse_mode").read_text() == "3\n"
        assert (folder / "pmtu_disc").read_text() == "0\n"
        assert (folder / "sloppy_sctp").read_text() == "0\n"
        assert (folder / "drop_packet").read_text() == "2\n", (
            "memory is short: IPVS itself turned it, and it is no difference"
        )
    finally:
        plane.apply([SetSettings(settings=PlaneRules())])
    assert plane.rules() == PlaneRules()


def test_daemons(plane: IpvsPlane) -> None:
    master = SyncDaemon(role=SyncRole.MASTER, interface="lo", sync_id=7)
    backup = SyncDaemon(
        role=SyncRole.BACKUP,
        interface="lo",
        sync_id=9,
        group=ip_address("224.0.0.99"),
        port=9999,
        ttl=3,
        max_length=1100,
    )
    plane.apply([StartDaemon(daemon=master), StartDaemon(daemon=backup)])
    try:
        assert ipvsadm("-L", "--daemon").splitlines() == [
            "master sync daemon (mcast=lo, syncid=7, maxlen=1472, group=224.0.0.81, port=8848, ttl=1)",
            "backup sync daemon (mcast=lo, syncid=9, maxlen=1100, group=224.0.0.99, port=9999, ttl=3)",
        ]
        assert plane.daemons() == (replace(master, max_length=1472), backup)
        again = refusal_of(plane, StartDaemon(daemon=master))
        assert again.kind is RefusalKind.EXISTS
        plane.apply([AddService(service=GOOD)])
        mixed = AddDestination(service=V4, destination=dest("fd00::9", method=TUNNEL))
        assert refusal_of(plane, mixed).kind is RefusalKind.INVALID
    finally:
        plane.apply([StopDaemon(role=SyncRole.MASTER), StopDaemon(role=SyncRole.BACKUP)])
    assert plane.daemons() == ()
    assert ipvsadm("-L", "--daemon") == ""


def test_a_daemon_with_an_ipv6_group(plane: IpvsPlane) -> None:
    daemon = SyncDaemon(role=SyncRole.MASTER, interface="lo", sync_id=1, group=ip_address("ff02::51"), max_length=1400)
    error = refusal_of(plane, StartDaemon(daemon=daemon))
    assert error.kind is RefusalKind.INVALID
    assert "lo cannot send to the group" in str(error)

    subprocess.run(["ip", "link", "add", "sync0", "type", "dummy"], check=True)
    try:
        subprocess.run(["ip", "address", "add", "fd00:5::1/64", "dev", "sync0", "nodad"], check=True)
        subprocess.run(["ip", "link", "set", "sync0", "up"], check=True)
        daemon = replace(daemon, interface="sync0")
        plane.apply([StartDaemon(daemon=daemon)])
        assert plane.daemons() == (daemon,)
        plane.apply([StopDaemon(role=SyncRole.MASTER)])
    finally:
        subprocess.run(["ip", "link", "delete", "sync0"], check=True)


def test_lvsd_keeps_the_kernels_daemons_by_file_and_role(plane: IpvsPlane) -> None:
    role = SettableRole()
    conductor = Conductor(plane, SyncSettings(enabled=True, interface="lo", sync_id=7, max_length=1100), role)
    try:
        conductor.converge()
        assert {daemon.role for daemon in plane.daemons()} == set(SyncRole)
        plane.apply([StopDaemon(role=SyncRole.MASTER)])  # somebody else
        for wanted in (PairRole.STANDALONE, PairRole.ACTIVE, PairRole.BACKUP):
            role.set(wanted)
            for _ in range(2):
                conductor.converge()
                assert conductor.problem == ""
                assert {daemon.role for daemon in plane.daemons()} == wanted.daemons
        conductor.configure(SyncSettings(enabled=True, interface="lo", sync_id=8))
        conductor.converge()
        assert [(daemon.sync_id, daemon.max_length) for daemon in plane.daemons()] == [(8, 65507)]
    finally:
        conductor.configure(SyncSettings())
        conductor.converge()
    assert plane.daemons() == ()


def test_a_daemon_does_not_start_beside_mixed_families(plane: IpvsPlane) -> None:
    plane.apply([AddService(service=GOOD), AddDestination(service=V4, destination=dest("fd00::9", method=TUNNEL))])
    error = refusal_of(plane, StartDaemon(daemon=SyncDaemon(role=SyncRole.MASTER, interface="lo")))
    assert error.kind is RefusalKind.INVALID
    assert "family" in error.mend


def test_capabilities_are_what_this_kernel_loads(plane: IpvsPlane) -> None:
    """Linux 6.1 as Debian builds it for user mode has no twos."""
    assert plane.capabilities.schedulers == frozenset((*SCHEDULERS, "none"))
    assert plane.capabilities.scheduler_flags == {"sh", "mh"}
    assert plane.capabilities.engines == {"sip"}
    assert plane.capabilities.tunnels == set(TunnelType)
    assert plane.snapshot() == ()  # and the question left nothing behind


def test_status_says_the_version(plane: IpvsPlane) -> None:
    status = plane.status()
    assert status.name == "ipvs"
    assert status.hooks == {}
    assert status.notes == (ipvsadm("-Ln").splitlines()[0],)


class Echo:
    """Sockets on loopback: a server, and connections through the service in front of it."""

    def __init__(self, address: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.server = socket.create_server((address, port), family=family)
        self.clients: list[socket.socket] = []

    def connect(self, address: str, port: int, mark: int = 0) -> int:
        client = socket.socket(self.server.family, socket.SOCK_STREAM)
        self.clients.append(client)
        client.settimeout(WAIT_S)
        if mark:
            client.setsockopt(socket.SOL_SOCKET, 36, mark)  # SO_MARK
        client.connect((address, port))
        self.clients.append(self.server.accept()[0])
        return int(client.getsockname()[1])

    def close(self) -> None:
        for one in (*self.clients, self.server):
            one.close()


@pytest.fixture
def echo() -> Iterator[Callable[[str, int], Echo]]:
    made: list[Echo] = []

    def make(address: str, port: int) -> Echo:
        made.append(Echo(address, port))
        return made[-1]

    yield make
    for one in made:
        one.close()


def rows(plane: DataPlane, **wanted: object) -> tuple[Connection, ...]:
    return plane.connections(ConnectionFilter(**wanted)).rows  # type: ignore[arg-type]


@pytest.mark.parametrize(("address", "port"), [("127.0.0.1", 8101), ("::1", 8102)])
def test_a_connection_is_listed_and_counted(
    plane: IpvsPlane, echo: Callable[[str, int], Echo], address: str, port: int
) -> None:
    service = key(address, port)
    plane.apply([AddService(service=Service(key=service, scheduler="rr"))])
    plane.apply([AddDestination(service=service, destination=dest(address, port + 1000, NAT))])
    server = echo(address, port + 1000)
    client_port = server.connect(address, port)
    page = plane.connections(ConnectionFilter(virtual_port=port))
    assert page.total == 1
    (row,) = page.rows
    assert (row.protocol, row.client, row.client_port) == (TCP, ip_address(address), client_port)
    assert (row.virtual, row.virtual_port) == (service.address, port)
    assert (row.destination, row.destination_port) == (service.address, port + 1000)
    assert row.state == "ESTABLISHED"
    assert 890 <= row.expires_s <= 900
    assert not row.is_template
    (destination,) = plane.snapshot()[0].destinations
    assert (destination.active_connections, destination.inactive_connections) == (1, 0)
    assert plane.connection_counts().tolist() == [[1, 0], [0, 0]]
    assert plane.status().connections == 1

    assert len(rows(plane, virtual_port=port, client=service.address, destination=service.address)) == 1
    assert len(rows(plane, virtual_port=port, state="established", protocol=TCP, virtual=service.address)) == 1
    assert rows(plane, virtual_port=port, protocol=UDP) == ()
    assert rows(plane, virtual_port=port, state="TIME_WAIT") == ()
    assert rows(plane, virtual_port=port, destination=ip_address("10.2.0.1")) == ()
    server.connect(address, port)
    limited = plane.connections(ConnectionFilter(virtual_port=port, limit=1))
    assert (limited.total, len(limited.rows)) == (2, 1)
    assert len(rows(plane, virtual_port=port, limit=-1)) == 2


def test_counters_and_their_zero(plane: IpvsPlane, echo: Callable[[str, int], Echo]) -> None:
    service = key("127.0.0.1", 8111)
    plane.apply([AddService(service=Service(key=service, scheduler="rr"))])
    plane.apply([AddDestination(service=service, destination=dest("127.0.0.1", 9111, NAT))])
    echo("127.0.0.1", 9111).connect("127.0.0.1", 8111)
    # The kernel brings its counters up to date every two seconds.
    wait_for("a counted connection", lambda: plane.snapshot()[0].counters.connections == 1)
    status = plane.snapshot()[0]
    assert status.counters.in_packets >= 2
    assert status.counters.in_bytes >= 2 * 40
    assert status.destinations[0].counters == status.counters
    conns, in_packets, out_packets, in_bytes, out_bytes = (
        int(word) for word in ipvsadm("-Ln", "--stats", "--exact", "-t", "127.0.0.1:8111").splitlines()[-2].split()[2:]
    )
    assert status.counters == Counters(
        connections=conns, in_packets=in_packets, out_packets=out_packets, in_bytes=in_bytes, out_bytes=out_bytes
    )
    plane.apply([ZeroCounters(key=service)])
    assert plane.snapshot()[0].counters == Counters()
    assert plane.snapshot()[0].destinations[0].counters == Counters()


def test_zero_of_everything_leaves_the_services_of_others(
    plane: IpvsPlane, paths: Paths, echo: Callable[[str, int], Echo]
) -> None:
    ipvsadm("-A", "-t", "127.0.0.1:8121", "-s", "rr")
    ipvsadm("-a", "-t", "127.0.0.1:8121", "-r", "127.0.0.1:9121", "-m")
    echo("127.0.0.1", 9121).connect("127.0.0.1", 8121)
    wait_for("a counted connection", lambda: plane.snapshot()[0].counters.connections == 1)
    plane.apply([ZeroCounters()])
    assert plane.snapshot()[0].counters.connections == 1
    adm = IpvsPlane.open(paths, touch_foreign=True)
    adm.apply([ZeroCounters()])
    adm.close()
    assert plane.snapshot()[0].counters.connections == 0


def test_templates_of_addresses_and_marks(plane: IpvsPlane, echo: Callable[[str, int], Echo]) -> None:
    service, mark = key("127.0.0.1", 8131), ServiceKey.of_mark(77)
    plane.apply([AddService(service=Service(key=service, scheduler="rr", persistent_s=300, persistence_prefix=24))])
    plane.apply([AddDestination(service=service, destination=dest("127.0.0.1", 9131, NAT))])
    plane.apply([AddService(service=Service(key=mark, scheduler="rr", persistent_s=200))])
    plane.apply([AddDestination(service=mark, destination=dest("127.0.0.1", 0, NAT))])
    echo("127.0.0.1", 9131).connect("127.0.0.1", 8131)
    echo("127.0.0.1", 9132).connect("127.0.0.1", 9132, mark=77)
    (template,) = (row for row in rows(plane, virtual_port=8131) if row.is_template)
    assert (template.protocol, template.client, template.client_port) == (TCP, ip_address("127.0.0.0"), 0)
    assert template.state == "ASSURED"
    assert 290 <= template.expires_s <= 300
    (template,) = rows(plane, protocol=Protocol.IP)
    assert template.is_template
    assert (template.mark, template.client, template.virtual_port) == (77, ip_address("127.0.0.1"), 0)
    assert plane.snapshot()[0].destinations[0].persistent_connections == 1
    assert plane.connection_counts().tolist() == [[2, 0], [0, 0]]


def test_a_template_of_the_sip_engine(plane: IpvsPlane) -> None:
    service = key("127.0.0.1", 8141, UDP)
    plane.apply([AddService(service=Service(key=service, scheduler="rr", persistent_s=60, engine="sip"))])
    plane.apply([AddDestination(service=service, destination=dest("127.0.0.1", 9141, NAT))])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", 8141))
        client.send(b"INVITE sip:a@b SIP/2.0\r\nCall-ID: abc123@host\r\n\r\n")
    (template,) = (row for row in rows(plane, virtual_port=8141) if row.is_template)
    assert (template.engine, template.engine_data) == ("sip", "abc123@host")
    assert plane.connection_counts().tolist() == [[0, 0], [0, 1]]


FOREIGN = "-A -t 10.9.9.9:80 -s rr\n-a -t 10.9.9.9:80 -r 10.2.0.9:80 -g -w 3\n"


def test_a_service_of_others_is_shown_and_never_touched(plane: IpvsPlane) -> None:
    ipvsadm("-R", text=FOREIGN)
    other = key("10.9.9.9")
    plane.apply([AddService(service=GOOD)])
    mine, theirs = plane.snapshot()
    assert (mine.foreign, theirs.foreign) == (False, True)
    assert theirs.entry == ServiceEntry(
        service=Service(key=other, scheduler="rr"), destinations=(dest("10.2.0.9", weight=3),)
    )
    operations: Sequence[Operation] = (
        EditService(service=Service(key=other, scheduler="wrr")),
        DeleteService(key=other),
        AddDestination(service=other, destination=SERVER),
        EditDestination(service=other, destination=dest("10.2.0.9", weight=9)),
        DeleteDestination(service=other, key=dest("10.2.0.9").key),
        ZeroCounters(key=other),
    )
    for operation in operations:
        error = refusal_of(plane, operation)
        assert error.kind is RefusalKind.INVALID
        assert "another program made this service" in str(error)
    assert refusal_of(plane, AddService(service=Service(key=other))).kind is RefusalKind.EXISTS
    assert plane.snapshot()[1].foreign
    plane.apply([Clear()])
    assert "".join(line + "\n" for line in saved()) == FOREIGN


def test_a_plan_goes_round_the_services_of_others(plane: IpvsPlane) -> None:
    ipvsadm("-R", text=FOREIGN)
    desired = [
        ServiceEntry(service=Service(key=key("10.9.9.9"), scheduler="wlc"), destinations=(SERVER,)),
        ServiceEntry(service=GOOD, destinations=(SERVER,)),
    ]
    assert foreign_conflicts(plane.snapshot(), desired) == (key("10.9.9.9"),)
    plane.apply(plan(plane.snapshot(), desired))
    plane.apply(plan(plane.snapshot(), desired))
    assert [line for line in saved() if "10.9.9.9" in line] == FOREIGN.splitlines()
    assert plan(plane.snapshot(), []) == [DeleteService(key=V4)]


def test_ipvsadm_s_plane_changes_every_service_and_owns_none(plane: IpvsPlane, paths: Paths) -> None:
    plane.apply([AddService(service=GOOD)])
    ipvsadm("-R", text=FOREIGN)
    adm = IpvsPlane.open(paths, touch_foreign=True)
    adm.apply([EditService(service=Service(key=key("10.9.9.9"), scheduler="wrr")), AddService(service=Service(key=V6))])
    adm.apply([EditService(service=replace(GOOD, scheduler="wrr"))])
    assert {status.service.key: status.foreign for status in plane.snapshot()} == {
        V4: False, V6: True, key("10.9.9.9"): True,
    }  # fmt: skip
    adm.apply([Clear()])
    adm.close()
    assert saved() == []
    assert plane.snapshot() == ()


def test_ours_are_known_again_after_a_restart(plane: IpvsPlane, paths: Paths) -> None:
    keys = [key(f"10.1.{number}.1") for number in (5, 3, 8)]
    plane.apply([AddService(service=Service(key=one)) for one in (*keys, ServiceKey.of_mark(3, 6))])
    ipvsadm("-R", text=FOREIGN)
    ipvsadm("-D", "-t", "10.1.3.1:80")
    again = IpvsPlane.open(paths)
    assert [(status.service.key, status.foreign) for status in again.snapshot()] == [
        (keys[0], False), (keys[2], False), (ServiceKey.of_mark(3, 6), False), (key("10.9.9.9"), True),
    ]  # fmt: skip
    again.close()


def test_a_service_that_others_made_anew_is_theirs(plane: IpvsPlane) -> None:
    plane.apply([AddService(service=GOOD)])
    ipvsadm("-D", "-t", "10.1.0.1:80")
    assert plane.snapshot() == ()
    ipvsadm("-A", "-t", "10.1.0.1:80", "-s", "rr")
    assert plane.snapshot()[0].foreign


def test_a_kill_between_writing_and_making_loses_nothing(plane: IpvsPlane, paths: Paths) -> None:
    plane._ownership.intend([V4, V6])  # as apply does, and then only the first was made
    ipvsadm("-A", "-t", "10.1.0.1:80", "-s", "rr")
    again = IpvsPlane.open(paths)
    assert [(status.service.key, status.foreign) for status in again.snapshot()] == [(V4, False)]
    again.close()


def test_a_record_of_another_boot_is_worth_nothing(plane: IpvsPlane, paths: Paths) -> None:
    plane.apply([AddService(service=GOOD)])
    file = paths.state / STATE_FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | {"table": "another boot/1"}))
    again = IpvsPlane.open(paths)
    assert again.snapshot()[0].foreign
    again.close()


def test_unload_takes_ours_out_and_nothing_else(plane: IpvsPlane, paths: Paths) -> None:
    assert not unload(paths)
    ipvsadm("-R", text=FOREIGN)
    plane.apply([AddService(service=GOOD), AddDestination(service=V4, destination=SERVER)])
    assert unload(paths)
    assert saved() == FOREIGN.splitlines()
    assert not unload(paths)


def test_the_command_takes_ours_out(plane: IpvsPlane, paths: Paths) -> None:
    ipvsadm("-R", text=FOREIGN)
    plane.apply([AddService(service=GOOD), AddDestination(service=V4, destination=SERVER)])
    environment = {
        **os.environ,
        "PIRANHA_CONFIG": str(paths.config),
        "PIRANHA_RUN_DIR": str(paths.run),
        "PIRANHA_STATE_DIR": str(paths.state),
    }
    command = [sys.executable, "-m", "piranha", "unload"]
    said = [subprocess.run(command, env=environment, check=True, capture_output=True, text=True) for _ in range(2)]
    assert saved() == FOREIGN.splitlines()
    assert [done.stderr.strip() for done in said] == [
        "the data plane is out of the kernel",
        "no data plane was in the kernel",
    ]


def test_services_of_others_may_be_taken_over(plane: IpvsPlane, paths: Paths) -> None:
    """What `table_edits = repair` asks for."""
    ipvsadm("-R", text=FOREIGN)
    plane.apply([AddService(service=GOOD)])
    plane.take_over([status.service.key for status in plane.snapshot() if status.foreign])
    again = IpvsPlane.open(paths)
    assert not any(status.foreign for status in again.snapshot())
    again.apply(plan(again.snapshot(), [ServiceEntry(service=GOOD, destinations=())]))
    again.close()
    assert saved() == ["-A -t 10.1.0.1:80 -s " + GOOD.scheduler]


async def test_it_may_be_called_from_a_running_loop(plane: IpvsPlane) -> None:
    plane.apply([AddService(service=GOOD), AddDestination(service=V4, destination=SERVER)])
    assert plane.snapshot()[0].entry == ServiceEntry(service=GOOD, destinations=(SERVER,))


ADDRESSES = [f"10.2.0.{number}" for number in range(1, 5)]


@st.composite
def entries(draw: st.DrawFn, service: ServiceKey) -> ServiceEntry:
    persistent = draw(st.sampled_from([0, 60, 300]))
    servers: list[Destination] = []
    for address in draw(st.lists(st.sampled_from(ADDRESSES), unique=True)):
        upper = draw(st.sampled_from([0, 10]))
        method = draw(st.sampled_from([NAT, DIRECT, TUNNEL]))
        made = Destination(
            key=DestinationKey(address=ip_address(address), port=service.port),
            method=method,
            weight=draw(st.integers(0, 3)),
            upper_threshold=upper,
            lower_threshold=draw(st.integers(0, upper)),
        )
        if method is TUNNEL and draw(st.booleans()):
            made = replace(made, tunnel=TunnelType.GUE, tunnel_port=draw(st.integers(1, 65535)))
        servers.append(made)
    return ServiceEntry(
        service=Service(
            key=service,
            scheduler=draw(st.sampled_from(SCHEDULERS)),
            flags=SchedulerFlag(draw(st.sampled_from([0, 8, 16, 24]))),
            persistent_s=persistent,
            persistence_prefix=draw(st.sampled_from([None, 8, 24])) if persistent else None,
            one_packet=service.protocol is UDP and draw(st.booleans()),
        ),
        destinations=tuple(servers),
    )


KEYS = (V4, key("10.1.0.2", 53, UDP), ServiceKey.of_mark(4), key("10.1.0.1", 443))
TABLES = st.tuples(*(st.none() | entries(one) for one in KEYS)).map(
    lambda found: tuple(entry for entry in found if entry is not None)
)


def as_sets(table: Sequence[ServiceEntry]) -> dict[Service, frozenset[Destination]]:
    return {entry.service: frozenset(entry.destinations) for entry in table}


@settings(
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(before=TABLES, after=TABLES)
def test_a_plan_applied_gives_what_was_desired(
    plane: IpvsPlane, before: tuple[ServiceEntry, ...], after: tuple[ServiceEntry, ...]
) -> None:
    plane.apply([Clear()])
    for desired in (before, after):
        plane.apply(plan(plane.snapshot(), desired))
        assert as_sets([status.entry for status in plane.snapshot()]) == as_sets(desired)
        assert plan(plane.snapshot(), desired) == []


LVS_CF = """\
serial_no = 1
primary = 127.0.0.1
service = lvs
network = nat
dataplane = ipvs
virtual web {{
    active = 1
    address = 127.0.0.1 lo
    port = 8151
    scheduler = wrr
    timeout = 1
    reentry = 1
    server one {{
        address = 127.0.0.1
        port = {port}
        active = 1
        weight = {weight}
    }}
}}
"""


def test_lvsd_switches_by_it_repairs_it_and_leaves_it(plane: IpvsPlane, paths: Paths) -> None:
    """The daemon itself: up with a verdict, drift repaired, foreign left, reload followed, table left at the end."""
    del plane  # only its cleaning is wanted
    ipvsadm("-R", text=FOREIGN)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        port = server.getsockname()[1]
        mine = ["-A -t 127.0.0.1:8151 -s wrr", f"-a -t 127.0.0.1:8151 -r 127.0.0.1:{port} -m -w 2"]
        paths.config.write_text(LVS_CF.format(port=port, weight=2))
        environment = {
            **os.environ,
            "PIRANHA_CONFIG": str(paths.config),
            "PIRANHA_RUN_DIR": str(paths.run),
            "PIRANHA_STATE_DIR": str(paths.state),
        }
        log = paths.config.with_name("log")
        with log.open("wb") as sink:
            daemon = subprocess.Popen([sys.executable, "-m", "piranha", "lvsd"], env=environment, stderr=sink)

        def holds(*lines: str) -> None:
            expected = sorted((*lines, *FOREIGN.splitlines()))
            until = time.monotonic() + 30
            while sorted(saved()) != expected:
                assert daemon.poll() is None, log.read_text()
                assert time.monotonic() < until, f"{shlex.join(saved())}\n{log.read_text()}"
                time.sleep(0.05)

        try:
            holds(*mine)
            ipvsadm("-e", "-t", "127.0.0.1:8151", "-r", f"127.0.0.1:{port}", "-m", "-w", "9")
            holds(*mine)
            ipvsadm("-D", "-t", "127.0.0.1:8151")
            holds(*mine)
            paths.config.write_text(LVS_CF.format(port=port, weight=5))
            daemon.send_signal(signal.SIGHUP)
            mine[1] = mine[1].replace("-w 2", "-w 5")
            holds(*mine)
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(20) == 0, log.read_text()
            holds_after = sorted(saved())
            assert holds_after == sorted((*mine, *FOREIGN.splitlines()))
        finally:
            if daemon.poll() is None:
                daemon.kill()
                daemon.wait()
    assert "drift repaired" in log.read_text()
