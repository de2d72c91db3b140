"""Operations and tables survive the way through JSON; what is none is refused by name."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piranha.base.errors import PiranhaError, UsageError
from piranha.dataplane.port import (
    AddDestination,
    AddService,
    Clear,
    Connection,
    DeleteDestination,
    DeleteService,
    EditDestination,
    EditService,
    RefusalKind,
    RefusedError,
    SetMarkRules,
    SetTimeouts,
    StartDaemon,
    StopDaemon,
    SyncDaemon,
    SyncRole,
    ZeroCounters,
)
from piranha.dataplane.wire import (
    connections_from_json,
    connections_to_json,
    operation_to_json,
    operations_from_json,
    outcome_from_json,
    outcome_to_json,
    table_from_json,
    table_to_json,
)
from piranha.model.service import (
    Counters,
    Destination,
    DestinationKey,
    DestinationStatus,
    ForwardingMethod,
    Protocol,
    Rates,
    SchedulerFlag,
    Service,
    ServiceKey,
    ServiceStatus,
    Timeouts,
    TunnelChecksum,
    TunnelType,
)

addresses = st.integers(0, 2**32 - 1).map(IPv4Address) | st.integers(0, 2**128 - 1).map(IPv6Address)
ports = st.integers(0, 65535)
counts = st.integers(0, 2**64)
keys = st.builds(ServiceKey, protocol=st.sampled_from(Protocol), address=addresses, port=ports) | st.builds(
    ServiceKey.of_mark, st.integers(1, 2**32 - 1), st.sampled_from([4, 6])
)
services = st.builds(
    Service,
    key=keys,
    scheduler=st.sampled_from(["rr", "wlc", "none"]),
    flags=st.integers(0, 7).map(lambda n: SchedulerFlag(n << 3)),
    persistent_s=st.integers(0, 400),
    persistence_prefix=st.none() | st.integers(0, 128) | st.just(IPv4Address("255.0.255.0")),
    engine=st.sampled_from(["", "sip"]),
    one_packet=st.booleans(),
)
destination_keys = st.builds(DestinationKey, address=addresses, port=ports)
destinations = st.builds(
    Destination,
    key=destination_keys,
    method=st.sampled_from(ForwardingMethod),
    weight=st.integers(0, 2**31 - 1),
    upper_threshold=st.integers(0, 9),
    lower_threshold=st.integers(0, 9),
    tunnel=st.sampled_from(TunnelType),
    tunnel_port=ports,
    tunnel_checksum=st.sampled_from(TunnelChecksum),
)
daemons = st.builds(
    SyncDaemon,
    role=st.sampled_from(SyncRole),
    interface=st.sampled_from(["eth0", "bond0.7"]),
    sync_id=st.integers(0, 255),
    group=st.none() | addresses,
    port=ports,
    ttl=st.integers(1, 255),
    max_length=st.integers(0, 65507),
)
timeouts = st.builds(Timeouts, tcp_s=st.floats(0, 1e6), tcp_fin_s=st.floats(0, 1e6), udp_s=st.floats(0, 1e6))
operations = st.one_of(
    st.builds(AddService, service=services),
    st.builds(EditService, service=services),
    st.builds(DeleteService, key=keys),
    st.builds(AddDestination, service=keys, destination=destinations),
    st.builds(EditDestination, service=keys, destination=destinations),
    st.builds(DeleteDestination, service=keys, key=destination_keys),
    st.builds(SetTimeouts, timeouts=timeouts),
    st.builds(ZeroCounters, key=st.none() | keys),
    st.builds(Clear),
    st.builds(StartDaemon, daemon=daemons),
    st.builds(StopDaemon, role=st.sampled_from(SyncRole), sync_id=st.integers(0, 255)),
)
counters = st.builds(Counters, counts, counts, counts, counts, counts)
rates = st.builds(Rates, counts, counts, st.floats(0, 1e9), counts, counts)
destination_statuses = st.builds(
    DestinationStatus,
    destination=destinations,
    active_connections=st.integers(0, 9),
    inactive_connections=st.integers(0, 9),
    persistent_connections=st.integers(0, 9),
    counters=counters,
    rates=rates,
)
statuses = st.builds(
    ServiceStatus,
    service=services,
    destinations=st.lists(destination_statuses, max_size=3).map(tuple),
    counters=counters,
    rates=rates,
    foreign=st.booleans(),
)


def through_json(document: object) -> Any:
    return json.loads(json.dumps(document))


@given(st.lists(operations, max_size=8))
def test_operations(found: list[Any]) -> None:
    assert operations_from_json(through_json([operation_to_json(o) for o in found])) == found


@given(st.lists(statuses, max_size=4).map(tuple))
def test_tables(table: tuple[ServiceStatus, ...]) -> None:
    assert table_from_json(through_json(table_to_json(table))) == table


@given(
    st.lists(
        st.builds(
            Connection,
            protocol=st.sampled_from(Protocol),
            client=addresses,
            client_port=ports,
            virtual=addresses,
            virtual_port=ports,
            destination=addresses,
            destination_port=ports,
            state=st.sampled_from(["NONE", "SYN_RECV"]),
            expires_s=st.floats(0, 1e6),
            is_template=st.booleans(),
            mark=st.integers(0, 2**32 - 1),
            engine=st.sampled_from(["", "sip"]),
            engine_data=st.text(max_size=5),
        ),
        max_size=4,
    )
)
def test_connections(found: list[Connection]) -> None:
    assert connections_from_json(through_json(connections_to_json(found))) == found


def test_outcomes() -> None:
    assert outcome_from_json(outcome_to_json(None)) is None
    refused = outcome_from_json(through_json(outcome_to_json(RefusedError(RefusalKind.RANGE, "no", mend="so"))))
    assert isinstance(refused, RefusedError)
    assert (refused.kind, refused.message, refused.mend) == (RefusalKind.RANGE, "no", "so")
    plain = outcome_from_json(through_json(outcome_to_json(PiranhaError("broken"))))
    assert not isinstance(plain, RefusedError)
    assert str(plain) == "broken"


def test_what_is_the_directors_alone_does_not_travel() -> None:
    with pytest.raises(ValueError, match="SetMarkRules is the director's alone"):
        operation_to_json(SetMarkRules(rules=()))


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({}, "a list of operations is needed"),
        ([{"do": "clear"}, {"do": "explode"}], "operation 1 is none"),
        ([7], "operation 0 is none"),
        ([{"do": "delete service"}], "operation 0 is none"),
        ([{"do": "delete service", "key": [6, "nowhere", 80, 0]}], "operation 0 is none"),
        ([{"do": "delete service", "key": [6, "10.0.0.1", 65536, 0]}], "65536 is no port"),
        ([{"do": "delete service", "key": [7, "10.0.0.1", 80, 0]}], "operation 0 is none"),
        (
            [{"do": "add destination", "key": [6, "10.0.0.1", 80, 0], "destination": {"at": ["10.0.0.2", 80]}}],
            "operation 0 is none",
        ),
    ],
)
def test_what_is_no_operation_is_refused(document: object, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        operations_from_json(document)
