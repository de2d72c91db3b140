"""One seed, one history: a pair boots, faults come and go, and in the end exactly one is active."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from piranha.cluster.commands import Command
from piranha.cluster.failover import Failover
from piranha.cluster.heartbeat import Place
from piranha.cluster.settings import Settings
from piranha.cluster.timing import MILLISECOND, SECOND, choose
from piranha.model.configuration import ProfileChoice
from tests.simulation import faults
from tests.simulation.host import LINKS, Host
from tests.simulation.watch import Findings, Watch
from tests.simulation.world import World

FAULTS_NS = 11 * SECOND
"""When the last fault is over."""
PROFILES = (ProfileChoice.DEFAULT,) * 7 + (ProfileChoice.FAST,) * 2 + (ProfileChoice.CALM,)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What was drawn, and what came of it."""

    seed: int
    profile: ProfileChoice
    faults: tuple[str, ...]
    findings: Findings
    lasted_ns: int


def play(
    seed: int,
    machine: Callable[[Settings, int], Failover] = Failover,
    *,
    host: type[Host] = Host,
    tells: Callable[[Host, Command], None] | None = None,
) -> History:
    """Run one seed with this machine. `tells` is called with each command."""
    world = World(seed, wires=1 + seed % 2)
    world.tells = tells
    random = world.random
    profile = random.choice(PROFILES)
    timing = choose(profile, realtime=True)
    scale = 4 if profile is ProfileChoice.CALM else 1
    world.watch = Watch(world, timing)
    monitor_links, failback = random.random() < 0.5, random.random() < 0.3
    for index, place in enumerate(Place):
        settings = Settings(
            timing=timing,
            place=place,
            node=bytes((index,)) * 8,
            links=frozenset(LINKS[: world.wires]),
            vip_links=frozenset(LINKS[:1]),
            monitor_links=monitor_links,
            failback=failback,
            failback_delay_ns=2 * SECOND,
            lvsd_wait_ns=SECOND,
            sync_wait_ns=3 * SECOND,
        )
        director = host(world, index, settings, machine)
        world.hosts.append(director)
        world.after(random.randrange(20 * MILLISECOND), director.boot)
    drawn = faults.draw(world, random.randint(1, 6), scale)
    until = FAULTS_NS * scale + 1500 * MILLISECOND + 4 * timing.dead_ns
    world.run(until)
    world.watch.end()
    findings = world.watch.findings
    bound = 2 + sum(4 if fault.name.startswith("loss") else 3 for fault in drawn)
    if findings.claims > bound:
        world.watch.broke(f"{findings.claims} claims for {len(drawn)} faults")
    return History(
        seed=seed,
        profile=profile,
        faults=tuple(sorted(fault.name for fault in drawn)),
        findings=findings,
        lasted_ns=until,
    )
