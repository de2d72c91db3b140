"""The read model of real servers: what each gets in every service, why, and what operators said of it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypedDict

from piranha.director.admission import Admitted, Share
from piranha.director.layout import Layout, Member, PlannedService
from piranha.director.operators import Connections
from piranha.director.services import Checkup
from piranha.model.health import Health
from piranha.model.override import KINDS, Act, Override, Overrides
from piranha.model.service import DestinationStatus, ServiceStatus
from piranha.monitor.load.monitor import LoadStatus
from piranha.monitor.target import TargetKey

LoadLookup = Callable[[TargetKey], LoadStatus | None]
"""What is known of a target's load; None where nobody asks for it."""


class WordView(TypedDict):
    """What an operator said. `service` is empty for every service; times are seconds since 1970.

    `connections_left` is of a drain alone, None while the table has not followed yet.
    """

    act: str
    service: str
    server: str
    weight: int | None
    who: str
    why: str
    at: float
    until: float | None
    drained: bool
    connections_left: int | None


class LoadView(TypedDict):
    """`age_s` is that of `text`, None before the first answer; `trouble` says why the latest question brought none."""

    monitor: str
    text: str
    age_s: float | None
    trouble: str


class ServerStateView(TypedDict):
    """One real server in one service. `weight` None: not in the table. `cause` says why it stands so.

    `changes_in_s` is when time alone may change that.
    """

    name: str
    address: str
    port: int
    service: str
    service_key: str
    health: str
    weight: int | None
    configured_weight: int
    cause: str
    changes_in_s: float | None
    reason: str
    since_s: float | None
    active_connections: int
    inactive_connections: int
    load: LoadView | None
    words: list[WordView]


class ServersDocument(TypedDict):
    """`strangers` are words about servers that lvs.cf does not name now. `trouble`: why they cannot be kept."""

    servers: list[ServerStateView]
    strangers: list[WordView]
    trouble: str


def servers_document(
    layout: Layout,
    actual: Sequence[ServiceStatus],
    *,
    admitted: Admitted,
    overrides: Overrides,
    checkup: Checkup,
    loads: LoadLookup,
    now: float,
    trouble: str = "",
) -> ServersDocument:
    """All members in the file's order. `now` is the nanny's clock."""
    left = Connections(layout, actual)
    present = _by_key(actual)
    views: list[ServerStateView] = []
    named: set[Override] = set()
    for service in layout.services:
        for member in service.members:
            word = overrides.of(str(service.service.key), member.key.destination.address)
            words = [one for one in (getattr(word, kind) for kind in KINDS) if one is not None]
            named.update(words)
            views.append(
                server_state(
                    service,
                    member,
                    share=admitted.shares.get(member.key),
                    actual=present.get(member.key),
                    words=[word_view(one, left) for one in words],
                    checkup=checkup,
                    loads=loads,
                    now=now,
                )
            )
    strangers = [word_view(one, left) for one in overrides.entries if one not in named]
    return ServersDocument(servers=views, strangers=strangers, trouble=trouble)


def server_state(
    service: PlannedService,
    member: Member,
    *,
    share: Share | None,
    actual: DestinationStatus | None,
    words: list[WordView],
    checkup: Checkup,
    loads: LoadLookup,
    now: float,
) -> ServerStateView:
    """`share` is None before the first decision."""
    known = checkup(member.key)
    return ServerStateView(
        name=member.server.name,
        address=str(member.key.destination.address),
        port=member.server.port,
        service=service.virtual.name,
        service_key=str(service.service.key),
        health=(Health.UNKNOWN if known is None else known.health).value,
        weight=None if actual is None else actual.destination.weight,
        configured_weight=member.fit.weight,
        cause="" if share is None else share.cause.value,
        changes_in_s=None if share is None or share.until is None else round(max(0.0, share.until - now), 1),
        reason="" if known is None else known.trouble or known.last_reason,
        since_s=None if known is None else round(max(0.0, now - known.since_at), 1),
        active_connections=0 if actual is None else actual.active_connections,
        inactive_connections=0 if actual is None else actual.inactive_connections,
        load=load_view(loads(member.key), now),
        words=words,
    )


def load_view(status: LoadStatus | None, now: float) -> LoadView | None:
    if status is None:
        return None
    return LoadView(
        monitor=status.source.kind.value,
        text="" if status.reading is None else str(status.reading),
        age_s=None if status.at is None else round(max(0.0, now - status.at), 1),
        trouble=status.trouble,
    )


def word_view(one: Override, left: Connections) -> WordView:
    return WordView(
        act=one.act.value,
        service=one.service,
        server=str(one.server),
        weight=one.weight if one.act is Act.WEIGHT else None,
        who=one.who,
        why=one.why,
        at=round(one.at, 3),
        until=None if one.until is None else round(one.until, 3),
        drained=one.drained,
        connections_left=left.of(one) if one.act is Act.DRAIN else None,
    )


def _by_key(actual: Sequence[ServiceStatus]) -> Mapping[TargetKey, DestinationStatus]:
    return {
        TargetKey(service=status.service.key, destination=d.destination.key): d
        for status in actual
        if not status.foreign
        for d in status.destinations
    }
