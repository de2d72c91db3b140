"""The frame of the live stream: totals, and the services whose line changed since the frame before. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from piranha.director.overview import BriefService, Summary


class Total(TypedDict):
    connections: int
    connections_per_s: float
    packets_per_s: float
    in_bits_per_s: float
    out_bits_per_s: float


class LiveFrame(TypedDict):
    """`full`: `services` are all; else those that are new or have changed since the frame with `sequence` one less, and
    `gone` names those that are no more. A service is known by its `key`, `tcp 10.0.0.100:80` or `fwmark 5`. `at` is
    seconds since 1970, `event` the number of the latest event, `problems` how many sentences /status has."""

    sequence: int
    full: bool
    at: float
    role: str
    attached: bool
    peer: str
    version: str
    digest: str
    event: int
    problems: int
    summary: Summary
    total: Total
    services: list[BriefService]
    gone: list[str]


def total_of(services: Sequence[BriefService]) -> Total:
    return Total(
        connections=sum(line["connections"] for line in services),
        connections_per_s=round(sum(line["connections_per_s"] for line in services), 1),
        packets_per_s=round(sum(line["packets_per_s"] for line in services), 1),
        in_bits_per_s=round(sum(line["in_bits_per_s"] for line in services), 1),
        out_bits_per_s=round(sum(line["out_bits_per_s"] for line in services), 1),
    )


def changes_between(before: LiveFrame, after: LiveFrame) -> LiveFrame:
    """`after`, a full frame, without what it has in common with `before`."""
    known = {line["key"]: line for line in before["services"]}
    changed = [line for line in after["services"] if known.pop(line["key"], None) != line]
    return {**after, "full": False, "services": changed, "gone": list(known)}
