"""The address filter: everybody who was added is let in, whoever shares his place, until he is removed."""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv4Address, IPv6Address

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from piranha.dataplane.ebpf import abi
from piranha.dataplane.ebpf.abi import FilterBit, filter_position
from piranha.dataplane.ebpf.filter import AddressFilter
from piranha.model.address import IPAddress

LINES = (1 << abi.FILTER_BITS) * 2 // 512


def look(lines: np.ndarray, address: IPAddress) -> FilterBit:
    """As bpf/filter.h looks."""
    position = filter_position(address) * 2
    word = int(lines[position // 512]["word"][position // 64 & 7])
    return FilterBit(word >> (position & 63) & 3)


def fresh() -> tuple[AddressFilter, np.ndarray]:
    lines = np.zeros(LINES, abi.FILTER_LINE)
    return AddressFilter(lines), lines


def neighbour_of(address: IPv4Address) -> IPv4Address:
    """Another address at the same place."""
    wanted = filter_position(address)
    return next(a for n in range(1, 2**20) if filter_position(a := IPv4Address(0x0B000000 + n)) == wanted)


def test_bits_of_one_address_are_apart() -> None:
    found, lines = fresh()
    vip, server = IPv4Address("10.9.0.1"), IPv6Address("fd02::2")
    found.add(vip, FilterBit.VIP)
    found.add(server, FilterBit.SERVER)
    found.add(vip, FilterBit.SERVER)
    assert look(lines, vip) == FilterBit.VIP | FilterBit.SERVER
    assert look(lines, server) == FilterBit.SERVER
    found.remove(vip, FilterBit.VIP)
    assert look(lines, vip) == FilterBit.SERVER


def test_one_place_with_two_users() -> None:
    found, lines = fresh()
    one = IPv4Address("10.9.0.1")
    other = neighbour_of(one)
    for address in (one, other):
        found.add(address, FilterBit.VIP)
    found.remove(one, FilterBit.VIP)
    assert look(lines, other) == FilterBit.VIP
    found.remove(other, FilterBit.VIP)
    assert not lines["word"].any()


def test_settle_forgets_an_earlier_life() -> None:
    found, lines = fresh()
    lines["word"] |= np.uint64(0xFFFF)
    found.add(IPv4Address("10.9.0.1"), FilterBit.VIP)
    found.settle()
    assert look(lines, IPv4Address("10.9.0.1")) == FilterBit.VIP
    assert sum(int(word).bit_count() for word in lines["word"].reshape(-1)) == 1


addresses = st.one_of(
    st.integers(0, 40).map(lambda n: IPv4Address(0x0A000000 + n)),
    st.integers(0, 40).map(lambda n: IPv6Address((0xFD << 120) + n)),
    st.ip_addresses(),
)


@given(st.lists(st.tuples(addresses, st.sampled_from(list(FilterBit))), max_size=60), st.integers(0, 2**32))
def test_added_are_found_and_all_removed_is_empty(users: list[tuple[IPAddress, FilterBit]], order: int) -> None:
    found, lines = fresh()
    for address, bit in users:
        found.add(address, bit)
    left = Counter(users)
    for address, bit in sorted(users, key=lambda u: hash((u[0], order))):
        assert all(look(lines, a) & b for a, b in left.elements())
        found.remove(address, bit)
        left[address, bit] -= 1
    assert not lines["word"].any()


def test_addresses_spread() -> None:
    """A thousand neighbours on one network share few places."""
    places = {filter_position(IPv4Address(0x0A000000 + n)) for n in range(1000)}
    assert len(places) > 950
