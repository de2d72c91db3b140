"""Listings that no recording has: wide numbers, rates, and orders that go in a circle."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from piranha.ipvsadm.command import View
from piranha.ipvsadm.endpoint import EndpointWriter
from piranha.ipvsadm.listing import large, table_lines
from piranha.ipvsadm.order import destination_order, in_order
from piranha.model.service import (
    Counters,
    Destination,
    DestinationKey,
    DestinationStatus,
    ForwardingMethod,
    Protocol,
    Rates,
    Service,
    ServiceKey,
    ServiceStatus,
)
from tests.unit.ipvsadm.recording import Run


@pytest.mark.parametrize(
    ("number", "shown", "exact"),
    [
        (0, "        0", "        0"),
        (99_999_999, " 99999999", " 99999999"),
        (100_000_000, "  100000K", " 100000000"),
        (999_999_999, "  999999K", " 999999999"),
        (1_000_000_000, "    1000M", " 1000000000"),
        (99_999_999_999, "   99999M", " 99999999999"),
        (100_000_000_000, "     100G", " 100000000000"),
        (99_999_999_999_999, "   99999G", " 99999999999999"),
        (100_000_000_000_000, "     100T", " 100000000000000"),
        (2**64 - 1, "18446744T", " 18446744073709551615"),
    ],
)
def test_large_numbers(number: int, shown: str, exact: str) -> None:
    """The limits are those in ipvsadm's code; the recorded kernel could not count that far."""
    assert large(number, exact=False) == shown
    assert large(number, exact=True) == exact


def status(rates: Rates, counters: Counters) -> ServiceStatus:
    key = ServiceKey(protocol=Protocol.TCP, address=ip_address("10.0.0.1"), port=80)
    server = Destination(
        key=DestinationKey(address=ip_address("10.0.0.2"), port=80), method=ForwardingMethod.MASQUERADE
    )
    found = DestinationStatus(destination=server, counters=counters, rates=rates)
    return ServiceStatus(service=Service(key=key), destinations=(found,), counters=counters, rates=rates)


def test_rates_are_rounded_and_servers_packets_are_never_scaled() -> None:
    table = [status(Rates(1.5, 150_000_000.5001, 2.51, 3_000_000_000, 0.4), Counters())]
    lines = "".join(table_lines(table, View(rate=True), EndpointWriter(None))).splitlines()
    assert lines == [
        "TCP  10.0.0.1:80                         1  150000K        3    3000M        0",
        "  -> 10.0.0.2:80                         1 150000001        3    3000M        0",
    ]


def test_exact_numbers_push_the_columns() -> None:
    table = [status(Rates(), Counters(1, 123_456_789, 0, 12_345_678, 0))]
    lines = "".join(table_lines(table, View(stats=True, exact=True), EndpointWriter(None))).splitlines()
    assert lines[1] == "  -> 10.0.0.2:80                         1 123456789        0 12345678        0"


@pytest.mark.parametrize(
    ("added", "shown"),
    [
        ("192.168.1.1 10.0.0.1 100.0.0.1", "100.0.0.1 192.168.1.1 10.0.0.1"),
        ("10.0.0.1 192.168.1.1 100.0.0.1", "100.0.0.1 192.168.1.1 10.0.0.1"),
        ("10.0.0.1 100.0.0.1 192.168.1.1", "192.168.1.1 10.0.0.1 100.0.0.1"),
        ("100.0.0.1 192.168.1.1 10.0.0.1", "10.0.0.1 100.0.0.1 192.168.1.1"),
        ("10.0.0.2 192.168.0.1 10.0.0.1", "192.168.0.1 10.0.0.1 10.0.0.2"),
    ],
)
def test_servers_in_the_order_that_was_seen(added: str, shown: str) -> None:
    run = Run()
    run.line("-A -f 1")
    for server in added.split():
        assert run.line(f"-a -f 1 -r {server}:80")[0] == 0
    lines = run.line("-Sn")[1].splitlines()[1:]
    assert [line.split()[4] for line in lines] == [f"{server}:80" for server in shown.split()]


def test_families_of_servers_mix_by_their_first_words() -> None:
    run = Run()
    run.line("-A -f 1 -6")
    for server in [
        "fd00::1",
        "2001:db8::1",
        "[2001:db8::1]:9",
        "3ffe::",
        "8000::1",
        "7fff::1",
        "10.0.0.1",
        "192.168.0.1",
    ]:
        assert run.line(f"-a -f 1 -6 -r {server} -i")[0] == 0
    shown = [line.split()[5] for line in run.line("-Sn")[1].splitlines()[1:]]
    assert shown == [
        "[7fff::1]:0",
        "[8000::1]:0",
        "192.168.0.1:0",
        "[fd00::1]:0",
        "10.0.0.1:0",
        "[2001:db8::1]:0",
        "[2001:db8::1]:9",
        "[3ffe::]:0",
    ]


def test_unsorted_is_the_tables_order_with_the_newest_server_first() -> None:
    run = Run()
    for line in ("-A -f 2", "-A -f 1", "-a -f 2 -r 10.0.0.1", "-a -f 2 -r 10.0.0.2"):
        run.line(line)
    names = [line.split()[1] for line in run.line("-Ln --nosort")[1].splitlines()[3:]]
    assert names == ["2", "10.0.0.2:0", "10.0.0.1:0", "1"]


def test_sorting_keeps_everything() -> None:
    keys = [DestinationKey(address=ip_address(n * 0x1357_9BDF % 2**32), port=n) for n in range(1, 200)]
    assert sorted(in_order(keys, destination_order)) == sorted(keys)
