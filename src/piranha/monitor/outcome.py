"""What one check found."""

from __future__ import annotations

from dataclasses import dataclass

from piranha.base.errors import PiranhaError


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of one check of one server.

    `answered` says whose word a failure is: True when the server itself refused, closed or answered wrongly, which
    also proves that the way to it works; False for silence, which may as well be our own link or our own lateness.
    `weight` is the weight that a healthy server asks for, None where the check says nothing of it.
    """

    ok: bool
    reason: str
    duration_s: float
    answered: bool = False
    weight: int | None = None


class CheckImpossibleError(PiranhaError):
    """We could not check at all (no descriptors, no such program, a bad pattern) and learnt nothing."""
