"""Where the eBPF plane is known to do something else than the kernel's IPVS: scenario, step, reason.

A difference that is `owed` is a fault or a gap of ours, to be mended; the others stay. Who mends one removes it here:
`test_conformance.py` fails while a difference is listed that is none any more. A scenario's own `differs` is the reason for
every step of it as long as none of its steps is listed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tests.conformance.scenarios import by_name
from tests.conformance.scenarios.errors import TUNNELS
from tests.uml.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownDifference:
    scenario: str
    step: int
    reason: str
    owed: bool = False


def _lasting(scenarios: str, steps: Iterable[int], reason: str) -> tuple[KnownDifference, ...]:
    return _listed(scenarios, steps, reason, owed=False)


def _foreseen(scenario: str, steps: Iterable[int]) -> tuple[KnownDifference, ...]:
    """Lasting, for the reason that the scenario itself gives."""
    return _listed(scenario, steps, by_name(scenario).differs, owed=False)


def _owed(scenarios: str, steps: Iterable[int], reason: str) -> tuple[KnownDifference, ...]:
    return _listed(scenarios, steps, reason, owed=True)


def _listed(scenarios: str, steps: Iterable[int], reason: str, *, owed: bool) -> tuple[KnownDifference, ...]:
    return tuple(
        KnownDifference(scenario=scenario, step=step, reason=reason, owed=owed)
        for scenario in scenarios.split()
        for step in steps
    )


_MARTIAN = "one client has an address of the director itself: the kernel drops its packet before IPVS sees it"

KNOWN_DIFFERENCES: tuple[KnownDifference, ...] = (
    *_lasting("sh-spread mh-spread", (4, 5), _MARTIAN),
    *_lasting("service-removed", (5,), "IPVS without any service looks at no packet, so the local stack answers; the eBPF"
              " plane drops packets of a removed server's connections, as IPVS does while it has another service"),
    *_lasting("cache-bypass-off", (2,), "the kernel cannot send its refusal: the target is none of its own addresses"),
    *_foreseen("method-edited-to-direct", (5, 6)),
    *_foreseen("fragments-sctp-mapped", (3, 4)),
    *_foreseen("error-six", (3, 4, 5, 6, 7)),
    *_foreseen("extension-header-masquerade", (2, 3, 4, 6)),
    *_foreseen("extension-header-direct", (2, 3, 4, 6)),
    *_foreseen("extension-header-ipip", (2, 3, 4, 6)),
    *_foreseen("ftp-passive-other-address", (3,)),
    *(known for name in TUNNELS for known in _foreseen(f"error-{name}", (6,))),
)  # fmt: skip

_LISTED = {known.scenario for known in KNOWN_DIFFERENCES}
_BY_PLACE = {(known.scenario, known.step): known for known in KNOWN_DIFFERENCES}


def known_at(scenario: Scenario, step: int) -> KnownDifference | None:
    return _BY_PLACE.get((scenario.name, step))


def reason_of(scenario: Scenario, step: int) -> str:
    """Why this step may differ; empty where it must not."""
    known = known_at(scenario, step)
    if known is not None:
        return known.reason
    return "" if scenario.name in _LISTED else scenario.differs
