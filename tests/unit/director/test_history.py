"""The history of counters, fed with snapshots of known counters at known times."""

from __future__ import annotations

from ipaddress import ip_address

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piranha.director import history as module
from piranha.director.history import History
from piranha.model.service import (
    Counters,
    Destination,
    DestinationKey,
    DestinationStatus,
    ForwardingMethod,
    Protocol,
    Service,
    ServiceKey,
    ServiceStatus,
)


def key(port: int) -> ServiceKey:
    return ServiceKey(protocol=Protocol.TCP, address=ip_address("10.0.0.100"), port=port)


def status(port: int, count: int, active: int = 0) -> ServiceStatus:
    """A service after `count` connections of one packet of 10 bytes in and two of 100 out."""
    destination = Destination(
        key=DestinationKey(address=ip_address("10.0.0.11"), port=port), method=ForwardingMethod.DIRECT
    )
    return ServiceStatus(
        service=Service(key=key(port)),
        destinations=(DestinationStatus(destination=destination, active_connections=active),),
        counters=Counters(
            connections=count, in_packets=count, out_packets=2 * count, in_bytes=10 * count, out_bytes=100 * count
        ),
    )


def test_each_second_of_the_last_minutes() -> None:
    history = History()
    for second in range(5):
        history.sample((status(80, 3 * second, active=second), status(81, second)), 100.0 + second, 6000.0 + second)
    document = history.document(key(80), "web", 3)
    assert document == {
        "service": "web",
        "step_s": 1,
        "kept": True,
        "times": [6002, 6003, 6004],
        "connections_per_s": [3.0, 3.0, 3.0],
        "packets_per_s": [9.0, 9.0, 9.0],
        "in_bits_per_s": [240.0, 240.0, 240.0],
        "out_bits_per_s": [2400.0, 2400.0, 2400.0],
        "active": [2.0, 3.0, 4.0],
    }
    assert history.document(None, "", 600)["connections_per_s"] == [4.0] * 4
    assert not history.document(key(99), "gone", 600)["kept"]


def test_snapshots_between_the_seconds_are_no_samples() -> None:
    history = History()
    for tenth in range(40):
        history.sample((status(80, tenth),), tenth / 10, 6000 + tenth / 10)
    assert len(history.document(None, "", 600)["times"]) == 4


def test_minutes_are_means_of_their_seconds() -> None:
    history = History()
    count = 0
    for second in range(185):
        count += 2 if second < 65 else 4
        history.sample((status(80, count),), float(second), 60_000.0 + second)
    document = history.document(key(80), "web", 3600)
    assert (document["step_s"], document["times"]) == (60, [60_000, 60_060, 60_120])
    assert document["connections_per_s"] == [2.0, 3.8, 4.0]


def test_rings_are_bounded_and_the_oldest_goes() -> None:
    history = History()
    for second in range(700):
        history.sample((status(80, second),), float(second), 1000.0 + second)
    times = history.document(None, "", 600)["times"]
    assert (len(times), times[0], times[-1]) == (600, 1100, 1699)


def test_a_service_that_comes_back_has_not_the_history_of_another() -> None:
    history = History()
    history.sample((status(80, 0),), 0.0, 1000.0)
    history.sample((status(80, 5),), 1.0, 1001.0)
    history.sample((), 2.0, 1002.0)
    history.sample((status(81, 0),), 3.0, 1003.0)
    history.sample((status(81, 7), status(80, 6)), 4.0, 1004.0)
    assert history.document(key(81), "", 600)["connections_per_s"] == [None, None, 0.0, 7.0]
    assert history.document(key(80), "", 600)["connections_per_s"][:-1] == [None, None, None]


def test_counters_that_begin_anew_count_from_zero() -> None:
    history = History()
    for at, count in enumerate((100, 110, 4)):
        history.sample((status(80, count),), float(at), 1000.0 + at)
    assert history.document(key(80), "", 600)["connections_per_s"] == [10.0, 4.0]


def test_more_services_than_have_a_history(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_SERVICES", 3)
    history = History()
    for at in range(3):
        history.sample([status(port, at) for port in range(1, 41)], float(at), 1000.0 + at)
    assert history.document(None, "", 600)["connections_per_s"] == [40.0, 40.0]
    assert [history.document(key(port), "", 600)["kept"] for port in (1, 3, 4)] == [True, True, False]
    assert history.document(key(4), "", 600)["active"] == [None, None]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 50)), unique_by=lambda one: one[0]), max_size=12))
def test_the_total_is_the_sum_of_the_services(rounds: list[list[tuple[int, int]]]) -> None:
    history = History()
    # No service goes: one that does takes its history along.
    counts: dict[int, int] = {}
    for at, services in enumerate(rounds):
        counts |= dict(services)
        history.sample([status(port, count) for port, count in counts.items()], float(at), 1000.0 + at)
    total = history.document(None, "", 600)["connections_per_s"]
    parts = np.zeros(len(total))
    for port in counts:
        parts += [value or 0.0 for value in history.document(key(port), "", 600)["connections_per_s"]]
    assert parts.tolist() == pytest.approx(total)
