"""Rules on firewall marks: who gives them, who uses them, and which packets match twice."""

from __future__ import annotations

from collections.abc import Iterator

from piranha.config.places import BlockPlaces, Places
from piranha.config.rules.advice import Advice
from piranha.model.address import IPAddress
from piranha.model.configuration import Configuration
from piranha.model.mark import MarkRule, rules_of
from piranha.model.service import Protocol

MOST_COMPARED = 256
"""Rules that are compared with each other: the time for that grows with their square."""


def marks_without_a_giver(configuration: Configuration, places: Places) -> Iterator[Advice]:
    """Virtual servers of a mark that no block gives."""
    versions: dict[int, set[int]] = {}
    for block in configuration.marks:
        versions.setdefault(block.mark, set()).update(network.version for network in block.addresses)
    for virtual, found in zip(configuration.virtuals, places.virtuals, strict=True):
        if not virtual.fwmark or not virtual.active:
            continue
        place, version = found.of("fwmark"), configuration.version_of(virtual)
        if virtual.fwmark not in versions:
            message = (
                f"no `mark` block gives mark {virtual.fwmark}: only packets that another program (nftables) has marked "
                "before the data plane sees them belong to this virtual server, and with XDP there are none"
            )
            yield Advice(place, message, f"write `mark {virtual.fwmark} {{` with `address` and `port`")
        elif versions[virtual.fwmark] and version not in versions[virtual.fwmark]:
            message = f"the `mark {virtual.fwmark}` blocks have no IPv{version} address, as this virtual server has"
            yield Advice(place, message, "write an `address` of its IP version")


def blocks_without_effect(configuration: Configuration, places: Places) -> Iterator[Advice]:
    """Blocks that mark nothing, or whose mark no virtual server uses."""
    used = {virtual.fwmark for virtual in configuration.virtuals if virtual.active}
    for block, found in zip(configuration.marks, places.marks, strict=True):
        if block.mark not in used:
            message = f"no active virtual server has `fwmark = {block.mark}`: the mark has no effect"
            yield Advice(found.header, message, f"write `fwmark = {block.mark}` in a virtual server")
        if not block.addresses and "address" not in found.values:
            message = f"`mark {block.mark}` has no address and marks nothing"
            yield Advice(found.header, message, "write `address = VIP`, or `address = 0.0.0.0/0` for every address")


def packets_that_match_twice(configuration: Configuration, places: Places) -> Iterator[Advice]:
    """Of several blocks that match a packet the first counts; narrow ones before wide ones are meant so."""
    earlier: list[tuple[MarkRule, BlockPlaces]] = []
    for block, found in zip(configuration.marks, places.marks, strict=True):
        rules = rules_of((block,))
        if len(earlier) + len(rules) > MOST_COMPARED:
            return
        told: set[int] = set()
        for rule in rules:
            for other, where in earlier:
                line = where.header.line
                if other.mark == rule.mark or line in told or not other.overlaps(rule) or rule.covers(other):
                    continue
                told.add(line)
                fate = "never counts" if other.covers(rule) else "counts only where that one does not match"
                message = f"`{rule}` {fate}: `{other}` (line {line}) comes first"
                yield Advice(found.header, message, "put the narrower block first, or let them not overlap")
        earlier.extend((rule, found) for rule in rules)


def services_behind_a_mark(configuration: Configuration, places: Places) -> Iterator[Advice]:
    """Virtual servers by address whose packets a mark takes away: marks are looked at first."""
    used = {virtual.fwmark for virtual in configuration.virtuals if virtual.active}
    marked = zip(configuration.marks, places.marks, strict=True)
    rules = [(rule, found) for block, found in marked if block.mark in used for rule in rules_of((block,))]
    for virtual, found in zip(configuration.virtuals, places.virtuals, strict=True):
        if virtual.fwmark or not virtual.active or virtual.address is None or virtual.port == 0:
            continue
        for rule, where in rules[:MOST_COMPARED]:
            if _takes(rule, virtual.address.address, virtual.protocol, virtual.port):
                message = f"its packets get mark {rule.mark} (line {where.header.line}) and go to that virtual server"
                yield Advice(found.of("address"), message, "narrow the `mark` block, or remove this virtual server")
                break


def _takes(rule: MarkRule, address: IPAddress, protocol: Protocol, port: int) -> bool:
    return (
        rule.first_port <= port <= rule.last_port
        and rule.protocol in (Protocol.IP, protocol)
        and address in rule.network
    )


RULES = (marks_without_a_giver, blocks_without_effect, packets_that_match_twice, services_behind_a_mark)
