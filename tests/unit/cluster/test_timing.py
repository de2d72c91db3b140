"""Profiles, and what `keepalive` and `deadtime` make of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piranha.cluster.timing import LEAST_DEAD_NS, MILLISECOND, PROBE_EVERY_NS, PROBE_NS, PROBES, Timing, choose
from piranha.model.configuration import ProfileChoice

CALM, DEFAULT, FAST = ProfileChoice.CALM, ProfileChoice.DEFAULT, ProfileChoice.FAST


def times(timing: Timing) -> tuple[int, int, int]:
    """Heartbeat, lease and dead time in milliseconds."""
    return tuple(ns // MILLISECOND for ns in (timing.heartbeat_ns, timing.lease_ns, timing.dead_ns))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("profile", "expected"), [(FAST, (50, 150, 200)), (DEFAULT, (100, 300, 400)), (CALM, (1000, 3000, 4000))]
)
def test_profiles(profile: ProfileChoice, expected: tuple[int, int, int]) -> None:
    timing = choose(profile, realtime=True)
    assert times(timing) == expected
    assert (timing.profile, timing.asked, timing.notes) == (profile, profile, ())


@pytest.mark.parametrize("profile", [FAST, DEFAULT])
def test_without_real_time_scheduling_the_calm_profile_is_in_force(profile: ProfileChoice) -> None:
    timing = choose(profile, realtime=False)
    assert times(timing) == (1000, 3000, 4000)
    assert (timing.profile, timing.asked) == (CALM, profile)
    assert f"`{profile}` is replaced by `calm`" in timing.notes[0]


@pytest.mark.parametrize(
    ("keepalive_s", "deadtime_s", "expected"),
    [
        (6, 18, (6000, 12000, 18000)),
        (2, 5, (1666, 3333, 5000)),
        (0.05, 0.3, (50, 250, 300)),
        (None, 2, (100, 1900, 2000)),
        (None, 0.1, (25, 75, 100)),
        (2, None, (2000, 4000, 6000)),
        (0.02, None, (20, 380, 400)),
        (30, 18, (6000, 12000, 18000)),
    ],
)
def test_the_directives_override_the_profile(
    keepalive_s: float | None, deadtime_s: float | None, expected: tuple[int, int, int]
) -> None:
    assert times(choose(DEFAULT, realtime=True, keepalive_s=keepalive_s, deadtime_s=deadtime_s)) == expected


def test_beside_an_original_piranha_its_own_defaults_hold() -> None:
    assert times(choose(FAST, realtime=True, original=True)) == (1666, 3333, 5000)
    assert times(choose(FAST, realtime=True, original=True, keepalive_s=6, deadtime_s=18)) == (6000, 12000, 18000)


def test_a_keepalive_that_does_not_fit_is_told() -> None:
    (note,) = choose(DEFAULT, realtime=True, keepalive_s=30, deadtime_s=18).notes
    assert "keepalive = 30 s is more than a third of the dead time" in note
    assert "at least three times `keepalive`" in note


@pytest.mark.parametrize(("realtime", "least_ms"), [(True, LEAST_DEAD_NS // MILLISECOND), (False, 4000)])
def test_a_dead_time_has_a_floor(realtime: bool, least_ms: int) -> None:
    timing = choose(CALM, realtime=realtime, deadtime_s=0.001)
    assert times(timing)[2] == least_ms
    assert f"{least_ms} ms is used" in timing.notes[0]


DIRECTIVE = st.none() | st.floats(min_value=0.001, max_value=86400)


@given(st.sampled_from(ProfileChoice), st.booleans(), DIRECTIVE, DIRECTIVE)
def test_every_timing_is_sound(
    profile: ProfileChoice, realtime: bool, keepalive_s: float | None, deadtime_s: float | None
) -> None:
    timing = choose(profile, realtime=realtime, keepalive_s=keepalive_s, deadtime_s=deadtime_s)
    assert 2 * timing.heartbeat_ns <= timing.lease_ns
    assert timing.lease_ns + timing.heartbeat_ns <= timing.dead_ns
    assert realtime or timing.dead_ns >= 4000 * MILLISECOND


@pytest.mark.parametrize(
    ("heartbeat", "lease", "dead", "why"),
    [(50, 99, 200, "two heartbeats"), (50, 150, 199, "together"), (0, 150, 200, "two heartbeats")],
)
def test_an_unsound_timing_is_refused(heartbeat: int, lease: int, dead: int, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Timing(heartbeat_ns=heartbeat, lease_ns=lease, dead_ns=dead)


def test_the_probe_asks_at_least_four_times_and_waits_for_the_last_answer() -> None:
    assert PROBES >= 4
    assert PROBE_NS >= 50 * MILLISECOND
    assert PROBE_NS - (PROBES - 1) * PROBE_EVERY_NS >= 10 * MILLISECOND
