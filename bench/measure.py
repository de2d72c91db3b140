"""Rounds: the contenders run in turn on the same packets, so that a busy moment of the machine meets all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from bench.driver import Driver, Stream
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

    def check(self, who: str, verdict: int, packets: int, done: Totals, refusals: Mapping[str, int]) -> None:
        wanted = Totals(self.conns * packets, self.in_packets * packets, self.out_packets * packets)
        if verdict != self.verdict or done != wanted:
            raise Unverified(
                f"{who}: verdict {verdict} instead of {self.verdict}, {done} instead of {wanted}, refused {dict(refusals)}"
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


def measure(
    driver: Driver,
    programs: Mapping[str, int],
    stream: Stream,
    effort: Effort,
    expected: Expected,
    world: World,
    *,
    grown: bool = False,
) -> dict[str, Cost]:
    """The programs' costs on one stream. Each run is warmed up, and verified by verdict and counters."""
    packets = packets_of(stream, effort)
    warming = min(packets, 300_000)
    found: dict[str, list[float]] = {name: [] for name in programs}
    for number in range(effort.rounds):
        own = driver_cost(driver, stream, min(packets, 200_000), number, grown=grown)
        for name, program in programs.items():
            driver.run(program, stream, warming, multiplier=multiplier(number + 3))
            before = world.totals()
            run = driver.run(program, stream, packets, multiplier=multiplier(number))
            expected.check(name, run.verdict, packets, world.totals() - before, world.refusals())
            found[name].append(run.ns - own)
    return {name: Cost(tuple(rounds)) for name, rounds in found.items()}
