"""`-R`: its lines, its errors, its result; and that it brings back what `-S` saved."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piranha.dataplane.memory import MemoryPlane
from piranha.dataplane.plan import plan
from piranha.dataplane.port import Operation
from piranha.model.service import (
    Destination,
    DestinationKey,
    ForwardingMethod,
    Protocol,
    SchedulerFlag,
    Service,
    ServiceEntry,
    ServiceKey,
    TunnelChecksum,
    TunnelType,
    persistence_prefix,
)
from tests.unit.ipvsadm.recording import KERNEL_SCHEDULERS, Run

TRY = "Try `ipvsadm -h' or 'ipvsadm --help' for more information.\n"


def restored(text: str) -> tuple[int, str, list[int]]:
    """Exit code, stderr, and the ports of the services that are there then."""
    run = Run()
    code, _, err = run(["ipvsadm", "-R"], text)
    return code, err, [status.service.key.port for status in run.plane.snapshot()]


@pytest.mark.parametrize(
    ("text", "code", "err", "ports"),
    [
        ("-A -t 10.0.0.1:1\t-s rr\n", 0, "", [1]),
        ("\t-A -t 10.0.0.1:1\n", 0, "", [1]),
        ("\t\n \n\r\n\n-A -t 10.0.0.1:1", 0, "", [1]),
        ("-A -t 10.0.0.1:1\r\n-A -t 10.0.0.1:2 \r\n", 0, "", [1, 2]),
        ("ipvsadm -A -t 10.0.0.1:1\n  ipvsadm ipvsadm -A ipvsadm -t 10.0.0.1:2 ipvsadm\nipvsadm\n", 0, "", [1, 2]),
        ("/sbin/ipvsadm -A -t 10.0.0.1:1\n", 2, "unexpected argument /sbin/ipvsadm\n", []),
        ("# x\n-A -t 10.0.0.1:1\n", 255, TRY, []),
        ("-A -t 10.0.0.1:1 # c\n-A -t 10.0.0.1:2\n", 2, "unexpected argument #\n", []),
        ("-A -t 10.0.0.1:1\x0b-s rr\n", 2, "illegal virtual server address[:port] specified\n", []),
        ("-A -t 10.0.0.1:1\n-n\n-A -t 10.0.0.1:2\n", 255, TRY, [1]),
        ("-A -t 10.0.0.1:1\n-h\n-A -t 10.0.0.1:2\n", 0, "", [1]),
        ("-A -t 10.0.0.1:1\n-R\n-A -t 10.0.0.1:2\n", 255, TRY, [1]),
        ("-A -t 10.0.0.1:1\n-L -t 1.1.1.1:1\n-A -t 10.0.0.1:2\n", 1, "No such service\n", [1]),
        ("-A -z\n-A -t 10.0.0.1:1\n", 0, "-z: unknown option\n", [1]),
        ("-D -t 9.9.9.9:9\n-A -z\n", 255, "No such service\n-z: unknown option\n", []),
        ("-A -t 10.0.0.1:1\n-A -t 10.0.0.1:1\n-A -t 10.0.0.1:2\n", 0, "Service already exists\n", [1, 2]),
        ("-A -t 10.0.0.1:1\n-A -t 10.0.0.1:1\n", 255, "Service already exists\n", [1]),
        ("", 0, "", []),
    ],
)
def test_lines(text: str, code: int, err: str, ports: list[int]) -> None:
    assert restored(text) == (code, err, ports)


def test_listings_between_changes_show_what_is_there_then() -> None:
    _, out, _ = Run()(["ipvsadm", "-R"], "-A -f 1\n-S\n-A -f 2\n-S\n-L --timeout\n--set 7 8 9\n-L --timeout\n")
    assert out.splitlines() == [
        "-A -f 1 -s wlc",
        "-A -f 1 -s wlc",
        "-A -f 2 -s wlc",
        "Timeout (tcp tcpfin udp): 900 120 300",
        "Timeout (tcp tcpfin udp): 7 8 9",
    ]


class CountingPlane(MemoryPlane):
    """How often it was called."""

    calls = 0

    def apply(self, operations: list[Operation]) -> None:  # type: ignore[override]
        self.calls += 1
        super().apply(operations)


def test_many_lines_are_few_calls_of_the_plane() -> None:
    plane = CountingPlane(firewall_marks=True)
    text = "".join(f"-A -f {mark}\n-a -f {mark} -r 10.0.0.1\n" for mark in range(1, 500)) + "-D -f 999\n-Z\n"
    code, _, err = Run(plane)(["ipvsadm", "-R"], text)
    assert (code, err) == (0, "No such service\n")
    assert len(plane.snapshot()) == 499
    assert plane.calls == 2


def test_ipvsadm_restore_replaces_the_table_and_skips_comments() -> None:
    run = Run()
    run.line("-A -f 1")
    assert run(["ipvsadm-restore"], "# saved by somebody\n-A -f 2\n") == (0, "", "")
    assert run(["ipvsadm-save", "-n"])[1] == "-A -f 2 -s wlc\n"


# ---- what -S saves, -R brings back ----

v4 = st.integers(1, 2**32 - 2).map(IPv4Address).filter(lambda a: not a.is_multicast)
v6 = st.integers(1, 2**128 - 1).map(IPv6Address).filter(lambda a: not (a.is_multicast or a.is_link_local))
ports = st.integers(1, 65535)
address_keys = st.builds(
    lambda protocol, address, port: ServiceKey(protocol=protocol, address=address, port=port),
    st.sampled_from([Protocol.TCP, Protocol.UDP, Protocol.SCTP]),
    v4 | v6,
    ports,
)
mark_keys = st.builds(ServiceKey.of_mark, st.integers(1, 2**31 - 1), st.sampled_from([4, 6]))
FLAGS_WITH_WORDS = SchedulerFlag.SCHED1 | SchedulerFlag.SCHED2


@st.composite
def services(draw: st.DrawFn) -> Service:
    key = draw(address_keys | mark_keys)
    bits = 32 if key.address.version == 4 else 128
    persistent_s = draw(st.sampled_from([0, 0, 1, 360, 2678400]))
    masks = st.integers(0, 2**32 - 1).map(lambda mask: persistence_prefix(mask, 4)) if bits == 32 else st.nothing()
    prefix = draw(st.none() | st.integers(0 if bits == 32 else 1, bits - 1) | masks) if persistent_s else None
    scheduler = draw(st.sampled_from(KERNEL_SCHEDULERS))
    flags = SchedulerFlag(draw(st.integers(0, 7)) << 3)
    return Service(
        key=key,
        scheduler=scheduler,
        # sh and mh have no word for the third flag: it is lost, as with ipvsadm.
        flags=flags & FLAGS_WITH_WORDS if scheduler in ("sh", "mh") else flags,
        persistent_s=persistent_s,
        persistence_prefix=prefix,
        engine=draw(st.sampled_from(["", "sip"])),
        one_packet=draw(st.booleans()) if key.mark or key.protocol is Protocol.UDP else False,
    )


@st.composite
def destinations(draw: st.DrawFn, service: ServiceKey) -> Destination:
    """Thresholds are not saved; a checksum is one that the type of the tunnel has."""
    method = draw(st.sampled_from(ForwardingMethod))
    keeps_port = not service.mark and method is not ForwardingMethod.MASQUERADE
    port = service.port if keeps_port else draw(st.integers(0, 65535))
    key = DestinationKey(address=draw(v4 if service.address.version == 4 else v6), port=port)
    destination = Destination(key=key, method=method, weight=draw(st.integers(0, 2**31 - 1)))
    if method is not ForwardingMethod.TUNNEL:
        return destination
    tunnel = draw(st.sampled_from(TunnelType))
    checksums = {
        TunnelType.IPIP: [TunnelChecksum.NONE],
        TunnelType.GRE: [TunnelChecksum.NONE, TunnelChecksum.FULL],
        TunnelType.GUE: list(TunnelChecksum),
    }
    return Destination(
        key=key,
        method=method,
        weight=destination.weight,
        tunnel=tunnel,
        tunnel_port=draw(ports) if tunnel is TunnelType.GUE else 0,
        tunnel_checksum=draw(st.sampled_from(checksums[tunnel])),
    )


@st.composite
def entries(draw: st.DrawFn) -> ServiceEntry:
    service = draw(services())
    found = draw(st.lists(destinations(service.key), max_size=4, unique_by=lambda d: d.key))
    return ServiceEntry(service=service, destinations=tuple(found))


tables = st.lists(entries(), max_size=6, unique_by=lambda entry: entry.service.key)


@settings(max_examples=150, deadline=None)
@given(tables)
def test_restore_brings_back_what_save_wrote(table: list[ServiceEntry]) -> None:
    before, after = Run(), Run()
    before.plane.apply(plan((), table))
    code, saved, err = before.line("-Sn")
    assert (code, err) == (0, "")
    assert after(["ipvsadm", "-R"], saved) == (0, "", "")
    assert content(after.plane) == {entry.service: frozenset(entry.destinations) for entry in table}


def content(plane: MemoryPlane) -> dict[Service, frozenset[Destination]]:
    return {status.service: frozenset(status.entry.destinations) for status in plane.snapshot()}
