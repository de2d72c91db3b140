"""What a server said of its load."""

from __future__ import annotations

from dataclasses import dataclass

from piranha.base.errors import PiranhaError


class LoadUnknownError(PiranhaError):
    """The server, or who speaks for it, gave no load that could be understood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """`average` is a load average over a minute, `percent` a share of the configured weight; one of the two, or neither.

    `is_down` and `is_quiesced` are an agent's words; None where it said nothing of that.
    """

    average: float | None = None
    percent: float | None = None
    is_down: bool | None = None
    is_quiesced: bool | None = None

    def __str__(self) -> str:
        words = []
        if self.average is not None:
            words.append(f"load {self.average:.2f}")
        if self.percent is not None:
            words.append(f"{self.percent:g}%")
        words += ["down"] if self.is_down else []
        words += ["drain"] if self.is_quiesced else []
        return ", ".join(words) or "ready"


def average_of(value: float) -> float:
    """A load average that can be one. Raises LoadUnknownError."""
    if not 0 <= value <= 1_000_000:
        raise LoadUnknownError(f"{value} is no load average")
    return value
