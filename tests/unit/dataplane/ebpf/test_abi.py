"""What both sides must compute alike: layouts, addresses, keys; checked against the object's BTF and the header."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from piranha.dataplane.ebpf import abi
from piranha.dataplane.ebpf.btf import AbiMismatch, Btf
from piranha.dataplane.ebpf.tables import OBJECT, Capacity
from piranha.model.address import IPAddress
from piranha.model.service import ForwardingMethod, Protocol, ServiceKey

HEADER = Path(__file__).parents[4] / "bpf" / "abi.h"
needs_object = pytest.mark.skipif(not Path(OBJECT).exists(), reason="the BPF object is not built (make)")


@pytest.fixture(scope="module")
def btf() -> Btf:
    return Btf.from_elf(OBJECT.read_bytes())


@needs_object
def test_the_mirror_is_the_objects(btf: Btf) -> None:
    abi.check(btf)


@needs_object
def test_a_difference_is_named(btf: Btf, monkeypatch: pytest.MonkeyPatch) -> None:
    swapped = np.dtype(
        [("live" if n == "expired" else "expired" if n == "live" else n, "<u4") for n in abi.SWEEP_ARGS.names]
    )
    monkeypatch.setitem(abi.LAYOUTS, "sweep_args", swapped)
    with pytest.raises(AbiMismatch, match="sweep_args"):
        abi.check(btf)


def header_constants() -> dict[str, int]:
    """Numbers of `bpf/abi.h`: members of its enums and plain #defines."""
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.S)
    found: dict[str, int] = {}
    for body in re.findall(r"enum \w+ \{(.*?)\}", text, flags=re.S):
        names = [member.strip() for member in body.split(",") if member.strip()]
        found |= {name: number for number, name in enumerate(names) if "=" not in name}
    for name, value in re.findall(r"#define (\w+)[\s\\]+(\d+u?|0x[0-9a-fA-F]+)\s", text):
        found[name] = int(value.rstrip("u"), 0)
    return found


def test_constants_are_the_headers() -> None:
    constants = header_constants()
    for number, (name, _) in enumerate(abi.TCP_STATES):
        assert constants[f"TCP_S_{name}"] == number
    assert constants["TCP_S_COUNT"] == len(abi.TCP_STATES)
    shown = {"COOKIE_SENT": "C-SENT", "COOKIE_REPLIED": "C-REPLIED", "COOKIE_WAIT": "C-WAIT", "COOKIE_ECHOED": "C-ECHOED",
             "SHUTDOWN_SENT": "S-SENT", "SHUTDOWN_RECEIVED": "S-RECEIVED", "SHUTDOWN_ACK_SENT": "S-ACK-SENT"}  # fmt: skip
    numbers = {number: name.removeprefix("SCTP_S_") for name, number in constants.items() if name.startswith("SCTP_S_")}
    assert numbers.pop(constants["SCTP_S_COUNT"]) == "COUNT"
    assert [shown.get(numbers[n], numbers[n]) for n in sorted(numbers)] == [name for name, _ in abi.SCTP_STATES]
    for method, word in (("nat", "MASQ"), ("direct", "DIRECT"), ("tunnel", "TUNNEL")):
        assert constants[f"METHOD_{word}"] == abi.METHODS[ForwardingMethod(method)]
    for number, type_ in enumerate(abi.TUNNELS):
        assert constants[f"TUNNEL_{type_.name}"] == number
    assert (constants["TUNNEL_CSUM"], constants["TUNNEL_REMCSUM"]) == (1, 2)
    for name in (
        "CONN_WAYS",
        "REV_WAYS",
        "SLOT_WORDS",
        "STATES",
        "OWN_MACS",
        "FILTER_BITS",
        "TAG_VALID",
        "TAG_WRITING",
    ):
        assert constants[name] == getattr(abi, name)
    for name in ("CONN_METHOD", "CONN_INACTIVE", "CONN_REVERSE"):
        assert constants[name] == getattr(abi, name)
    for prefix, flags in (
        ("DEST", abi.DestFlag),
        ("NEXTHOP", abi.NextHopFlag),
        ("SERVICE", abi.ServiceFlag),
        ("SETTING", abi.SettingFlag),
        ("FILTER", abi.FilterBit),
    ):
        for flag in flags:
            assert constants[f"{prefix}_{flag.name}"] == flag.value, (prefix, flag)


@needs_object
def test_reasons_have_the_names_that_people_read(btf: Btf) -> None:
    names = abi.reason_names(btf)
    assert names[:3] == ("malformed", "fragment", "no_service")
    assert "count" not in names
    assert len(set(names)) == len(names)


def test_entries_are_whole_cache_lines() -> None:
    for layout in (abi.CONN_LINE, abi.REV_LINE, abi.CONN, abi.DEST, abi.NEXTHOP, abi.SLOT_LINE, abi.FILTER_LINE):
        assert layout.itemsize == 64


@given(st.ip_addresses())
def test_addresses_survive_the_way_there_and_back(address: IPAddress) -> None:
    packed = abi.pack_address(address)
    assert len(packed) == 16
    if address.version == 6 and address.ipv4_mapped is not None:
        assert abi.unpack_address(packed) == address.ipv4_mapped
    else:
        assert abi.unpack_address(packed) == address


def test_packed_addresses() -> None:
    assert abi.pack_address(IPv4Address("1.2.3.4")) == bytes(10) + b"\xff\xff\x01\x02\x03\x04"
    assert abi.pack_address(IPv6Address("fd00::1")) == b"\xfd" + bytes(14) + b"\x01"


@pytest.mark.parametrize(
    "key",
    [
        ServiceKey(protocol=Protocol.TCP, address=IPv4Address("1.2.3.4"), port=80),
        ServiceKey(protocol=Protocol.UDP, address=IPv6Address("fd00::1"), port=0),
        ServiceKey.of_mark(2**32 - 1),
        ServiceKey.of_mark(7, 6),
    ],
    ids=str,
)
def test_service_keys_are_the_structs_bytes(key: ServiceKey) -> None:
    row = np.frombuffer(abi.pack_service_key(key), abi.SERVICE_KEY)[0]
    assert abi.unpack_service_key(row) == key
    assert (abi.unpack_address(row["addr"]), int(row["port"]), int(row["pad"])) == (key.address, key.port, 0)


@pytest.mark.parametrize("connections", [1, 100, 4096, 524_288, 1_000_000])
def test_capacity_is_met_within_192_bytes_a_connection(connections: int) -> None:
    entries = Capacity(connections=connections).entries()
    assert entries["conns"] == entries["conn_tags"] * abi.CONN_WAYS
    assert entries["conns"] >= connections
    assert entries["rev_tags"] * abi.REV_WAYS >= connections
    if connections >= 4096:
        memory = entries["conns"] * 64 + entries["conn_tags"] * 64 + entries["rev_tags"] * 64
        assert memory / connections <= 192
