"""Mark rules of a packet filter, put into the order that `mark` blocks need. Pure.

A packet filter goes on after it has set a mark, so that the last rule that matches counts; of `mark` blocks the first
that matches counts. A rule that ends its chain counts at its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from piranha.importers.draft import Draft
from piranha.importers.ledger import Ledger, Place
from piranha.model.mark import EVERY_PORT, MOST_MARK, IPNetwork, MarkBlock, PortRange
from piranha.model.service import Protocol

MOST_PORTS = 90
"""A line of lvs.cf has at most 100 words; a longer list becomes several blocks."""


@dataclass(slots=True, kw_only=True)
class FoundRule:
    """A rule of a packet filter that sets a mark, as far as `mark` blocks can say it.

    `reason` says why it cannot be carried over; then nothing else counts.
    """

    place: Place
    mark: int = 0
    addresses: tuple[IPNetwork, ...] = ()
    protocols: tuple[Protocol, ...] = ()
    ports: tuple[PortRange, ...] = ()
    remarks: list[str] = field(default_factory=list)
    reason: str = ""


def add_blocks(rules: Sequence[FoundRule], draft: Draft, ledger: Ledger) -> None:
    """The rules of one chain as blocks, the last first; every rule gets its verdict."""
    kept: list[FoundRule] = []
    for rule in rules:
        if not rule.reason and not rule.addresses:
            rule.reason = "it names no destination address, and would mark every packet of this host"
        if not rule.reason and not 1 <= rule.mark <= MOST_MARK:
            rule.reason = f"mark {rule.mark} is none that a virtual server could have"
        if any(ports.last == 0 for ports in rule.ports):
            rule.reason = "there is no port 0"
        if rule.reason:
            ledger.left(rule.place, rule.reason)
            continue
        kept.append(rule)
        ledger.carried(rule.place, f"becomes a block of mark {rule.mark}")
        for remark in rule.remarks:
            ledger.changed(rule.place, remark)
    if len({rule.mark for rule in kept}) > 1:
        for rule in kept:
            ledger.carried(
                rule.place, "blocks stand in reverse order: the last rule counts there, the first block here"
            )
    for rule in reversed(kept):
        draft.marks.extend(_blocks(rule))


def _blocks(rule: FoundRule) -> list[MarkBlock]:
    # Ports without a protocol are those of all three; a block has one protocol or any.
    ports = () if EVERY_PORT in rule.ports else tuple(PortRange(max(one.first, 1), one.last) for one in rule.ports)
    protocols = rule.protocols or (Protocol.IP,)
    parts = [ports[at : at + MOST_PORTS] for at in range(0, len(ports), MOST_PORTS)] or [()]
    return [
        MarkBlock(mark=rule.mark, addresses=rule.addresses, protocol=protocol, ports=part)
        for protocol in protocols
        for part in parts
    ]
