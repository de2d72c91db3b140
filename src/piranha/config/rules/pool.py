"""Rules on what makes a pool of a virtual server's real servers: quorum, slow start, threshold."""

from __future__ import annotations

from collections.abc import Iterator

from piranha.config.rules.advice import Advice, PlacedVirtual
from piranha.model.configuration import LoadFormula

_WEIGHTLESS_SCHEDULERS = frozenset(("rr", "lc"))


def quorum(virtual: PlacedVirtual) -> Iterator[Advice]:
    value, places = virtual.value, virtual.places
    total = sum(server.weight for server, _ in virtual.active_servers)
    needed = value.quorum + value.quorum_hysteresis
    if value.quorum > 1 and total < needed:
        message = (
            f"the active real servers weigh {total} together: a quorum of {needed} is never reached again once lost"
        )
        yield Advice(
            places.of("quorum"), message, f"write `quorum = {max(1, total - value.quorum_hysteresis)}` or less"
        )
    elif value.quorum > 1 and value.sorry_server is None and value.quorum_down is None:
        message = "quorum has no effect without a sorry_server or a quorum_down"
        yield Advice(places.of("quorum"), message, "write one of them, or remove `quorum`")
    if value.quorum_hysteresis >= value.quorum > 1:
        message = "quorum_hysteresis is not below quorum: the quorum is lost only with the last server"
        yield Advice(places.of("quorum_hysteresis"), message, f"write `quorum_hysteresis = {value.quorum - 1}` or less")


def slow_start(virtual: PlacedVirtual) -> Iterator[Advice]:
    value, places = virtual.value, virtual.places
    if not value.slow_start_s:
        if "slow_start_form" in places.values:
            yield Advice(
                places.of("slow_start_form"), "it has no effect without slow_start", "write `slow_start = 120`"
            )
        return
    if any(server.weight == 1 for server, _ in virtual.active_servers):
        message = "a server of weight 1 cannot start slowly: no weight is less"
        yield Advice(places.of("slow_start"), message, "give the servers weights such as 100")


def depool_threshold(virtual: PlacedVirtual) -> Iterator[Advice]:
    value = virtual.value
    if value.depool_threshold == 100:
        message = "depool_threshold = 100 leaves every server in that was ever up: checks take nobody out"
        yield Advice(virtual.places.of("depool_threshold"), message, "write `depool_threshold = 50`")


def load(virtual: PlacedVirtual) -> Iterator[Advice]:
    value, places = virtual.value, virtual.places
    place = places.of("load_monitor")
    monitor = value.load_monitor
    if monitor in (None, "none"):
        return
    if value.scheduler in _WEIGHTLESS_SCHEDULERS:
        message = f"load_monitor changes weights, which have no effect with `scheduler = {value.scheduler}`"
        yield Advice(place, message, f"write `scheduler = w{value.scheduler}`")
        return
    averages = monitor not in ("agent", "http")
    is_original = value.load_formula is LoadFormula.ORIGINAL
    if averages and is_original and any(server.weight == 1 for server, _ in virtual.active_servers):
        message = "the original's formula hardly moves a weight of 1"
        yield Advice(place, message, "give the servers weights such as 100, or write `load_formula = bounded`")
    if not is_original and all("processors" not in server.places.values for server in virtual.active_servers):
        message = "load_formula = bounded takes every server for one with a single processor"
        yield Advice(places.of("load_formula"), message, "write `processors = N` in the server blocks")


RULES = (quorum, slow_start, depool_threshold, load)
