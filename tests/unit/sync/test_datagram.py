"""The datagrams of connection sync: captured ones read, any entries round, rubbish never a crash."""

from __future__ import annotations

import struct
from ipaddress import ip_address
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piranha.dataplane.exchange import ENTRY, Entries, Extra, Flag, SequenceAdjustment
from piranha.sync.datagram import read, write

# Payloads as Linux 6.1 sent them.
DIRECT = bytes.fromhex(
    "0007002c01010000" + "0006002400010083" + "0001be3400500050" + "0000000000000384" + "c0a80164c0a8010ac0a80116"
)
SIP_TEMPLATE = bytes.fromhex(
    "0007003e01010000" + "0011003600011183" + "0000000013c413c4" + "000000000000003c" + "c0a80164c0a8010ac0a80116"
    "020b" + b"abc123@host".hex() + "0303" + b"sip".hex()
)  # fmt: skip
VERSION_0 = bytes.fromhex("0107001c" + "0006be3400500050" + "c0a80164c0a8010ac0a80116" + "00830001")


def packed(address: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    ip = ip_address(address)
    return np.frombuffer(ip.packed if ip.version == 6 else b"\0" * 10 + b"\xff\xff" + ip.packed, "u1")


def entry(**fields: Any) -> np.ndarray[Any, np.dtype[np.void]]:
    """One row of ENTRY; addresses as text."""
    row = np.zeros(1, ENTRY)
    default = {"client": "192.168.1.100", "virtual": "192.168.1.10", "server": "192.168.1.22"}
    for name, value in ({"version": 4, "protocol": 6} | default | fields).items():
        row[name] = packed(value) if isinstance(value, str) else value
    return row


def test_the_kernels_record_of_a_direct_connection() -> None:
    reading = read([DIRECT])
    assert not reading.faults
    assert (
        reading.entries.rows
        == entry(client_port=48692, virtual_port=80, server_port=80, flags=0x83, state=1, timeout_s=900)
    ).all()


def test_the_kernels_template_of_a_call() -> None:
    reading = read([SIP_TEMPLATE])
    (row,) = reading.entries.rows
    assert (row["protocol"], row["flags"], row["client_port"], row["timeout_s"]) == (17, 0x1183, 0, 60)
    assert reading.entries.extras == {0: Extra(engine=b"sip", engine_data=b"abc123@host")}


def test_version_0() -> None:
    reading = read([VERSION_0])
    assert not reading.faults
    (row,) = reading.entries.rows
    assert (row["protocol"], row["flags"], row["state"], row["timeout_s"]) == (6, 0x83, 1, 0)
    assert row["client_port"] == 48692
    assert (row["client"] == packed("192.168.1.100")).all()


def test_we_write_what_the_kernel_writes() -> None:
    """But for the conntrack bit, which is the sender's own affair."""
    (datagram, places), *rest = write(read([DIRECT]).entries, 7, 1472)
    assert not rest
    assert list(places) == [0]
    assert datagram == DIRECT.replace(bytes.fromhex("00010083"), bytes.fromhex("00000083"))


def test_a_templates_engine_data_is_written_as_it_came() -> None:
    ((datagram, _),) = write(read([SIP_TEMPLATE]).entries, 7, 1472)
    assert datagram == SIP_TEMPLATE.replace(bytes.fromhex("00011183"), bytes.fromhex("00001183"))


@pytest.mark.parametrize(
    ("sync_id", "heard", "foreign"), [(0, 1, 0), (7, 1, 0), (8, 0, 1)], ids=["any group", "ours", "another"]
)
def test_groups(sync_id: int, heard: int, foreign: int) -> None:
    reading = read([DIRECT], sync_id)
    assert (len(reading.entries), reading.foreign) == (heard, foreign)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no datagram"),
        (DIRECT[:-1], "says that it has 44"),
        (DIRECT[:8].replace(b"\0\x2c", b"\0\x08") + b"", "cut off"),
        (DIRECT.replace(b"\0\x24\0\1", b"\x10\x24\0\1"), "version 1"),
        (DIRECT.replace(b"\0\6\0\x24", b"\x08\6\0\x24"), "type 8"),
        (DIRECT.replace(b"\0\6\0\x24", b"\0\6\0\x20"), "does not fit"),
        (SIP_TEMPLATE.replace(b"\x03\x03sip", b"\x03\x04sip"), "cut off"),
        (SIP_TEMPLATE.replace(b"\x03\x03sip", b"\x02\x03sip"), "comes twice"),
        (SIP_TEMPLATE.replace(b"\x03\x03sip", b"\x01\x03sip"), "has 3 bytes"),
        (VERSION_0.replace(b"\1\7\0\x1c", b"\2\7\0\x1c"), "cut off"),
    ],
)
def test_faults_are_named(data: bytes, said: str) -> None:
    (fault,) = read([data]).faults
    assert said in fault


def test_records_before_a_fault_count() -> None:
    second = struct.pack("!BBH", 9, 6, 36) + bytes(32)
    data = DIRECT[:2] + struct.pack("!HB", len(DIRECT) + 36, 2) + DIRECT[5:] + second
    reading = read([data])
    assert len(reading.entries) == 1
    assert reading.faults == ["a record has type 9"]


def test_an_option_that_may_be_ignored_is_and_one_that_may_not_costs_its_record() -> None:
    ignored = read([SIP_TEMPLATE.replace(b"\x03\x03sip", b"\x47\x03sip")])
    assert ignored.entries.extras == {0: Extra(engine_data=b"abc123@host")}
    refused = read([SIP_TEMPLATE.replace(b"\x03\x03sip", b"\x07\x03sip")])
    assert (len(refused.entries), refused.unknown_options, refused.faults) == (0, 1, [])


ADDRESSES = {4: st.ip_addresses(v=4), 6: st.ip_addresses(v=6).filter(lambda a: a.packed[:12] != b"\0" * 10 + b"\xff\xff")}  # fmt: skip
SEQUENCE = st.builds(
    SequenceAdjustment,
    initial=st.integers(0, 2**32 - 1),
    delta=st.integers(0, 2**32 - 1),
    previous_delta=st.integers(0, 2**32 - 1),
)
EXTRAS = st.builds(
    Extra,
    sequence_in=st.none() | SEQUENCE,
    sequence_out=st.none() | SEQUENCE,
    engine=st.binary(max_size=16),
    engine_data=st.binary(max_size=255),
).filter(lambda extra: extra != Extra())


@st.composite
def tables(draw: st.DrawFn) -> Entries:
    rows, extras = [], {}
    for place in range(draw(st.integers(0, 120))):
        version = draw(st.sampled_from((4, 6)))
        ports = {name: draw(st.integers(0, 65535)) for name in ("client_port", "virtual_port", "server_port")}
        ends = {name: str(draw(ADDRESSES[version])) for name in ("client", "virtual", "server")}
        template = draw(st.booleans())
        flags = draw(st.sampled_from((0, 0x82, 0x83, 0x183))) | (Flag.TEMPLATE if template else 0)
        state = draw(st.integers(0, 1 if template else 10))
        rest = {"mark": draw(st.integers(0, 2**32 - 1)), "timeout_s": draw(st.integers(0, 2**32 - 1))}
        if draw(st.integers(0, 5)) == 0:
            extras[place] = extra = draw(EXTRAS)
            flags |= (Flag.IN_SEQUENCE if extra.sequence_in else 0) | (Flag.OUT_SEQUENCE if extra.sequence_out else 0)
        protocol = draw(st.sampled_from((6, 17, 132)))
        rows.append(entry(version=version, protocol=protocol, flags=flags, state=state, **ports, **ends, **rest))
    return Entries(np.concatenate(rows) if rows else np.zeros(0, ENTRY), extras)


@settings(deadline=None, max_examples=60)
@given(tables(), st.integers(0, 255), st.integers(1024, 1472))
def test_what_is_written_is_read_again(entries: Entries, sync_id: int, max_length: int) -> None:
    written = list(write(entries, sync_id, max_length))
    assert all(len(datagram) <= max_length for datagram, _ in written)
    reading = read([datagram for datagram, _ in written], sync_id)
    assert not reading.faults
    # IPv4 first: order is kept within one family, and a connection has one family.
    places = np.concatenate([places for _, places in written]) if written else np.zeros(0, np.intp)
    places = np.concatenate([places[entries.rows["version"][places] == version] for version in (4, 6)])
    assert sorted(places) == list(range(len(entries)))
    wanted = entries.chosen(places)
    assert (reading.entries.rows == wanted.rows).all()
    assert dict(reading.entries.extras) == dict(wanted.extras)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.binary(max_size=300), max_size=4))
def test_rubbish_is_no_crash(datagrams: list[bytes]) -> None:
    reading = read(datagrams)
    assert reading.datagrams == len(datagrams)


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from((DIRECT, SIP_TEMPLATE, VERSION_0)), st.lists(st.tuples(st.integers(0, 61), st.integers(0, 255)), max_size=6)
)  # fmt: skip
def test_damage_is_no_crash(data: bytes, damage: list[tuple[int, int]]) -> None:
    damaged = bytearray(data)
    for place, value in damage:
        damaged[place % len(damaged)] = value
    reading = read([bytes(damaged)])
    assert len(reading.entries) <= 255
