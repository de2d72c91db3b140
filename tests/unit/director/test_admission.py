"""Admission: damping, slow start, quorum, depool threshold, load and the operators' words, as one decision."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piranha.dataplane.port import Capabilities
from piranha.director.admission import Admission, Admitted, Advised, Cause, Facts, Share
from piranha.director.aftermath import flows_to_end, news
from piranha.director.layout import Layout, lay_out
from piranha.model.configuration import Configuration, DeviceAddress, RealServer, SlowStartForm, VirtualServer
from piranha.model.health import Health
from piranha.model.override import Act, Override, Overrides
from piranha.model.service import Protocol
from piranha.monitor.target import TargetKey

CAPABLE = Capabilities(schedulers=frozenset({"rr", "wlc"}))
UP, DOWN, UNKNOWN = Health.UP, Health.DOWN, Health.UNKNOWN
SORRY = ip_address("10.0.0.99")


def server(number: int, weight: int = 100) -> RealServer:
    return RealServer(name=f"web{number}", address=ip_address(f"10.0.0.{number}"), active=True, weight=weight)


def virtual(count: int = 4, **rest: object) -> VirtualServer:
    address = DeviceAddress(address=ip_address("10.0.0.100"), device="eth0:1")
    made = VirtualServer(
        name="HTTP", active=True, address=address, servers=tuple(server(n) for n in range(1, count + 1))
    )
    return replace(made, **rest)  # type: ignore[arg-type]


class Pool:
    """One service whose admission a test drives; `now` is a virtual clock that begins long after everything."""

    def __init__(self, described: VirtualServer) -> None:
        self.layout: Layout = lay_out(Configuration(virtuals=(described,)), CAPABLE)
        self.keys = [member.key for member in self.layout.services[0].members]
        self.admission = Admission()
        self.health: dict[TargetKey, Health] = {}
        self.held: dict[TargetKey, bool] = {}
        self.advised: dict[TargetKey, Advised] = {}
        self.overrides = Overrides()
        self.now = 1000.0
        self.last: Admitted = Admitted(shares={}, sorry=frozenset())
        self.quorum: list[bool] = []

    def decide(self, after: float = 0.0, **health: Health) -> list[int | None]:
        """The weights after some seconds and verdicts (`s1=DOWN`)."""
        self.now += after
        self.health = {**self.health, **{self.keys[int(name[1:]) - 1]: v for name, v in health.items()}}
        facts = Facts(health=self.health, held=self.held, overrides=self.overrides, advised=self.advised)
        self.last = self.admission.decide(self.layout, facts, self.now)
        self.quorum += [change.reached for change in self.last.changes]
        return [self.share(n).weight for n in range(1, len(self.keys) + 1)]

    def share(self, number: int) -> Share:
        return self.last.shares[self.keys[number - 1]]

    def say(self, act: Act, number: int, **rest: object) -> None:
        address = self.keys[number - 1].destination.address
        self.overrides = self.overrides.with_entry(Override(act=act, server=address, **rest))  # type: ignore[arg-type]

    @property
    def is_sorry(self) -> bool:
        return bool(self.last.sorry)


def all_up(pool: Pool) -> None:
    """Everything up, and its beginning long past."""
    pool.decide(**{f"s{n}": UP for n in range(1, len(pool.keys) + 1)})
    pool.decide(after=10_000)


def test_nobody_gets_packets_before_its_first_check() -> None:
    pool = Pool(virtual(2))
    assert pool.decide() == [None, None]
    assert pool.share(1).cause is Cause.UNCHECKED
    assert pool.decide(s2=UP) == [None, 100]


def test_a_returning_server_grows_as_the_originals_did() -> None:
    pool = Pool(virtual(2, slow_start_s=120, slow_start_form=SlowStartForm.DOUBLING))
    all_up(pool)
    pool.decide(s1=DOWN)
    weights = [pool.decide(s1=UP)[0]] + [pool.decide(after=20)[0] for _ in range(7)]
    assert weights == [3, 6, 12, 24, 48, 96, 100, 100]
    assert pool.last.due_at is None


def test_a_linear_growth_tells_when_it_goes_on_and_ends() -> None:
    pool = Pool(virtual(2, slow_start_s=20))
    all_up(pool)
    pool.decide(s1=DOWN)
    weights = [pool.decide(s1=UP)[0]]
    while (due_at := pool.last.due_at) is not None:
        assert pool.share(1).cause is Cause.GROWING
        pool.now = due_at
        weights.append(pool.decide()[0])
    assert len(weights) == 21
    assert weights[-1] == 100
    assert weights == sorted(weights, key=lambda weight: weight or 0)
    assert len(set(weights)) == 21


def test_what_begins_together_or_stands_in_the_table_does_not_grow() -> None:
    fresh = Pool(virtual(2, slow_start_s=120))
    assert fresh.decide(s1=UP) == [100, None]
    assert fresh.decide(after=1, s2=UP) == [100, 100]
    adopted = Pool(virtual(2, slow_start_s=120))
    adopted.held = dict.fromkeys(adopted.keys, True)
    assert adopted.decide() == [100, 100]
    adopted.held = {}
    assert adopted.decide(after=500, s1=UP, s2=UP) == [100, 100]


def test_a_flapping_server_is_held_until_it_was_good_for_long() -> None:
    pool = Pool(virtual(2, flap_limit=3, flap_window_s=60, flap_hold_s=60))
    all_up(pool)
    tables = [pool.decide()]
    for _ in range(100):
        tables.append(pool.decide(after=0.3, s1=DOWN))
        tables.append(pool.decide(after=0.3, s1=UP))
    changes = sum(before != after for before, after in pairwise(tables))
    assert changes <= 6, "fault F6: at most six tables a minute"
    assert tables[-1] == [None, 100]
    held = pool.share(1)
    assert held.cause is Cause.DAMPED
    assert held.until == pool.now + 8 * 60
    assert pool.decide(after=8 * 60 - 1) == [None, 100]
    assert pool.decide(after=1) == [100, 100]


def test_a_server_that_fails_now_and_then_is_not_damped() -> None:
    pool = Pool(virtual(2, flap_limit=3, flap_window_s=60))
    all_up(pool)
    for _ in range(10):
        pool.decide(after=31, s1=DOWN)
        assert pool.decide(after=5, s1=UP) == [100, 100]


def test_damping_never_empties_a_pool() -> None:
    pool = Pool(virtual(2, flap_limit=1))
    all_up(pool)
    pool.decide(s1=DOWN)
    assert pool.decide(s1=UP) == [None, 100]
    assert pool.decide(after=1, s2=DOWN) == [100, None]


def test_the_depool_threshold_leaves_the_last_to_fail_in() -> None:
    pool = Pool(virtual(4, depool_threshold=50))
    all_up(pool)
    assert pool.decide(after=1, s1=DOWN) == [None, 100, 100, 100]
    assert pool.decide(after=1, s2=DOWN) == [None, None, 100, 100]
    assert pool.decide(after=1, s3=DOWN) == [None, None, 100, 100]
    assert pool.share(3).cause is Cause.KEPT
    assert pool.decide(after=1, s4=DOWN) == [None, None, 100, 100]
    assert pool.decide(after=1, s1=UP) == [100, None, None, 100], "who is good takes the place of who is not"
    assert pool.decide(after=1, s2=UP) == [100, 100, None, None]


def test_only_what_was_in_is_kept() -> None:
    pool = Pool(virtual(4, depool_threshold=75))
    assert pool.decide(s1=UP, s2=DOWN, s3=DOWN, s4=DOWN) == [100, None, None, None]


def test_a_sorry_server_takes_over_when_all_that_is_left_is_down() -> None:
    pool = Pool(virtual(2, depool_threshold=50, sorry_server=SORRY))
    all_up(pool)
    assert pool.decide(s1=DOWN, s2=DOWN) in ([0, None], [None, 0])
    assert pool.is_sorry


def test_the_quorum_has_its_hysteresis_and_its_news() -> None:
    pool = Pool(virtual(4, quorum=200, quorum_hysteresis=100, sorry_server=SORRY))
    all_up(pool)
    assert pool.quorum == [True]
    assert pool.decide(s1=DOWN, s2=DOWN, s3=DOWN) == [None, None, None, 100]
    assert not pool.is_sorry
    assert pool.decide(s4=DOWN) == [None, None, None, None]
    assert (pool.is_sorry, pool.quorum) == (True, [True, False])
    assert pool.decide(after=9, s1=UP, s2=UP) == [0, 0, None, None], "200 is not 300"
    assert pool.share(1).cause is Cause.NO_QUORUM
    assert pool.decide(after=9, s3=UP) == [100, 100, 100, None]
    assert (pool.is_sorry, pool.quorum) == (False, [True, False, True])


def test_a_lost_quorum_without_a_sorry_server_goes_on_with_who_is_left() -> None:
    pool = Pool(virtual(2, quorum=200))
    all_up(pool)
    assert pool.decide(s1=DOWN) == [None, 100]
    assert pool.quorum == [True, False]


def test_slow_start_does_not_lose_the_quorum() -> None:
    pool = Pool(virtual(2, quorum=200, slow_start_s=100))
    all_up(pool)
    pool.decide(s1=DOWN)
    pool.decide(s1=UP)
    assert pool.share(1).cause is Cause.GROWING
    assert pool.quorum == [True, False, True]


def test_drain_quiesces_until_it_is_over() -> None:
    pool = Pool(virtual(2))
    all_up(pool)
    pool.say(Act.DRAIN, 1)
    assert pool.decide() == [0, 100]
    assert pool.share(1).cause is Cause.DRAINING
    pool.say(Act.DRAIN, 1, drained=True)
    assert pool.decide() == [None, 100]
    pool.say(Act.ENABLE, 1)
    assert pool.decide() == [100, 100]


def test_an_operator_stands_above_checks_load_and_threshold() -> None:
    pool = Pool(virtual(2, depool_threshold=100))
    all_up(pool)
    pool.say(Act.DISABLE, 1)
    assert pool.decide() == [None, 100]
    pool.say(Act.ENABLE, 1)
    pool.say(Act.DOWN, 1)
    assert pool.decide() == [None, 100]
    pool.say(Act.UP, 1)
    assert pool.decide(s1=DOWN) == [100, 100]
    assert pool.share(1).cause is Cause.FORCED_UP
    pool.say(Act.WEIGHT, 1, weight=7)
    pool.advised = {pool.keys[0]: Advised(percent=50)}
    assert pool.decide() == [7, 100]
    assert pool.share(1).cause is Cause.WEIGHT


def test_a_word_about_one_service_stands_above_one_about_all() -> None:
    pool = Pool(virtual(2))
    all_up(pool)
    service = str(pool.keys[0].service)
    pool.say(Act.DISABLE, 1)
    pool.say(Act.ENABLE, 1, service=service)
    assert pool.decide() == [100, 100]
    pool.say(Act.DISABLE, 1)
    assert pool.decide() == [None, 100], "said later of all services, it counts for all"


@pytest.mark.parametrize(
    ("advised", "weight"),
    [
        (Advised(percent=75), 75),
        (Advised(percent=0.2), 1),
        (Advised(percent=0), 0),
        (Advised(weight=250), 250),
        (Advised(quiesced=True), 0),
        (Advised(health=DOWN), None),
        (Advised(health=UP), 100),
    ],
)
def test_load_moves_the_weight(advised: Advised, weight: int | None) -> None:
    pool = Pool(virtual(2))
    all_up(pool)
    pool.advised = {pool.keys[0]: advised}
    assert pool.decide() == [weight, 100]


def test_load_never_brings_in_who_is_down() -> None:
    pool = Pool(virtual(2))
    all_up(pool)
    pool.advised = {pool.keys[0]: Advised(percent=400, health=UP)}
    assert pool.decide(s1=DOWN) == [None, 100]


EVENTS = st.lists(st.tuples(st.floats(0, 40), st.integers(1, 4), st.sampled_from([UP, DOWN])), min_size=1, max_size=60)


@given(
    EVENTS,
    st.integers(0, 100),
    st.integers(0, 4),
    st.integers(0, 300),
    st.integers(1, 400),
    st.integers(0, 100),
    st.booleans(),
    st.sampled_from(list(SlowStartForm)),
)
def test_whatever_happens_the_rules_hold(
    events: list[tuple[float, int, Health]],
    threshold: int,
    flap_limit: int,
    slow_start_s: int,
    quorum: int,
    hysteresis: int,
    quiesce: bool,
    form: SlowStartForm,
) -> None:
    pool = Pool(
        virtual(
            4,
            depool_threshold=threshold,
            flap_limit=flap_limit,
            slow_start_s=slow_start_s,
            slow_start_form=form,
            quorum=quorum,
            quorum_hysteresis=hysteresis,
            quiesce_server=quiesce,
        )
    )
    all_up(pool)
    for after, number, health in events:
        weights = pool.decide(after=after, **{f"s{number}": health})
        taking = [n for n, weight in enumerate(weights, 1) if weight]
        good = [n for n, key in enumerate(pool.keys, 1) if pool.health[key] is UP]
        assert len(taking) * 100 >= 4 * threshold, "the threshold holds"
        if good:
            assert set(good) & set(taking), "somebody good is always in"
        for n in taking:
            assert n in good or pool.share(n).cause is Cause.KEPT
            assert 1 <= (weights[n - 1] or 0) <= 100
        if pool.last.due_at is not None:
            assert pool.last.due_at > pool.now - 1e-6
        assert pool.decide() == weights, "asked again at the same time, the answer is the same"


def told(pool: Pool, before: Admitted) -> list[str]:
    return [one.text for one in news(before, pool.last, pool.now)]


def test_what_a_person_should_hear() -> None:
    pool = Pool(virtual(2, flap_limit=1, depool_threshold=50))
    all_up(pool)
    before = pool.last
    pool.decide(s1=DOWN)
    assert told(pool, before) == []
    for change, texts in (
        ({"s1": UP}, ["is up but fails too often: held back until it was good for another 60 s"]),
        ({"s2": DOWN}, ["comes in, it is held back no more"]),
        ({"s1": DOWN}, ["stays in although it is down: too few others are left"]),
        ({"s2": UP}, ["goes out, enough others are there"]),
    ):
        before = pool.last
        pool.decide(after=1, **change)
        assert told(pool, before) == texts


def test_datagram_flows_of_who_goes_out_are_ended_once() -> None:
    pool = Pool(virtual(2, protocol=Protocol.UDP))
    all_up(pool)
    ended: list[str] = []
    for health in (UP, DOWN, DOWN, UP):
        before = pool.last
        pool.decide(s1=health)
        ended += [str(key.destination.address) for key in flows_to_end(pool.layout, before, pool.last)]
    assert ended == ["10.0.0.1"]
    over_tcp = Pool(virtual(2))
    all_up(over_tcp)
    before = over_tcp.last
    over_tcp.decide(s1=DOWN)
    assert not list(flows_to_end(over_tcp.layout, before, over_tcp.last))
