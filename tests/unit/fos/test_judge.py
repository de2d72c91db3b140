from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from piranha.fos.judge import QUIET_S, Act, Judge, State


def test_a_service_that_was_available_and_fails_is_a_failure() -> None:
    judge = Judge()
    assert judge.checked("web", True, "ok", 0) is None
    assert judge.checked("web", False, "refused", 1) is Act.ASK_GATEWAY
    assert judge.gateway(True, 1) is Act.TAKE_OVER
    assert (judge.state, judge.why) == (State.TAKING_OVER, "web: refused")


def test_one_that_was_never_seen_has_a_second_chance() -> None:
    judge = Judge()
    assert judge.checked("web", False, "refused", 0) is None
    assert judge.checked("db", True, "ok", 0) is None
    assert judge.checked("web", False, "refused", 1) is Act.ASK_GATEWAY


def test_without_our_own_network_nothing_is_taken_over() -> None:
    judge = Judge()
    judge.checked("web", True, "ok", 0)
    judge.checked("web", False, "timeout", 1)
    assert judge.gateway(False, 2) is None
    assert judge.state is State.NETWORK_FAULT
    assert judge.checked("web", False, "timeout", 3) is None
    judge.heard_peer(4)
    assert judge.state is State.WATCHING
    assert judge.checked("web", False, "timeout", 5) is None


def test_a_service_that_is_broken_on_both_does_not_go_to_and_fro() -> None:
    judge = Judge()
    judge.checked("web", True, "ok", 0)
    judge.checked("web", False, "refused", 1)
    judge.gateway(True, 1)
    judge.become(serving=True, now=2)
    assert judge.state is State.SERVING
    judge.become(serving=False, now=3)
    assert judge.state is State.QUIET
    for second in range(4, 60):
        assert judge.checked("web", False, "refused", second) is None
    late = 2 + QUIET_S + 1
    assert judge.checked("web", False, "refused", late) is None
    assert judge.checked("web", False, "refused", late + 1) is Act.ASK_GATEWAY


def test_a_refused_change_over_is_tried_again_later() -> None:
    judge = Judge()
    judge.checked("web", True, "ok", 0)
    judge.checked("web", False, "refused", 1)
    judge.gateway(True, 1)
    judge.refused("the other director is in maintenance", 1)
    assert judge.state is State.QUIET
    assert "maintenance" in judge.why


events = st.one_of(
    st.tuples(st.just("check"), st.sampled_from("ab"), st.booleans()),
    st.tuples(st.just("gateway"), st.booleans()),
    st.tuples(st.just("role"), st.booleans()),
    st.just(("heard",)),
    st.just(("refused",)),
)


@given(st.lists(events, max_size=60))
def test_nobody_takes_over_while_serving_or_without_asking_the_gateway(order: list[tuple[object, ...]]) -> None:
    judge = Judge()
    serving = asked = False
    for now, event in enumerate(order):
        act = None
        match event:
            case ("check", str(name), bool(ok)):
                act = judge.checked(name, ok, "x", now)
                asked = asked or act is Act.ASK_GATEWAY
            case ("gateway", bool(answered)):
                act = judge.gateway(answered, now)
                assert act is None or (asked and answered and not serving)
                asked = False
            case ("role", bool(value)):
                serving, asked = value, False
                judge.become(serving=serving, now=now)
            case ("heard",):
                judge.heard_peer(now)
            case ("refused",):
                judge.refused("x", now)
        assert act is None or not serving
