"""The hashes and tables of sh, dh and mh, against what the kernel's IPVS chose (`tests/conformance/recorded/ipvs.json`)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piranha.dataplane.ebpf.hashing import BUCKETS, CLIENT_KEY, SKIP_KEY, bucket, fold, sip_hash
from piranha.dataplane.ebpf.schedulers import REGISTRY
from piranha.dataplane.ebpf.schedulers.base import Candidate, SlotTable
from piranha.dataplane.ebpf.schedulers.mh import PLACES

RECORDED = Path(__file__).parents[3] / "conformance" / "recorded" / "ipvs.json"
EQUAL, UNEQUAL = (1, 1, 1), (1, 3, 6)
MANY = tuple(number % 5 for number in range(1, 41))


def candidates(weights: Sequence[int], version: int = 4) -> list[Candidate]:
    """Servers 1, 2, … at the recorded addresses, the newest first; their index is their number."""
    network = "10.2.0." if version == 4 else "fd02::"
    found = [
        Candidate(n, weight, weight, fold(ip_address(f"{network}{n}"), 80, version))
        for n, weight in enumerate(weights, 1)
    ]
    return found[::-1]


def build(
    name: str, after: Sequence[Candidate], old: SlotTable | None = None, before: Sequence[Candidate] = ()
) -> SlotTable:
    return REGISTRY[name].build(old or SlotTable(), before, after)


def foretold(name: str, table: SlotTable, folded: int) -> int:
    if name == "mh":
        return table.words[sip_hash(folded, CLIENT_KEY) % PLACES]
    return table.words[bucket(folded) % len(table.words)]


@pytest.mark.parametrize(
    ("name", "scenario", "weights", "version", "client", "step", "port_step"),
    [
        (name, f"{name}{suffix}", weights, version, client, step, port_step)
        for name in ("sh", "mh")
        for suffix, weights, version, client, step, port_step in (
            ("", EQUAL, 4, "10.1.0.1", 1, None),
            ("-spread", EQUAL, 4, "10.1.0.1", 65537, None),
            ("-weights", UNEQUAL, 4, "10.1.0.1", 1, None),
            ("-port", UNEQUAL, 4, "10.1.0.1", 0, 1),
            ("-many", MANY, 4, "10.1.0.1", 1, None),
            ("-heavy", (1000, 100, 1), 4, "10.1.0.1", 1, None),
            ("-six", (1, 2, 3), 6, "2001:db8:c::1", 1, None),
            ("-six-spread", (1, 2, 3), 6, "2001:db8:c::1", 0x0001_0001_0001_0001, 1),
        )
    ],
)
def test_clients_get_the_server_that_ipvs_gave_them(
    name: str, scenario: str, weights: Sequence[int], version: int, client: str, step: int, port_step: int | None
) -> None:
    results = json.loads(RECORDED.read_text())["scenarios"][scenario]
    outcomes = next(result for result in results if isinstance(result, list))
    servers = candidates(weights, version)
    table = build(name, servers)
    usable = {c.index for c in servers if c.weight}
    compared = 0
    for number, outcome in enumerate(outcomes):
        if outcome == "dropped":
            continue
        port = 0 if port_step is None else 1000 + number * port_step
        address = ip_address(client) + number * step
        chosen = foretold(name, table, fold(address, port, version))
        endpoint = f"10.2.0.{chosen}:80" if version == 4 else f"[fd02::{chosen}]:80"
        assert outcome == (f"masquerade {endpoint}" if chosen in usable else "refused"), f"{address} port {port}"
        compared += 1
    assert compared >= 50


def test_addresses_get_the_server_that_ipvs_gave_them() -> None:
    outcomes = next(r for r in json.loads(RECORDED.read_text())["scenarios"]["dh"] if isinstance(r, list))
    table = build("dh", candidates(UNEQUAL))
    chosen = [foretold("dh", table, fold(ip_address("10.9.1.1") + number, 0, 4)) for number in range(len(outcomes))]
    assert [outcome.split(":")[0] for outcome in outcomes] == [f"masquerade 10.2.0.{number}" for number in chosen]
    assert len(outcomes) == 300


def test_fold() -> None:
    assert fold(ip_address("1.2.3.4"), 0x100, 4) == 0x01020404
    assert fold(ip_address("255.255.255.255"), 2, 4) == 1
    assert fold(ip_address("1:2:3:4:5:6:7:8"), 0, 6) == 0x00010002 ^ 0x00030004 ^ 0x00050006 ^ 0x00070008
    # Of the other family: the bytes where the service's family looks for them.
    assert fold(ip_address("102:304:506:708::1"), 0, 4) == 0x01020304
    assert fold(ip_address("1.2.3.4"), 0, 6) == 0x01020304


def test_keys_give_different_hashes() -> None:
    assert sip_hash(1, CLIENT_KEY) != sip_hash(1, SKIP_KEY)
    assert len({sip_hash(number, CLIENT_KEY) for number in range(2000)}) == 2000


def test_sh_repeats_what_it_holds() -> None:
    assert build("sh", candidates((2, 0, 3))).words == (3, 3, 3, 2, 1, 1)
    assert build("dh", candidates((2, 0, 3))).words == (3, 2, 1)
    assert len(build("sh", candidates((1000, 1))).words) == BUCKETS


@given(st.lists(st.integers(0, 300), max_size=300))
def test_sh_is_one_period_of_the_walk(weights: list[int]) -> None:
    servers = candidates(weights)
    words = build("sh", servers).words
    walk: list[int] = []
    while servers and len(walk) < BUCKETS:
        for server in servers:
            walk += [server.index] * max(1, server.weight)
    assert [words[number % len(words)] for number in range(BUCKETS) if words] == walk[:BUCKETS]


@given(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=12))
def test_mh_gives_every_weighted_server_places(weights: list[int]) -> None:
    words = build("mh", candidates(weights)).words
    assert set(words[:PLACES]) == {number for number, weight in enumerate(weights, 1) if weight}
    if any(weights):
        assert len(words) == PLACES + len(weights)
        assert all(word >= 0x80000000 for word in words[PLACES:])  # no index: `bpf/sched/mh.h` does not read them


def test_mh_shares_by_weight() -> None:
    held = Counter(build("mh", candidates((1, 2, 5))).words[:PLACES])
    assert [round(held[number] / PLACES * 8) for number in (1, 2, 3)] == [1, 2, 5]


def test_mh_moves_few_clients_when_a_server_goes() -> None:
    servers = candidates((1,) * 10)
    before, after = build("mh", servers).words, build("mh", servers[:4] + servers[5:]).words
    gone = servers[4].index
    moved = sum(one != other for one, other in zip(before[:PLACES], after[:PLACES], strict=True) if one != gone)
    assert moved < PLACES * 0.05


def test_mh_counts_a_quiesced_server_with_its_last_weight() -> None:
    servers = candidates((1, 3, 6))
    table = build("mh", servers)
    quiesced = [Candidate(c.index, 0 if c.index == 2 else c.weight, c.last_weight, c.fold) for c in servers]
    assert build("mh", quiesced, table, servers).words == table.words


def test_mh_remembers_the_last_weight_in_its_table() -> None:
    """After a restart nobody else knows it."""
    servers = candidates((1, 3, 6))
    table = build("mh", servers)
    adopted = [Candidate(c.index, *(2 * (0 if c.index == 2 else c.weight,)), c.fold) for c in servers]
    assert build("mh", adopted, table, adopted).words == table.words
    heavier = [Candidate(c.index, *(2 * (9 if c.index == 1 else c.weight,)), c.fold) for c in adopted]
    fresh = [Candidate(c.index, c.weight or 3, c.weight or 3, c.fold) for c in heavier]
    assert build("mh", heavier, table, adopted).words == build("mh", fresh).words


def test_mh_of_more_servers_than_places_stays_as_it_is() -> None:
    table = build("mh", candidates((1, 1)))
    assert build("mh", [Candidate(n, 1, 1, n) for n in range(1, PLACES + 2)], table) == table
