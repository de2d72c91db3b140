from piranha.monitor.stall import TICK_S, TOLERANCE_S, StallWatch


def watch_until(at: float) -> StallWatch:
    watch = StallWatch()
    for n in range(round(at / TICK_S) + 1):
        watch.tick(n * TICK_S)
    return watch


def test_no_stall_while_ticks_come() -> None:
    watch = watch_until(1.0)
    assert not watch.overlaps(0.0, 1.0 + TICK_S)
    assert watch.count == 0


def test_a_late_tick_spoils_what_was_running_and_nothing_later() -> None:
    watch = watch_until(1.0)
    assert watch.tick(2.0)
    assert watch.count == 1
    assert not watch.tick(2.0 + TICK_S)
    assert watch.overlaps(0.9, 2.1)
    assert not watch.overlaps(2.01, 2.02)


def test_a_stall_is_seen_before_its_late_tick_comes() -> None:
    watch = watch_until(1.0)
    assert watch.overlaps(0.9, 1.0 + TICK_S + TOLERANCE_S + 0.01)


def test_lateness_within_the_tolerance_is_normal() -> None:
    watch = watch_until(1.0)
    watch.tick(1.0 + TICK_S + TOLERANCE_S - 0.001)
    assert not watch.overlaps(0.0, 1.06)


def test_rest_is_no_stall() -> None:
    watch = watch_until(1.0)
    watch.rest()
    assert not watch.overlaps(0.5, 50.0)
    watch.tick(60.0)
    assert watch.count == 0
    assert not watch.overlaps(55.0, 60.01)
