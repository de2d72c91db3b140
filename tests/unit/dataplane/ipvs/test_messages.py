"""Services, destinations, daemons as bytes: against messages written out by hand, and there and back."""

from __future__ import annotations

import struct
import sys
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piranha.dataplane.ipvs import messages
from piranha.dataplane.ipvs.netlink import attribute, attributes, nested
from piranha.dataplane.port import SyncDaemon, SyncRole
from piranha.model.service import (
    Counters,
    Destination,
    DestinationKey,
    ForwardingMethod,
    Protocol,
    Rates,
    SchedulerFlag,
    Service,
    ServiceKey,
    Timeouts,
    TunnelChecksum,
    TunnelType,
)

WEB = ServiceKey(protocol=Protocol.TCP, address=IPv4Address("10.1.0.1"), port=80)
WEB6 = ServiceKey(protocol=Protocol.TCP, address=IPv6Address("fd00::1"), port=443)

v4 = st.integers(0, 2**32 - 1).map(IPv4Address)
v6 = st.integers(0, 2**128 - 1).map(IPv6Address)
ports = st.integers(0, 65535)
u32 = st.integers(0, 2**32 - 1)
protocols = st.sampled_from([Protocol.TCP, Protocol.UDP, Protocol.SCTP])
keys = st.builds(ServiceKey, protocol=protocols, address=v4 | v6, port=ports) | st.builds(
    ServiceKey.of_mark, st.integers(1, 2**32 - 1), st.sampled_from([4, 6])
)


@st.composite
def services(draw: st.DrawFn) -> Service:
    key = draw(keys)
    persistent_s = draw(st.integers(0, 2**31))
    longest = key.address.max_prefixlen - 1
    return Service(
        key=key,
        scheduler=draw(st.sampled_from(["rr", "lblcr", "none"])),
        flags=draw(st.integers(0, 7).map(lambda bits: SchedulerFlag(bits << 3))),
        persistent_s=persistent_s,
        persistence_prefix=draw(st.none() | st.integers(1, longest)) if persistent_s else None,
        engine=draw(st.sampled_from(["", "sip"])),
        one_packet=draw(st.booleans()),
    )


destinations = st.builds(
    Destination,
    key=st.builds(DestinationKey, address=v4 | v6, port=ports),
    method=st.sampled_from(list(ForwardingMethod)),
    weight=st.integers(0, 2**31 - 1),
    upper_threshold=u32,
    lower_threshold=u32,
    tunnel=st.sampled_from(list(TunnelType)),
    tunnel_port=ports,
    tunnel_checksum=st.sampled_from(list(TunnelChecksum)),
)


def from_kernel(destination: Destination, *, also: bytes = b"") -> bytes:
    """The destination as the kernel sends it: with its connections, and `also`."""
    body = attributes(messages.pack_destination(destination))[2]
    counts = b"".join(attribute(kind, struct.pack("=I", kind * 10)) for kind in (7, 8, 9))
    return nested(2, body + counts + also)


@pytest.mark.skipif(sys.byteorder != "little", reason="the message is written for little-endian machines")
def test_a_service_byte_by_byte() -> None:
    service = Service(key=WEB, scheduler="rr", flags=SchedulerFlag.SCHED1, persistent_s=600, persistence_prefix=24)
    assert attributes(attributes(messages.pack_service(service))[1]) == {
        1: b"\x02\x00",  # AF_INET
        2: b"\x06\x00",  # TCP
        3: b"\x0a\x01\x00\x01" + bytes(12),
        4: b"\x00\x50",  # network order
        6: b"rr\x00",
        7: b"\x09\x00\x00\x00\xff\xff\xff\xff",  # fallback and persistent, every bit meant
        8: b"\x58\x02\x00\x00",
        9: b"\xff\xff\xff\x00",  # network order
    }


@pytest.mark.skipif(sys.byteorder != "little", reason="the message is written for little-endian machines")
def test_a_service_of_ipv6_has_a_prefix_for_a_netmask_always() -> None:
    found = attributes(attributes(messages.pack_service(Service(key=WEB6, scheduler="mh")))[1])
    assert found[1] == b"\x0a\x00"
    assert found[3] == IPv6Address("fd00::1").packed
    assert found[9] == b"\x80\x00\x00\x00"


def test_a_mark_has_family_and_mark_for_a_key() -> None:
    found = attributes(attributes(messages.pack_key(ServiceKey.of_mark(5, 6)))[1])
    assert found == {1: struct.pack("=H", 10), 5: struct.pack("=I", 5)}


@pytest.mark.skipif(sys.byteorder != "little", reason="the message is written for little-endian machines")
def test_a_destination_byte_by_byte() -> None:
    destination = Destination(
        key=DestinationKey(address=IPv4Address("10.2.0.1"), port=80),
        method=ForwardingMethod.TUNNEL,
        weight=3,
        upper_threshold=100,
        lower_threshold=80,
        tunnel=TunnelType.GUE,
        tunnel_port=6080,
        tunnel_checksum=TunnelChecksum.REMOTE,
    )
    assert attributes(attributes(messages.pack_destination(destination))[2]) == {
        11: b"\x02\x00",
        1: b"\x0a\x02\x00\x01" + bytes(12),
        2: b"\x00\x50",
        3: b"\x02\x00\x00\x00",
        4: b"\x03\x00\x00\x00",
        5: b"\x64\x00\x00\x00",
        6: b"\x50\x00\x00\x00",
        13: b"\x01",
        14: b"\x17\xc0",  # 6080 in network order
        15: b"\x02\x00",
    }


@given(services())
def test_a_service_comes_back(service: Service) -> None:
    reading = messages.read_service(messages.pack_service(service))
    assert reading is not None
    assert reading.service == service


@given(destinations)
def test_a_destination_comes_back(destination: Destination) -> None:
    status = messages.read_destination(from_kernel(destination), WEB)
    assert status.destination == destination
    assert (status.active_connections, status.inactive_connections, status.persistent_connections) == (70, 80, 90)


@pytest.mark.parametrize("number", range(8))
def test_every_method_number_can_be_read(number: int) -> None:
    """LOCAL (1) and BYPASS (4) belong to other programs; the rest of the flags is masked away."""
    made = Destination(key=DestinationKey(address=IPv4Address("10.2.0.1"), port=80), method=ForwardingMethod.DIRECT)
    also = attribute(3, struct.pack("=I", number | 0x100))
    method = messages.read_destination(from_kernel(made, also=also), WEB).destination.method
    expected = {0: ForwardingMethod.MASQUERADE, 2: ForwardingMethod.TUNNEL}
    assert method is expected.get(number, ForwardingMethod.DIRECT)


def test_wide_statistics_win_over_narrow_ones() -> None:
    made = Destination(key=DestinationKey(address=IPv4Address("10.2.0.1"), port=80), method=ForwardingMethod.DIRECT)
    narrow = nested(10, b"".join(
        attribute(kind, struct.pack("=Q" if kind in (4, 5) else "=I", kind)) for kind in range(1, 11)
    ))  # fmt: skip
    numbers = b"".join(attribute(kind, struct.pack("=Q", 2**40 + kind)) for kind in range(1, 11))
    wide = nested(12, numbers + attribute(11, b""))  # the kernel pads
    status = messages.read_destination(from_kernel(made, also=narrow), WEB)
    assert status.counters == Counters(1, 2, 3, 4, 5)
    assert status.rates == Rates(6.0, 7.0, 8.0, 9.0, 10.0)
    status = messages.read_destination(from_kernel(made, also=narrow + wide), WEB)
    assert status.counters == Counters(*(2**40 + kind for kind in range(1, 6)))


def test_a_mask_whose_ones_are_not_in_a_row() -> None:
    body = attributes(messages.pack_service(Service(key=WEB, persistent_s=60)))[1]
    reading = messages.read_service(nested(1, body + attribute(9, bytes([0, 0, 0, 24]))))
    assert reading is not None
    assert reading.service.persistence_prefix == IPv4Address("0.0.0.24")
    assert attributes(messages.pack_service(reading.service))[1].count(bytes([0, 0, 0, 24]))


def test_a_service_of_an_unknown_protocol_is_passed_over() -> None:
    body = attributes(messages.pack_service(Service(key=WEB)))[1]
    assert messages.read_service(nested(1, body + attribute(2, struct.pack("=H", 50)))) is None


def test_timeouts_come_back() -> None:
    timeouts = Timeouts(tcp_s=900, tcp_fin_s=120, udp_s=300)
    assert messages.read_timeouts(messages.pack_timeouts(timeouts)) == timeouts


@pytest.mark.parametrize("group", [None, IPv4Address("224.0.0.99"), IPv6Address("ff02::51")])
def test_a_daemon_comes_back(group: IPv4Address | IPv6Address | None) -> None:
    daemon = SyncDaemon(
        role=SyncRole.BACKUP, interface="eth0", sync_id=9, group=group, port=9999, ttl=3, max_length=1400
    )
    assert messages.read_daemon(messages.pack_daemon(daemon)) == daemon


def test_ipvs_s_own_group_is_none() -> None:
    daemon = SyncDaemon(role=SyncRole.MASTER, interface="eth0", group=messages.DEFAULT_GROUP)
    assert messages.read_daemon(messages.pack_daemon(daemon)).group is None


def test_information_reads_as_ipvsadm_prints_it() -> None:
    message = attribute(1, struct.pack("=I", 0x010201)) + attribute(2, struct.pack("=I", 4096))
    assert str(messages.read_information(message)) == "IP Virtual Server version 1.2.1 (size=4096)"
