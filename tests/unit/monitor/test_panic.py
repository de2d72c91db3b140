from piranha.monitor.panic import FROZEN_WINDOWS, SPENT_WINDOWS, PanicRule, Phase, Ruling

W = 10.0


def storm(rule: PanicRule, servers: str, up: str, at: float = 100.0) -> list[Ruling]:
    """Each of `servers` falls silent, a second apart, and leaves `up` where it is let go."""
    still_up = set(up)
    rulings = []
    for n, server in enumerate(servers):
        rulings.append(rule.silent(server, W, still_up, at + n))
        if rulings[-1] is Ruling.LET_GO:
            still_up.discard(server)
    return rulings


def test_one_of_two_is_an_ordinary_failure() -> None:
    rule = PanicRule()
    assert storm(rule, "a", "ab") == [Ruling.LET_GO]
    assert rule.phase is Phase.CALM


def test_both_of_two_are_ordinary_failures() -> None:
    assert storm(PanicRule(), "ab", "ab") == [Ruling.LET_GO, Ruling.LET_GO]


def test_half_is_not_most() -> None:
    assert storm(PanicRule(), "ab", "abcd") == [Ruling.LET_GO, Ruling.LET_GO]


def test_most_of_three_and_of_five() -> None:
    assert storm(PanicRule(), "abc", "abc") == [Ruling.LET_GO, Ruling.FREEZE, Ruling.HOLD]
    assert storm(PanicRule(), "abcde", "abcde") == [Ruling.LET_GO] * 2 + [Ruling.FREEZE] + [Ruling.HOLD] * 2


def test_failures_far_apart_are_no_storm() -> None:
    rule = PanicRule()
    for n, server in enumerate("abc"):
        assert rule.silent(server, W, set("abcde"[n:]), n * (W + 1)) is Ruling.LET_GO


def test_many_ports_of_one_machine_are_one_server() -> None:
    rule = PanicRule()
    assert [rule.silent("a", W, set("abc"), 1.0 + n) for n in range(3)] == [Ruling.LET_GO] * 3


def test_an_answer_takes_a_server_out_of_the_storm() -> None:
    rule = PanicRule()
    assert rule.silent("a", W, set("abc"), 1.0) is Ruling.LET_GO
    rule.answered("a", set("bc"), 2.0)
    assert rule.silent("b", W, set("abc"), 3.0) is Ruling.LET_GO


def test_the_freeze_ends_when_most_answer_again() -> None:
    rule = PanicRule()
    storm(rule, "abc", "abcd")
    assert rule.phase is Phase.FROZEN
    rule.answered("a", set("abcd"), 110.0)
    assert rule.phase is Phase.CALM
    assert rule.until_at is None


def test_the_freeze_ends_by_time_and_the_silent_go_out() -> None:
    rule = PanicRule()
    storm(rule, "ab", "abc")
    frozen_at = 101.0
    ends_at = frozen_at + FROZEN_WINDOWS * W
    assert rule.until_at == ends_at
    assert rule.silent("c", W, set("abc"), ends_at - 0.1) is Ruling.HOLD
    assert rule.silent("a", W, set("abc"), ends_at) is Ruling.LET_GO
    assert rule.silent("b", W, set("bc"), ends_at + 1) is Ruling.LET_GO
    assert rule.silent("c", W, set("c"), ends_at + 2) is Ruling.LET_GO
    assert rule.phase is Phase.SPENT
    rule.look(set(), ends_at + SPENT_WINDOWS * W)
    assert rule.phase is Phase.CALM


def test_a_new_storm_after_the_old_one_is_recognised() -> None:
    rule = PanicRule()
    storm(rule, "abc", "abcde")
    for server in "abc":
        rule.answered(server, set("abcde"), 120.0)
    assert storm(rule, "abc", "abcde", at=200.0)[-1] is Ruling.FREEZE


def test_servers_that_are_no_longer_watched_do_not_count() -> None:
    rule = PanicRule()
    assert rule.silent("a", W, set("abc"), 1.0) is Ruling.LET_GO
    rule.forget({"b", "c", "d"})
    assert rule.silent("b", W, set("bcd"), 2.0) is Ruling.LET_GO
