"""Advice on quorum, slow start and threshold."""

from __future__ import annotations

import pytest

from piranha.config.semantics import check_text


def remarks(lines: str, weight: int = 100) -> list[str]:
    text = f"""primary = 10.0.0.1
virtual HTTP {{
    active = 1
    address = 10.0.0.100 eth0:1
    port = 80
    {lines}
    server web1 {{
        address = 10.0.0.11
        active = 1
        weight = {weight}
    }}
}}
"""
    return [problem.message for problem in check_text(text).problems]


@pytest.mark.parametrize(
    ("lines", "weight", "expected"),
    [
        ("quorum = 101\n    sorry_server = 10.0.0.9", 100, "a quorum of 101 is never reached again"),
        ("quorum = 50", 100, "without a sorry_server or a quorum_down"),
        ("quorum = 50\n    quorum_hysteresis = 50\n    quorum_down = x", 100, "is not below quorum"),
        ("slow_start = 60", 1, "weight 1 cannot start slowly"),
        ("slow_start_form = linear", 100, "no effect without slow_start"),
        ("depool_threshold = 100", 100, "checks take nobody out"),
    ],
)
def test_advice(lines: str, weight: int, expected: str) -> None:
    (message,) = [remark for remark in remarks(lines, weight) if expected in remark]
    assert message not in remarks("", weight)


def test_sound_settings_get_none() -> None:
    sound = "slow_start = 60\n    quorum = 50\n    sorry_server = 10.0.0.9\n    depool_threshold = 50"
    assert remarks(sound) == remarks("sorry_server = 10.0.0.9")
