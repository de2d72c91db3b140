"""From loads to weights: the original's formula, the bounded one, agents' words, ages."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piranha.dataplane.memory import MemoryPlane
from piranha.director.admission import Advised
from piranha.director.layout import Layout, lay_out
from piranha.director.loading import Loads, bounded_weight, load_sources, original_weight
from piranha.model.configuration import Configuration, DeviceAddress, LoadFormula, RealServer, VirtualServer
from piranha.model.health import Health
from piranha.monitor.load.monitor import LoadStatus
from piranha.monitor.load.reading import Reading
from piranha.monitor.target import TargetKey


def layout_of(weight: int = 100, **rest: object) -> Layout:
    server = RealServer(name="web1", address=ip_address("10.0.0.11"), active=True, weight=weight, processors=4)
    virtual = VirtualServer(
        name="HTTP",
        active=True,
        address=DeviceAddress(address=ip_address("10.0.0.100"), device="eth0"),
        servers=(server,),
        **{"load_monitor": "rup", **rest},  # type: ignore[arg-type]
    )
    return lay_out(Configuration(virtuals=(virtual,)), MemoryPlane().capabilities)


class Told:
    """One server whose load a test tells."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.key: TargetKey = layout.services[0].members[0].key
        self.loads = Loads()
        self.loads.follow(layout)
        self.now = 50.0

    def say(self, **reading: object) -> Advised | None:
        (source,) = load_sources(self.layout, Configuration()).values()
        status = LoadStatus(source=source, reading=Reading(**reading), at=self.now)  # type: ignore[arg-type]
        self.loads.read(self.key, status)
        return self.loads.advised.get(self.key)


def weight(advised: Advised | None, configured: int = 100) -> int:
    assert advised is not None
    return advised.of(configured)


def test_the_originals_weights_climb_to_ten_times_and_fall_back() -> None:
    told = Told(layout_of())
    climb = [weight(told.say(average=0.0)) for _ in range(20)]
    assert climb[:3] == [150, 200, 250]
    assert climb[-1] == 1000
    fall = [weight(told.say(average=9.0)) for _ in range(12)]
    assert fall[0] == 900
    assert fall[-1] == 100


def test_the_bounded_one_knows_processors() -> None:
    told = Told(layout_of(load_formula=LoadFormula.BOUNDED))
    assert [weight(told.say(average=load)) for load in (0, 1, 1.2, 2, 4, 40, 0)] == [100, 75, 75, 50, 5, 5, 100]


@given(st.integers(0, 10_000), st.lists(st.floats(0, 1e6), max_size=30), st.integers(1, 256))
def test_whatever_is_told_weights_stay_within_their_bounds(configured: int, averages: list[float], cpus: int) -> None:
    original = bounded = configured
    for average in averages:
        original = original_weight(configured, original, average)
        bounded = bounded_weight(configured, bounded, average, cpus)
        assert configured <= original <= 10 * configured
        assert min(1, configured) <= bounded <= configured


def test_an_agents_words_last_until_they_are_taken_back() -> None:
    told = Told(layout_of(load_monitor="agent"))
    assert told.say(percent=50.0) == Advised(percent=50.0)
    assert told.say(is_down=True) == Advised(percent=50.0, health=Health.DOWN)
    assert told.say(percent=75.0) == Advised(percent=75.0, health=Health.DOWN)
    assert told.say(is_down=False, is_quiesced=True) == Advised(percent=75.0, quiesced=True)
    assert told.say(is_quiesced=False) == Advised(percent=75.0)


def test_a_value_that_is_too_old_counts_no_more() -> None:
    told = Told(layout_of(load_lifetime_s=600, load_formula=LoadFormula.BOUNDED))
    assert told.say(average=2.0) == Advised(weight=50)
    told.loads.age(649.9)
    assert told.loads.advised
    told.loads.age(650)
    assert not told.loads.advised
    kept = Told(layout_of())
    kept.say(average=0.0)
    kept.loads.age(1e9)
    assert kept.loads.advised


def test_the_same_advice_is_the_same_object() -> None:
    told = Told(layout_of(load_formula=LoadFormula.BOUNDED))
    told.say(average=2.0)
    before = told.loads.advised
    told.say(average=2.0)
    assert told.loads.advised is before


@pytest.mark.parametrize("monitor", ["none", None])
def test_a_reload_without_a_monitor_takes_the_advice_back(monitor: str | None) -> None:
    told = Told(layout_of())
    told.say(average=0.0)
    told.loads.follow(layout_of(load_monitor=monitor))
    assert told.loads.advised == {}


def test_a_load_goes_before_what_checks_ask_for() -> None:
    told = Told(layout_of(load_formula=LoadFormula.BOUNDED))
    checks = {told.key: Advised(weight=7)}
    assert told.loads.beside(checks) == checks
    told.say(percent=50.0)
    assert told.loads.beside(checks) == {told.key: Advised(weight=7, percent=50.0)}
    told.say(average=2.0)
    both = told.loads.beside(checks)
    assert both == {told.key: Advised(weight=50, percent=50.0)}
    assert told.loads.beside(checks) is both
