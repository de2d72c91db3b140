"""A few seeds of the simulation, the seeds that once failed, and proof that it can fail at all.

client ---- public wire ---- director 0 (primary)      `make simulate SEEDS=20000` plays many more
                        \\--- director 1 (backup)
                              | private wire (every second seed)
"""

from __future__ import annotations

import pytest

from tests.simulation.scenario import play
from tests.simulation.variants import VARIANTS

SEEDS = range(20_000, 20_300)

ONCE_FAILED = {
    4: "the loser of a conflict yielded before the winner had heard of it: the winner did not announce again",
    81: "after a partition the answer to a conflict waited for the next beat",
    161: "a backup turned passive because a copy of it appeared, and nobody served when the active one died",
    342: "carrying out commands of a later event first set the timer back",
    3398: "heartbeats lost one way: the loser believed what it had heard before the loss",
    3573: "a copy's heartbeats hid that the other director was active",
    4848: "a director that must not serve said that it was ready, and the other one waited for it",
    100_438: "a copy became willing before it had heard the director that it is a copy of",
    100_787: "a director that yielded while it was stopping came to life again",
    107_787: "a director took over whose question for the VIP could not leave",
    112_021: "a backup waited for the word of a director that had died amid the handshake",
    116_392: "heartbeats lost one way while a partition heals: two gates for longer than the bound of a dead time",
    117_743: "the same in the calm profile",
    6207: "a director without lvsd and without a carrier waited for lvsd before it handed over",
    6560: "a director that had just sent a heartbeat did not answer a copy that had just booted",
    67: "a copy's farewell was taken for that of the active director",
}


@pytest.mark.parametrize("block", range(0, len(SEEDS), 50))
def test_no_seed_breaks_an_invariant(block: int) -> None:
    for seed in SEEDS[block : block + 50]:
        assert not play(seed).findings.broken, f"python -m tests.simulation --tell --seeds 1 --first {seed}"


@pytest.mark.parametrize("seed", ONCE_FAILED)
def test_a_seed_that_once_failed(seed: int) -> None:
    assert not play(seed).findings.broken, ONCE_FAILED[seed]


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "all rules"])
def test_without_a_rule_an_invariant_breaks(name: str) -> None:
    machine, host = VARIANTS[name]
    broken = (seed for seed in range(400) if play(seed, machine, host=host).findings.broken)
    seed = next(broken, None)
    assert seed is not None, f"400 seeds do not notice: {name}"
    assert not play(seed).findings.broken


def test_a_seed_is_a_history() -> None:
    first, second = play(7), play(7)
    assert first == second
    assert play(9).findings != first.findings
