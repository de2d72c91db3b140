"""The bench's table: goals, failures, and what a row shows."""

from __future__ import annotations

import pytest
from bench.report import Goal, Row, table


@pytest.mark.parametrize(
    ("ours", "peer", "goal", "met"),
    [
        (40.0, 100.0, Goal(most=0.5, figure="ratio"), True),
        (60.0, 100.0, Goal(most=0.5, figure="ratio"), False),
        (60.0, None, Goal(most=0.5, figure="ratio"), False),
        (0.09, None, Goal(most=0.1), True),
        (0.11, None, Goal(most=0.1), False),
        (0.11, None, None, None),
    ],
)
def test_a_goal_is_met_by_the_figure_it_names(
    ours: float, peer: float | None, goal: Goal | None, met: bool | None
) -> None:
    assert Row(case="x", ours=ours, peer=peer, goal=goal).met is met


def test_a_failed_case_meets_nothing_and_says_why() -> None:
    row = Row(case="x", failure="verdict 2 instead of 4")
    assert row.met is False
    assert "FAILED x: verdict 2 instead of 4" in table([row])


def test_columns_line_up() -> None:
    lines = table(
        [Row(case="a", ours=12.34, peer=100.0), Row(case="longer", unit="B", ours=160.0, goal=Goal(most=192))]
    ).splitlines()
    assert lines[2].split() == ["a", "12.3", "ns", "100", "ns", "0.12"]
    assert lines[3].split() == ["longer", "160", "B", "<=", "192", "B", "yes"]
    assert lines[2].index("12.3 ns") + len("12.3 ns") == lines[3].index("160 B") + len("160 B")
