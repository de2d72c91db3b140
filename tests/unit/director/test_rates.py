"""Rates from past snapshots."""

from __future__ import annotations

from ipaddress import ip_address

from piranha.director.rates import NO_RATES, WINDOW_S, RateMeter, Rates
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

WEB = ServiceKey(protocol=Protocol.TCP, address=ip_address("10.0.0.100"), port=80)
RIP = DestinationKey(address=ip_address("10.0.0.11"), port=80)


def counters(n: int) -> Counters:
    return Counters(connections=n, in_packets=10 * n, out_packets=5 * n, in_bytes=1000 * n, out_bytes=500 * n)


def snapshot(n: int) -> tuple[ServiceStatus, ...]:
    server = Destination(key=RIP, method=ForwardingMethod.DIRECT)
    status = DestinationStatus(destination=server, counters=counters(n))
    return (ServiceStatus(service=Service(key=WEB), destinations=(status,), counters=counters(n)),)


def test_nothing_is_known_before_the_first_sample() -> None:
    assert RateMeter().baseline(10.0).service(WEB, counters(5)) == NO_RATES


def test_rates_are_differences_over_time() -> None:
    meter = RateMeter()
    meter.sample(snapshot(100), 10.0)
    meter.sample(snapshot(150), 11.0)
    baseline = meter.baseline(12.0)
    assert baseline.service(WEB, counters(200)) == Rates(50, 500, 250, 50_000, 25_000)
    assert baseline.destination(WEB, RIP, counters(200)) == Rates(50, 500, 250, 50_000, 25_000)


def test_only_the_last_seconds_count() -> None:
    meter = RateMeter()
    for second in range(60):
        meter.sample(snapshot(0 if second < 50 else 10 * (second - 50)), float(second))
    rates = meter.baseline(60.0).service(WEB, counters(100))
    assert rates.connections_per_s == 10
    assert WINDOW_S <= 60 - meter._samples[0][0] < WINDOW_S + 2


def test_samples_that_come_too_fast_are_ignored() -> None:
    meter = RateMeter()
    for millisecond in range(1000):
        meter.sample(snapshot(millisecond), millisecond / 1000)
    assert meter.baseline(2.0).service(WEB, counters(2000)).connections_per_s == 1000
    assert len(meter._samples) == 2


def test_counters_that_began_anew_count_from_zero() -> None:
    meter = RateMeter()
    meter.sample(snapshot(1000), 0.0)
    assert meter.baseline(2.0).service(WEB, counters(4)) == Rates(2, 20, 10, 2000, 1000)


def test_an_object_that_was_not_there_has_no_rate_yet() -> None:
    meter = RateMeter()
    meter.sample((), 0.0)
    assert meter.baseline(1.0).service(WEB, counters(7)) == NO_RATES
