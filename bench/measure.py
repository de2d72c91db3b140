"""Rounds: the contenders run in turn on the same packets, so that a busy moment of the machine meets all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from bench.driver import FILL, Driver, Stream
from bench.world import Totals, Unverified, World

XDP_PASS, XDP_REDIRECT, TC_REDIRECT, TC_PASS = 2, 4, 7, 0xFFFFFFFF

_MULTIPLIERS = (2654435761, 0xC2B2AE35, 0x27D4EB2F, 0x165667B1, 0x9E3779B9, 0xCC9E2D51, 0x1B873593, 0xE6546B64 | 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long to measure: rounds of each case, packets of a hot case, and whether everything is measured."""

    rounds: int = 7
    hot_packets: int = 200_000
    whole: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What each packet of a run must do; a figure without it is worthless."""

    verdict: int
    conns: int = 0
    in_packets: int = 0
    out_packets: int = 0

    def check(self, verdict: int, packets: int, done: Totals, refusals: Mapping[str, int]) -> None:
        wanted = Totals(self.conns * packets, self.in_packets * packets, self.out_packets * packets)
        if verdict != self.verdict or done != wanted:
            raise Unverified(
                f"verdict {verdict} instead of {self.verdict}, {done} instead of {wanted}, refused {dict(refusals)}"
            )


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU nanoseconds a packet, the driver's own subtracted; `rounds` in the order they were run."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.rounds)

    @property
    def minimum(self) -> float:
        return min(self.rounds)


def multiplier(number: int) -> int:
    """Another permutation for each round; none is the one that tables are filled in."""
    return _MULTIPLIERS[number % len(_MULTIPLIERS)]


def packets_of(stream: Stream, effort: Effort) -> int:
    """Every flow as often as makes a long enough run; never a part of them."""
    return stream.flows * max(1, -(-effort.hot_packets // stream.flows))


def driver_cost(driver: Driver, stream: Stream, packets: int, number: int, *, grown: bool = False) -> float:
    """What the driver alone costs. Undoing a tunnel is half of what growing and undoing cost together."""
    idle = driver.run(driver.idle(stream.hook), stream, packets, multiplier=multiplier(number)).ns
    if not grown:
        return idle
    growing = driver.run(driver.growing, stream, packets, multiplier=multiplier(number)).ns
    return idle + (growing - idle) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A program of a world (`ours`, `peer`), or any other that must leave that world alone, and the packets it gets."""

    world: World
    stream: Stream
    who: str = "ours"
    stranger: int | None = None
    grown: bool = False

    @property
    def program(self) -> int:
        return self.world.contenders(self.stream.hook)[self.who] if self.stranger is None else self.stranger

    def run(self, driver: Driver, packets: int, expected: Expected, permutation: int) -> float:
        """CPU nanoseconds a packet, driver included. Raises Unverified when the packets did something else."""
        before = self.world.totals()
        run = driver.run(self.program, self.stream, packets, multiplier=permutation)
        expected.check(run.verdict, packets, self.world.totals() - before, self.world.refusals())
        return run.ns


def both(world: World, stream: Stream, *, grown: bool = False) -> dict[str, Contender]:
    """Ours and the peer, on the same stream."""
    return {who: Contender(world=world, stream=stream, who=who, grown=grown) for who in ("ours", "peer")}


def measure(driver: Driver, entered: Mapping[str, Contender], effort: Effort, expected: Expected) -> dict[str, Cost]:
    """The contenders' costs. Each run is warmed up, and verified by verdict and counters."""
    found: dict[str, list[float]] = {name: [] for name in entered}
    for number in range(effort.rounds):
        for name, contender in entered.items():
            stream = contender.stream
            packets = packets_of(stream, effort)
            own = driver_cost(driver, stream, min(packets, 200_000), number, grown=contender.grown)
            driver.run(contender.program, stream, min(packets, 300_000), multiplier=multiplier(number + 3))
            try:
                found[name].append(contender.run(driver, packets, expected, multiplier(number)) - own)
            except Unverified as error:
                raise Unverified(f"{name}: {error}") from None
    return {name: Cost(tuple(rounds)) for name, rounds in found.items()}


_NEW = Expected(verdict=XDP_REDIRECT, conns=1, in_packets=1)


def measure_filling(driver: Driver, entered: Mapping[str, Contender], rounds: int) -> dict[str, Cost]:
    """The mean cost of a new connection, from the first to the last that a table holds; emptied for each round."""
    found: dict[str, list[float]] = {name: [] for name in entered}
    for number in range(rounds):
        for world in {id(c.world): c.world for c in entered.values()}.values():
            world.clear()
        for name, contender in entered.items():
            world, stream = contender.world, contender.stream
            own = driver_cost(driver, stream, 200_000, number)
            try:
                found[name].append(contender.run(driver, stream.flows, _NEW, FILL) - own)
            except Unverified as error:
                raise Unverified(f"{name}, filling: {error}") from None
    return {name: Cost(tuple(ns)) for name, ns in found.items()}
