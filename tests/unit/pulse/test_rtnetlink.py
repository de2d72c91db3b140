"""Messages of rtnetlink as bytes; a bond, which not every kernel can make, as the kernel describes one."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from piranha.pulse.links import Links, read_links
from piranha.pulse.rtnetlink import RTM_NEWLINK, attribute, attributes

UP, LOWER_UP, ETHERNET = 0x1, 0x10000, 1


@given(st.dictionaries(st.integers(1, 0x3FFF), st.binary(max_size=40), max_size=8))
def test_attributes_are_read_back(wanted: dict[int, bytes]) -> None:
    raw = b"".join(attribute(kind, data) for kind, data in wanted.items())
    assert attributes(raw) == wanted
    assert len(raw) % 4 == 0


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_an_exception(raw: bytes) -> None:
    attributes(raw)


def link(index: int, name: str, flags: int, *more: bytes) -> tuple[int, bytes]:
    head = struct.pack("=BxHiII", 0, ETHERNET, index, flags, 0)
    return RTM_NEWLINK, head + attribute(3, name.encode() + b"\0") + attribute(
        1, bytes([2, 0, 0, 0, 0, index])
    ) + b"".join(more)


def bond(flags: int, active: int | None) -> tuple[int, bytes]:
    data = b"" if active is None else attribute(2, struct.pack("=I", active))
    return link(9, "bond0", flags, attribute(18, attribute(1, b"bond\0") + attribute(2, data)))


def enslaved(index: int, name: str, flags: int) -> tuple[int, bytes]:
    return link(index, name, flags, attribute(10, struct.pack("=I", 9)))


def carrier_of(*messages: tuple[int, bytes]) -> bool:
    links = Links.__new__(Links)
    links.links = read_links(messages)
    return links.carrier("bond0")


def test_a_bond_and_its_slaves() -> None:
    alive = UP | LOWER_UP
    found = read_links([bond(alive, 3), enslaved(2, "eth0", UP), enslaved(3, "eth1", alive), link(4, "eth2", alive)])
    assert (found["bond0"].kind, found["bond0"].slaves, found["bond0"].active_slave) == (
        "bond",
        ("eth0", "eth1"),
        "eth1",
    )
    assert (found["eth2"].slaves, found["eth2"].mac.hex()) == ((), "020000000004")
    assert carrier_of(bond(alive, 3), enslaved(2, "eth0", UP), enslaved(3, "eth1", alive))
    # A bond that does not watch its slaves says "carrier" for ever.
    assert not carrier_of(bond(alive, None), enslaved(2, "eth0", UP), enslaved(3, "eth1", UP))
    assert not carrier_of(bond(UP, None), enslaved(3, "eth1", alive))
    assert carrier_of(bond(alive, None))
