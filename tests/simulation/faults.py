"""What befalls a pair: each fault has a beginning, and an end after a while. The numbers are those of the fault catalogue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from piranha.cluster.events import Question
from piranha.cluster.timing import MILLISECOND, SECOND
from tests.simulation.host import Host
from tests.simulation.world import PUBLIC, World

LOSSES = (0.1, 0.3, 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One that was drawn: `end` undoes `begin`."""

    name: str
    begin: Callable[[], None]
    end: Callable[[], None]


def _nothing() -> None:
    pass


def freeze(world: World, host: Host, other: Host) -> Fault:
    """SIGSTOP and SIGCONT (F19, F20)."""
    return Fault(name="freeze", begin=host.freeze, end=host.thaw)


def kill(world: World, host: Host, other: Host) -> Fault:
    """kill -9 of the daemon; the kernel lives (F17)."""
    return Fault(name="kill", begin=host.kill, end=host.start)


def crash(world: World, host: Host, other: Host) -> Fault:
    """Power loss, and boot (F22)."""
    return Fault(name="crash", begin=host.crash, end=host.boot)


def both_crash(world: World, host: Host, other: Host) -> Fault:
    """Both lose power and boot together (F26)."""

    def begin() -> None:
        host.crash()
        other.crash()

    def end() -> None:
        host.boot()
        world.after(world.random.randrange(10 * MILLISECOND), other.boot)

    return Fault(name="both crash", begin=begin, end=end)


def heartbeats_one_way(world: World, host: Host, other: Host) -> Fault:
    """Heartbeats alone are lost, from one to the other (F25)."""
    pair = (host.index, other.index)
    return Fault(
        name="heartbeats one way", begin=lambda: world.set_deaf(*pair, True), end=lambda: world.set_deaf(*pair, False)
    )


def heartbeats_both_ways(world: World, host: Host, other: Host) -> Fault:
    """Heartbeats alone are lost, both ways (F25)."""

    def change(deaf: bool) -> None:
        world.set_deaf(host.index, other.index, deaf)
        world.set_deaf(other.index, host.index, deaf)

    return Fault(name="heartbeats both ways", begin=lambda: change(True), end=lambda: change(False))


def mute(world: World, host: Host, other: Host) -> Fault:
    """Nothing of a director gets through to the other (F24)."""

    def change(cut: bool) -> None:
        for wire in range(world.wires):
            world.set_cut(wire, host.index, other.index, cut)

    return Fault(name="mute", begin=lambda: change(True), end=lambda: change(False))


def partition(world: World, host: Host, other: Host) -> Fault:
    """The network between the two is split, and heals (F28)."""

    def change(cut: bool) -> None:
        for wire in range(world.wires):
            world.set_cut(wire, host.index, other.index, cut)
            world.set_cut(wire, other.index, host.index, cut)

    return Fault(name="partition", begin=lambda: change(True), end=lambda: change(False))


def public_partition(world: World, host: Host, other: Host) -> Fault:
    """The public wire alone is split; where there is another one the heartbeats go on."""

    def change(cut: bool) -> None:
        world.set_cut(PUBLIC, host.index, other.index, cut)
        world.set_cut(PUBLIC, other.index, host.index, cut)

    return Fault(name="public partition", begin=lambda: change(True), end=lambda: change(False))


def loss(world: World, host: Host, other: Host) -> Fault:
    """Packets of every kind are lost (F27)."""
    share = world.random.choice(LOSSES)
    settle = 4 * world.watch.timing.dead_ns
    return Fault(
        name=f"loss {share:.0%}", begin=lambda: world.set_loss(share, settle), end=lambda: world.set_loss(0.0, settle)
    )


def switch(world: World, host: Host, other: Host) -> Fault:
    """A person changes over (R3)."""
    return Fault(name="switch", begin=lambda: host.ask(Question.SWITCH), end=_nothing)


def stop(world: World, host: Host, other: Host) -> Fault:
    """pulse is stopped in good order, and started again."""
    return Fault(name="stop", begin=lambda: host.ask(Question.STOP), end=host.start)


def lvsd_death(world: World, host: Host, other: Host) -> Fault:
    """lvsd dies and comes back (F18)."""

    def back() -> None:
        if host.machine is not None:
            host.set_lvsd(True)

    return Fault(name="lvsd", begin=lambda: host.set_lvsd(False), end=back)


def link_down(world: World, host: Host, other: Host) -> Fault:
    """An interface loses its carrier (F23)."""
    wire = world.random.randrange(world.wires)
    return Fault(
        name="link down", begin=lambda: host.set_carrier(wire, False), end=lambda: host.set_carrier(wire, True)
    )


def maintenance(world: World, host: Host, other: Host) -> Fault:
    """A director is taken into maintenance and out again."""

    def begin() -> None:
        host.may_serve = False
        host.ask(Question.MAINTENANCE_ON)
        world.watch.look()

    def end() -> None:
        host.may_serve = True
        host.ask(Question.MAINTENANCE_OFF)
        world.watch.look()

    return Fault(name="maintenance", begin=begin, end=end)


def clone(world: World, host: Host, other: Host) -> Fault:
    """A copy of a director appears on the wire (F68)."""
    copy = Host(world, len(world.hosts), replace(host.settings), host.make)
    copy.may_serve = False
    copy.copy_of = host

    def begin() -> None:
        world.hosts.append(copy)
        host.copied_until = 2**62
        copy.boots_of_original = host.boots
        copy.boot()

    def end() -> None:
        copy.crash()
        world.hosts.remove(copy)
        host.copied_until = world.now + 3 * world.watch.timing.dead_ns
        world.at(host.copied_until, world.watch.look)

    return Fault(name="clone", begin=begin, end=end)


KINDS = (
    freeze,
    kill,
    crash,
    both_crash,
    heartbeats_one_way,
    heartbeats_both_ways,
    mute,
    partition,
    public_partition,
    loss,
    switch,
    stop,
    lvsd_death,
    link_down,
    maintenance,
    clone,
)


def draw(world: World, count: int, scale: int) -> list[Fault]:
    """Put `count` faults on the world's calendar, within the first 8 s times `scale`. Those already begun may overlap."""
    random = world.random
    drawn = []
    for _ in range(count):
        host, other = random.sample(world.hosts[:2], 2)
        fault = random.choice(KINDS)(world, host, other)
        begins = random.randrange(500 * MILLISECOND, 8 * SECOND) * scale
        lasts = random.randrange(20 * MILLISECOND, 3 * SECOND) * scale
        world.at(begins, fault.begin)
        world.at(begins + lasts, fault.end)
        world.watch.note(f"{begins / 1e9:.4f} to {(begins + lasts) / 1e9:.4f} s: {fault.name} of {host.index}")
        drawn.append(fault)
    return drawn
