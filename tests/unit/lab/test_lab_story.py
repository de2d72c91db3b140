"""The story's decisions, played with a fake cluster."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piranha.lab.perform import perform
from piranha.lab.story import (
    ROUNDS,
    TIME_LIMITS_S,
    Act,
    Answered,
    Command,
    Event,
    Failed,
    Looked,
    OpenDownloads,
    PowerOff,
    PowerOn,
    StartServer,
    StopServer,
    Story,
    SwitchTo,
)

SERVERS = ("web1", "web2")


class FakeCluster:
    """A stage with its own clock; the pool acts on a stop or a start `notice_s` later."""

    def __init__(self, *, notice_s: float = 2.0, drops: bool = True, returns: bool = True) -> None:
        self.now = 100.0
        self.notice_s = notice_s
        self.drops = drops
        self.returns = returns
        self.running = dict.fromkeys(SERVERS, True)
        self.changed_at = dict.fromkeys(SERVERS, -1e9)
        self.log: list[str] = []
        self.requests = 0
        self._turn: Iterator[int] = itertools.count()

    def in_pool(self, server: str) -> bool:
        noticed = self.now - self.changed_at[server] >= self.notice_s
        if self.running[server]:
            return noticed and (self.returns or self.changed_at[server] < 0)
        return not (noticed and self.drops)

    def request(self) -> Event:
        self.requests += 1
        pool = [s for s in SERVERS if self.in_pool(s)]
        if not pool:
            return Failed("connection refused")
        server = pool[next(self._turn) % len(pool)]
        return Answered(server) if self.running[server] else Failed("connection refused")

    def look(self) -> Looked | None:
        return None

    def carry_out(self, command: Command) -> None:
        match command:
            case StopServer(server):
                self.log.append(f"stop {server}")
                self.running[server], self.changed_at[server] = False, self.now
            case StartServer(server):
                self.log.append(f"start {server}")
                self.running[server], self.changed_at[server] = True, self.now
            case _:
                raise AssertionError(command)

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds


class Silent:
    """A view that only remembers what was announced."""

    def __init__(self) -> None:
        self.announced: list[Command] = []

    def show(self, story: Story, event: Event, now: float) -> None:
        pass

    def announce(self, command: Command) -> None:
        self.announced.append(command)


def play(cluster: FakeCluster, *, in_turn: bool = True) -> tuple[bool, Story]:
    story = Story(SERVERS, in_turn=in_turn, now=cluster.now)
    came_true = perform(story, cluster, Silent(), interval_s=0.2, go_on=False, now=cluster.clock, sleep=cluster.sleep)
    return came_true, story


def test_all_three_acts_come_true_on_a_working_cluster() -> None:
    cluster = FakeCluster(notice_s=2.0)
    came_true, story = play(cluster)
    assert came_true
    assert cluster.log == ["stop web1", "start web1"]
    assert [act.act for act in story.finished] == [Act.BALANCE, Act.FAILURE, Act.RETURN]
    assert story.failures > 0


def test_the_time_until_the_pool_noticed_is_measured() -> None:
    _, story = play(FakeCluster(notice_s=3.0))
    balance, failure, back = story.finished
    assert balance.noticed_s is None
    # Every second request goes to the other server, so the first good one of the final run may be one turn early.
    assert failure.noticed_s == pytest.approx(3.0, abs=0.41)
    assert back.noticed_s == pytest.approx(3.0, abs=0.41)


def test_a_pool_that_keeps_a_dead_server_fails_the_second_act() -> None:
    cluster = FakeCluster(drops=False)
    came_true, story = play(cluster)
    assert not came_true
    assert story.finished[-1].act is Act.FAILURE
    assert not story.finished[-1].came_true
    assert "no answer" in story.finished[-1].why
    assert cluster.log == ["stop web1"]
    assert cluster.now - 100 < sum(TIME_LIMITS_S.values())


def test_a_server_that_never_returns_fails_the_third_act() -> None:
    came_true, story = play(FakeCluster(returns=False))
    assert not came_true
    assert story.finished[-1].act is Act.RETURN


def test_a_vip_that_answers_nobody_fails_the_first_act() -> None:
    cluster = FakeCluster()
    cluster.running = dict.fromkeys(SERVERS, False)
    came_true, story = play(cluster)
    assert not came_true
    assert [act.act for act in story.finished] == [Act.BALANCE]
    assert story.last_failure == "connection refused"


def test_round_robin_means_in_turn() -> None:
    story = Story(SERVERS, in_turn=True, now=0)
    for n in range(40):
        story.receive(Answered(SERVERS[(n // 2) % 2]), n * 0.1)  # 1 1 2 2 1 1 2 2
    assert story.act is Act.BALANCE
    relaxed = Story(SERVERS, in_turn=False, now=0)
    commands = [c for n in range(2 * ROUNDS) for c in relaxed.receive(Answered(SERVERS[(n // 2) % 2]), n * 0.1)]
    assert commands == [StopServer("web1")]


def test_it_goes_on_after_the_story_when_asked_to() -> None:
    cluster = FakeCluster()
    story = Story(SERVERS, in_turn=True, now=cluster.now)

    def until_bored(seconds: float) -> None:
        cluster.sleep(seconds)
        if cluster.now > 160:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        perform(story, cluster, Silent(), interval_s=0.2, go_on=True, now=cluster.clock, sleep=until_bored)
    assert story.came_true
    assert cluster.requests > 200


def test_every_command_is_announced_before_it_is_done() -> None:
    cluster, view = FakeCluster(), Silent()
    story = Story(SERVERS, in_turn=True, now=cluster.now)
    perform(story, cluster, view, interval_s=0.2, go_on=False, now=cluster.clock, sleep=cluster.sleep)
    assert view.announced == [StopServer("web1"), StartServer("web1")]


@given(st.lists(st.sampled_from([Answered("web1"), Answered("web2"), Answered("stranger"), Failed("x")]), max_size=400))
def test_whatever_is_answered_it_stops_and_starts_only_its_victim_and_in_order(events: list[Event]) -> None:
    story = Story(SERVERS, in_turn=False, now=0.0)
    commands = [c for n, event in enumerate(events) for c in story.receive(event, n * 0.2)]
    assert commands in ([], [StopServer("web1")], [StopServer("web1"), StartServer("web1")])
    assert sum(story.counts.values()) + story.failures == len(events)
    assert story.came_true == (story.act is Act.DONE)


# ---- two directors ----

PAIR = ("lb1", "lb2")


class FakePair(FakeCluster):
    """Two directors; `moving` says how many of the eight downloads go on after the takeover."""

    def __init__(self, *, moving: int = 8, takes_over: bool = True, lost_by_switch: int = 0) -> None:
        super().__init__()
        self.moving, self.takes_over, self.lost_by_switch = moving, takes_over, lost_by_switch
        self.active, self.alive = "lb1", {"lb1", "lb2"}
        self.downloads = 0
        self.lost = 0

    def look(self) -> Looked:
        return Looked(
            active=(self.active,) if self.active in self.alive else (),
            backup_fit=len(self.alive) == 2,
            gap_ms=5.0,
            lost=self.lost,
            downloads=self.downloads,
            moving=self.downloads and self.moving,
        )

    def carry_out(self, command: Command) -> None:
        match command:
            case OpenDownloads():
                self.downloads = 8
            case PowerOff(director):
                self.alive.discard(director)
                if self.takes_over:
                    (self.active,) = self.alive
            case PowerOn(director):
                self.alive.add(director)
            case SwitchTo(director):
                self.active, self.lost = director, self.lost_by_switch
            case _:
                super().carry_out(command)


def play_pair(cluster: FakePair) -> Story:
    story = Story(SERVERS, in_turn=True, now=cluster.now, directors=PAIR)
    perform(story, cluster, Silent(), interval_s=0.2, go_on=False, now=cluster.clock, sleep=cluster.sleep)
    return story


def test_all_seven_acts_come_true_on_a_working_pair() -> None:
    story = play_pair(FakePair())
    assert story.came_true
    assert [act.act for act in story.finished] == list(Act)[:-1]


@pytest.mark.parametrize(
    ("cluster", "act"),
    [
        (FakePair(moving=7), Act.DOWNLOADS),
        (FakePair(takes_over=False), Act.TAKEOVER),
        (FakePair(lost_by_switch=1), Act.SWITCH),
    ],
    ids=["a download stands still", "nobody takes over", "the switch loses a probe"],
)
def test_a_pair_that_fails_ends_the_story(cluster: FakePair, act: Act) -> None:
    story = play_pair(cluster)
    assert not story.came_true
    assert story.finished[-1].act is act
    assert not story.finished[-1].came_true


def test_the_director_that_is_active_loses_its_power() -> None:
    cluster = FakePair()
    cluster.active = "lb2"
    story = play_pair(cluster)
    assert story.came_true
    assert story.fallen == "lb2"
    assert cluster.active == "lb2"
