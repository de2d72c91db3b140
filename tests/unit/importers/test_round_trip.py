"""A table that `ipvsadm -S -n` saved, imported and applied, is the same table."""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.importing_world import imported_text, usable

from piranha.importers.comparison import expected_entries
from piranha.importers.importing import Dialect
from piranha.importers.options import ImportOptions
from piranha.ipvsadm.endpoint import EndpointWriter
from piranha.ipvsadm.listing import save_lines
from piranha.model.service import (
    NO_FLAGS,
    Destination,
    DestinationKey,
    DestinationStatus,
    ForwardingMethod,
    Protocol,
    SchedulerFlag,
    Service,
    ServiceEntry,
    ServiceKey,
    ServiceStatus,
    TunnelType,
)

METHODS = st.sampled_from(list(ForwardingMethod))
PORTS = st.integers(1, 65535)


@st.composite
def services(draw: st.DrawFn, number: int) -> ServiceEntry:
    version = draw(st.sampled_from([4, 6]))
    vip = f"192.0.2.{number + 1}" if version == 4 else f"2001:db8::{number + 1:x}"
    protocol = draw(st.sampled_from([Protocol.TCP, Protocol.UDP, Protocol.SCTP]))
    scheduler = draw(
        st.sampled_from(["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh", "twos"])
    )
    flags = NO_FLAGS
    if scheduler in ("sh", "mh"):
        flags = draw(st.sampled_from([NO_FLAGS, SchedulerFlag.SCHED1, SchedulerFlag.SCHED1 | SchedulerFlag.SCHED2]))
    persistent = draw(st.sampled_from([0, 1, 300, 86400]))
    prefix = draw(st.sampled_from([None, 24, 1])) if persistent else None
    service = Service(
        key=ServiceKey(protocol=protocol, address=ip_address(vip), port=draw(PORTS)),
        scheduler=scheduler,
        flags=flags,
        persistent_s=persistent,
        persistence_prefix=prefix,
        one_packet=protocol is Protocol.UDP and draw(st.booleans()),
    )
    rips = draw(st.lists(st.integers(1, 60), max_size=4, unique=True))
    return ServiceEntry(service=service, destinations=tuple(draw(destinations(service, rip)) for rip in rips))


@st.composite
def destinations(draw: st.DrawFn, service: Service, rip: int) -> Destination:
    method = draw(METHODS)
    version = service.key.address.version
    if method is ForwardingMethod.TUNNEL:
        version = draw(st.sampled_from([4, 6]))
    port = draw(PORTS) if method is ForwardingMethod.MASQUERADE else service.key.port
    gue = method is ForwardingMethod.TUNNEL and draw(st.booleans())
    return Destination(
        key=DestinationKey(address=ip_address(f"10.0.0.{rip}" if version == 4 else f"fd00::{rip:x}"), port=port),
        method=method,
        weight=draw(st.integers(0, 65535)),
        tunnel=TunnelType.GUE if gue else TunnelType.IPIP,
        tunnel_port=draw(PORTS) if gue else 0,
    )


def status_of(entry: ServiceEntry) -> ServiceStatus:
    statuses = tuple(DestinationStatus(destination=destination) for destination in entry.destinations)
    return ServiceStatus(service=entry.service, destinations=statuses)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data(), count=st.integers(1, 5))
def test_a_saved_table_comes_back(data: st.DataObject, count: int) -> None:
    table = [data.draw(services(number)) for number in range(count)]
    text = "".join(save_lines([status_of(entry) for entry in table], EndpointWriter(None)))
    outcome = usable(imported_text(Dialect.IPVSADM, text, options=ImportOptions(device="eth0")))
    assert outcome.configuration is not None
    found = {entry.service.key: entry for entry in expected_entries(outcome.configuration)}
    assert set(found) == {entry.service.key for entry in table}
    for entry in table:
        assert found[entry.service.key].service == entry.service
        assert set(found[entry.service.key].destinations) == set(entry.destinations)
