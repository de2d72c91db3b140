"""The read model of services: names, health, weights, connections, counters and rates side by side. Pure.

Documents are JSON-shaped: addresses and enums are strings, durations seconds, names carry their units.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypedDict

from piranha.director.layout import Member, PlannedService
from piranha.director.rates import Baseline, Rates
from piranha.director.state import ServiceState, stands_in, state_of
from piranha.model.health import Health
from piranha.model.service import (
    Counters,
    Destination,
    DestinationStatus,
    ServiceKey,
    ServiceStatus,
)
from piranha.monitor.target import Forced, TargetKey, TargetStatus


class CountersView(TypedDict):
    connections: int
    in_packets: int
    out_packets: int
    in_bytes: int
    out_bytes: int


class RatesView(TypedDict):
    connections_per_s: float
    in_packets_per_s: float
    out_packets_per_s: float
    in_bytes_per_s: float
    out_bytes_per_s: float


class ServerView(TypedDict):
    """One destination, configured, switched or both. `weight` is None while it is not in the pool.

    `role` is `real`, `sorry`, or `unknown` for what stands in the table without being configured. `by_hand`: its values,
    or all of it, were given with ipvsadm and stay.
    """

    name: str
    role: str
    address: str
    port: int
    method: str
    weight: int | None
    configured_weight: int | None
    health: str
    forced: bool
    held: bool
    by_hand: bool
    reason: str
    since_s: float | None
    checked_s: float | None
    active_connections: int
    inactive_connections: int
    counters: CountersView
    rates: RatesView


class ServiceView(TypedDict):
    """A service of a firewall mark has `mark` not 0, protocol `ip`, port 0 and the unspecified address of its family."""

    name: str
    protocol: str
    address: str
    port: int
    mark: int
    scheduler: str
    state: str
    by_hand: bool
    error: str
    servers: list[ServerView]
    active_connections: int
    inactive_connections: int
    counters: CountersView
    rates: RatesView


class ServicesDocument(TypedDict):
    services: list[ServiceView]


Checkup = Callable[[TargetKey], TargetStatus | None]
"""What the nanny knows about a target; None for one that it does not watch."""


def services_document(
    planned: Sequence[PlannedService],
    actual: Sequence[ServiceStatus],
    *,
    checkup: Checkup,
    held: Collection[TargetKey],
    errors: Mapping[ServiceKey, str],
    baseline: Baseline,
    now: float,
) -> ServicesDocument:
    """All configured services in the file's order, then what else stands in the table. `now` is the nanny's clock."""
    present = {status.service.key: status for status in actual}
    viewer = _Viewer(checkup, held, baseline, now)
    views = [viewer.planned(s, present.pop(s.service.key, None), errors.get(s.service.key, "")) for s in planned]
    views.extend(viewer.unplanned(status) for status in present.values())
    return ServicesDocument(services=views)


class _Viewer:
    """What every view needs, in one place."""

    def __init__(self, checkup: Checkup, held: Collection[TargetKey], baseline: Baseline, now: float) -> None:
        self._checkup = checkup
        self._held = held
        self._baseline = baseline
        self._now = now

    def planned(self, service: PlannedService, actual: ServiceStatus | None, error: str) -> ServiceView:
        state = state_of(service, actual, self._trusted)
        if actual is not None and actual.foreign:
            return self._view(service.virtual.name, actual, state, error, self._strangers(actual))
        key = service.service.key
        present = {} if actual is None else {d.destination.key: d for d in actual.destinations}
        servers = [self._member(service, member, present.pop(member.fit.key, None)) for member in service.members]
        if service.sorry is not None and (sorry := present.pop(service.sorry.key, None)) is not None:
            servers.append(self._server(key, sorry.destination, sorry, name="sorry server", role="sorry"))
        added = {destination.key for destination in service.added}
        servers.extend(self._stranger(key, d, by_hand=d.destination.key in added) for d in present.values())
        if actual is None:
            actual = ServiceStatus(service=service.service)
            error = error or "not in the table"
        return self._view(service.virtual.name, actual, state, error, servers, by_hand=service.by_hand)

    def unplanned(self, actual: ServiceStatus) -> ServiceView:
        return self._view("", actual, state_of(None, actual, self._trusted), "", self._strangers(actual))

    def _trusted(self, key: TargetKey) -> bool:
        known = self._checkup(key)
        return key in self._held or (known is not None and known.health is Health.UP)

    def _view(
        self,
        name: str,
        actual: ServiceStatus,
        state: ServiceState,
        error: str,
        servers: list[ServerView],
        *,
        by_hand: bool = False,
    ) -> ServiceView:
        key = actual.service.key
        return ServiceView(
            name=name,
            protocol=key.protocol.word,
            address=str(key.address),
            port=key.port,
            mark=key.mark,
            scheduler=actual.service.scheduler,
            state=state.value,
            by_hand=by_hand or actual.foreign,
            error=error,
            servers=servers,
            active_connections=sum(d.active_connections for d in actual.destinations),
            inactive_connections=sum(d.inactive_connections for d in actual.destinations),
            counters=_counters(actual.counters),
            rates=_rates(self._baseline.service(key, actual.counters)),
        )

    def _strangers(self, actual: ServiceStatus) -> list[ServerView]:
        return [self._stranger(actual.service.key, d) for d in actual.destinations]

    def _stranger(self, service: ServiceKey, actual: DestinationStatus, *, by_hand: bool = False) -> ServerView:
        view = self._server(service, actual.destination, actual, name="", role="unknown")
        view["by_hand"] = by_hand
        return view

    def _member(self, service: PlannedService, member: Member, actual: DestinationStatus | None) -> ServerView:
        view = self._server(member.key.service, member.fit, actual, name=member.server.name, role="real")
        view["configured_weight"] = member.fit.weight
        view["held"] = member.key in self._held
        view["by_hand"] = member.by_hand
        known = self._checkup(member.key)
        if known is not None:
            view["health"] = known.health.value
            view["forced"] = known.forced is not Forced.NO
            view["held"] = view["held"] or known.held
            view["reason"] = known.trouble or known.last_reason
            view["since_s"] = round(max(0.0, self._now - known.since_at), 3)
            view["checked_s"] = None if known.last_at is None else round(max(0.0, self._now - known.last_at), 3)
        if view["weight"] and stands_in(service, member, self._trusted):
            view["role"] = "sorry"
        return view

    def _server(
        self, service: ServiceKey, wanted: Destination, actual: DestinationStatus | None, *, name: str, role: str
    ) -> ServerView:
        counters = Counters() if actual is None else actual.counters
        return ServerView(
            name=name,
            role=role,
            address=str(wanted.key.address),
            port=wanted.key.port,
            method=(wanted if actual is None else actual.destination).method.value,
            weight=None if actual is None else actual.destination.weight,
            configured_weight=None,
            health=Health.UNKNOWN.value,
            forced=False,
            held=False,
            by_hand=False,
            reason="",
            since_s=None,
            checked_s=None,
            active_connections=0 if actual is None else actual.active_connections,
            inactive_connections=0 if actual is None else actual.inactive_connections,
            counters=_counters(counters),
            rates=_rates(self._baseline.destination(service, wanted.key, counters)),
        )


def _counters(counters: Counters) -> CountersView:
    return CountersView(
        connections=counters.connections,
        in_packets=counters.in_packets,
        out_packets=counters.out_packets,
        in_bytes=counters.in_bytes,
        out_bytes=counters.out_bytes,
    )


def _rates(rates: Rates) -> RatesView:
    return RatesView(
        connections_per_s=round(rates.connections_per_s, 1),
        in_packets_per_s=round(rates.in_packets_per_s, 1),
        out_packets_per_s=round(rates.out_packets_per_s, 1),
        in_bytes_per_s=round(rates.in_bytes_per_s, 1),
        out_bytes_per_s=round(rates.out_bytes_per_s, 1),
    )
