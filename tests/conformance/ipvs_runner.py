"""The scenarios on the kernel's IPVS: what was recorded, and what the user-mode kernel of this machine does now."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.uml.record import RECORDED, play_on_ipvs
from tests.uml.scenario import Scenario

GUESTS = 2


@functools.cache
def recorded() -> dict[str, list[Any]]:
    """The recorded results by scenario name: one result for each step (`tests/uml/scenario.py`)."""
    scenarios: dict[str, list[Any]] = json.loads((RECORDED / "ipvs.json").read_text())["scenarios"]
    return scenarios


def play_all(scenarios: Sequence[Scenario], *, timeout_s: float) -> dict[str, Any]:
    """Results by name, from two guests at once. A scenario that could not be played has `{"failed": traceback}`."""
    shares = [list(scenarios[number::GUESTS]) for number in range(GUESTS)]
    with ThreadPoolExecutor(GUESTS, thread_name_prefix="guest") as pool:
        played = list(pool.map(lambda share: play_on_ipvs(share, timeout_s=timeout_s)["scenarios"], shares))
    return {name: result for share in played for name, result in share.items()}
