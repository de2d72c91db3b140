import pytest
from hypothesis import given
from hypothesis import strategies as st

from piranha.model.check import VerdictRules
from piranha.model.health import Health
from piranha.monitor.verdict import VerdictState, judge, ready


def run(outcomes: str, *, rise: int = 1, fall: int = 1, state: VerdictState | None = None) -> str:
    """Health after each outcome, `+` or `-`, as one letter: U D or ?."""
    state = state or VerdictState()
    rules = VerdictRules(interval_s=1, rise=rise, fall=fall)
    shown = ""
    for outcome in outcomes:
        before = state.health
        state, change = judge(state, outcome == "+", rules)
        assert change == (state.health if state.health is not before else None)
        shown += {Health.UP: "U", Health.DOWN: "D", Health.UNKNOWN: "?"}[state.health]
    return shown


@pytest.mark.parametrize(
    ("outcomes", "rise", "fall", "expected"),
    [
        ("+", 18, 1, "U"),
        ("-+", 1, 1, "DU"),
        ("+-", 2, 1, "UD"),
        ("+-++", 2, 1, "UDDU"),
        ("+-+-++", 2, 1, "UDDDDU"),
        ("+--+--", 1, 3, "UUUUUU"),
        ("+---", 1, 3, "UUUD"),
        ("--+", 5, 3, "??U"),
        ("---+", 2, 3, "??DD"),
        ("-++", 2, 1, "DDU"),
    ],
)
def test_table(outcomes: str, rise: int, fall: int, expected: str) -> None:
    assert run(outcomes, rise=rise, fall=fall) == expected


def test_gui_defaults_need_two_good_checks_to_come_back() -> None:
    """timeout 6, reentry 15: the second good check (spec 5.2)."""
    assert run("+-++", rise=15 // 6) == "UDDU"


def test_ready_needs_one_success() -> None:
    rules = VerdictRules(interval_s=1, rise=18)
    state = ready(VerdictState(health=Health.DOWN), rules)
    assert judge(state, True, rules)[1] is Health.UP
    assert judge(state, False, rules)[1] is None


@given(st.text(alphabet="+-", max_size=60), st.integers(1, 5), st.integers(1, 5))
def test_up_and_down_are_always_earned(outcomes: str, rise: int, fall: int) -> None:
    healths = run(outcomes, rise=rise, fall=fall)
    previous = "?"
    for at, health in enumerate(healths):
        if previous == "U" and health == "D":
            assert outcomes[at - fall + 1 : at + 1] == "-" * fall
        if previous == "D" and health == "U":
            assert outcomes[at - rise + 1 : at + 1] == "+" * rise
        if previous == "?" and health == "U":
            assert outcomes[at] == "+"
        assert not (health == "?" and "+" in outcomes[: at + 1])
        previous = health
