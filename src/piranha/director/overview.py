"""The services on one line each, and what they add up to: cheap enough to be asked for every second. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TypedDict

from piranha.director.layout import PlannedService
from piranha.director.rates import Baseline
from piranha.director.state import ServiceState, state_of
from piranha.model.health import Health
from piranha.model.service import ServiceStatus
from piranha.monitor.target import TargetKey


class Summary(TypedDict):
    """How many services are in which state, how many real servers are fit, and how many services ipvsadm has a hand in."""

    services: int
    states: dict[str, int]
    servers: int
    servers_up: int
    by_hand: int


class BriefService(TypedDict):
    """`by_hand`: it, or a value of it, was made with ipvsadm and stays. `key` is `tcp 10.0.0.100:80`, `fwmark 5`."""

    key: str
    name: str
    protocol: str
    address: str
    port: int
    mark: int
    scheduler: str
    state: str
    by_hand: bool
    servers: int
    servers_up: int
    connections: int
    connections_per_s: float
    packets_per_s: float
    in_bits_per_s: float
    out_bits_per_s: float


def overview(
    planned: Sequence[PlannedService],
    actual: Sequence[ServiceStatus],
    *,
    health: Mapping[TargetKey, Health],
    held: Collection[TargetKey],
    baseline: Baseline,
) -> tuple[Summary, list[BriefService]]:
    """All configured services in the file's order, then what else stands in the table."""
    present = {status.service.key: status for status in actual}

    def trusted(key: TargetKey) -> bool:
        return health.get(key) is Health.UP or key in held

    lines: list[BriefService] = []
    for service in planned:
        status = present.pop(service.service.key, None)
        up = sum(health.get(member.key) is Health.UP for member in service.members)
        now = status or ServiceStatus(service=service.service)
        state = state_of(service, status, trusted)
        line = _line(service.virtual.name, now, state, len(service.members), up, baseline)
        edited = service.by_hand or bool(service.added) or any(member.by_hand for member in service.members)
        line["by_hand"] = line["by_hand"] or edited
        lines.append(line)
    lines.extend(_line("", status, state_of(None, status, trusted), 0, 0, baseline) for status in present.values())
    states = Counter(line["state"] for line in lines)
    summary = Summary(
        services=len(lines),
        states={state.value: states[state.value] for state in ServiceState if states[state.value]},
        servers=sum(line["servers"] for line in lines),
        servers_up=sum(line["servers_up"] for line in lines),
        by_hand=sum(line["by_hand"] for line in lines),
    )
    return summary, lines


def _line(
    name: str, status: ServiceStatus, state: ServiceState, servers: int, up: int, baseline: Baseline
) -> BriefService:
    key = status.service.key
    rates = baseline.service(key, status.counters)
    return BriefService(
        key=str(key),
        name=name,
        protocol=key.protocol.word,
        address=str(key.address),
        port=key.port,
        mark=key.mark,
        scheduler=status.service.scheduler,
        state=state.value,
        by_hand=status.foreign,
        servers=servers,
        servers_up=up,
        connections=sum(d.active_connections + d.inactive_connections for d in status.destinations),
        connections_per_s=round(rates.connections_per_s, 1),
        packets_per_s=round(rates.in_packets_per_s + rates.out_packets_per_s, 1),
        in_bits_per_s=round(8 * rates.in_bytes_per_s, 1),
        out_bits_per_s=round(8 * rates.out_bytes_per_s, 1),
    )
