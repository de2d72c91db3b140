"""The families: node_exporter's `node_ipvs_*` by their names, so that dashboards for IPVS go on, and our own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from piranha.director.history import Figures, Totals
from piranha.director.services import ServerView, ServicesDocument, ServiceView
from piranha.director.status import StatusDocument
from piranha.metrics.exposition import Exposition, Kind, Sample

_GOOD_STATES = {"up", "degraded"}
_COUNTED = {
    "connections": ("piranha_service_connections_total", "Connections taken by the virtual service.", {}),
    "in_packets": ("piranha_service_packets_total", "Packets of the virtual service.", {"direction": "in"}),
    "out_packets": ("piranha_service_packets_total", "", {"direction": "out"}),
    "in_bytes": (
        "piranha_service_bytes_total",
        "Bytes of the virtual service, from the IP header on.",
        {"direction": "in"},
    ),
    "out_bytes": ("piranha_service_bytes_total", "", {"direction": "out"}),
}


def exposition(
    status: StatusDocument,
    services: ServicesDocument,
    figures: Figures,
    *,
    watchers: int = 0,
    pair: Mapping[str, Any] | None = None,
) -> str:
    """Everything as one text. `pair` is pulse's status document, None without pulse."""
    out = Exposition()
    _node_ipvs(out, services["services"], figures.totals)
    _services(out, [service for service in services["services"] if service["name"]])
    _director(out, status)
    one: Mapping[str, str] = {}
    out.add("piranha_events_total", Kind.COUNTER, "Number of the latest event.", [(one, figures.events)])
    out.add(
        "piranha_drift_repaired_total",
        Kind.COUNTER,
        "Times that the table was made right again.",
        [(one, figures.repairs)],
    )
    out.add(
        "piranha_comparison_seconds",
        Kind.GAUGE,
        "How long the last comparison of the table took.",
        [(one, figures.comparison_s)],
    )
    out.add("piranha_live_watchers", Kind.GAUGE, "Watchers of the live stream.", [(one, watchers)])
    _sync(out, status)
    if pair is not None:
        _pair(out, pair)
    return out.text()


def _node_ipvs(out: Exposition, services: Sequence[ServiceView], totals: Totals) -> None:
    for name, meaning, value in (
        ("connections", "The total number of connections made.", totals.connections),
        ("incoming_packets", "The total number of incoming packets.", totals.in_packets),
        ("outgoing_packets", "The total number of outgoing packets.", totals.out_packets),
        ("incoming_bytes", "The total amount of incoming data.", totals.in_bytes),
        ("outgoing_bytes", "The total amount of outgoing data.", totals.out_bytes),
    ):
        out.add(f"node_ipvs_{name}_total", Kind.COUNTER, meaning, [({}, value)])
    backends = [(_backend_labels(service, server), server) for service in services for server in _present(service)]
    for name, meaning, field in (
        ("connections_active", "The current active connections by local and remote address.", "active_connections"),
        (
            "connections_inactive",
            "The current inactive connections by local and remote address.",
            "inactive_connections",
        ),
        ("weight", "The current backend weight by local and remote address.", "weight"),
    ):
        samples = [(labels, float(server[field] or 0)) for labels, server in backends]  # type: ignore[literal-required]
        out.add(f"node_ipvs_backend_{name}", Kind.GAUGE, meaning, samples)


def _present(service: ServiceView) -> Iterator[ServerView]:
    return (server for server in service["servers"] if server["weight"] is not None)


def _backend_labels(service: ServiceView, server: ServerView) -> dict[str, str]:
    """node_exporter's: a service of a mark has no address, one of an address no mark."""
    mark = service["mark"]
    return {
        "local_address": "" if mark else service["address"],
        "local_port": "0" if mark else str(service["port"]),
        "remote_address": server["address"],
        "remote_port": str(server["port"]),
        "proto": "FWM" if mark else service["protocol"].upper(),
        "local_mark": f"{mark:08X}" if mark else "",
    }


def _services(out: Exposition, services: Sequence[ServiceView]) -> None:
    named = [({"service": service["name"]}, service) for service in services]
    out.add(
        "piranha_service_info",
        Kind.GAUGE,
        "The address of a virtual service.",
        (
            (
                labels
                | {
                    "protocol": service["protocol"],
                    "address": service["address"],
                    "port": str(service["port"]),
                    "mark": str(service["mark"]),
                    "scheduler": service["scheduler"],
                },
                1,
            )
            for labels, service in named
        ),
    )
    out.add(
        "piranha_service_state",
        Kind.GAUGE,
        "1 for the state of the virtual service: up, degraded, sorry, down, conflict.",
        ((labels | {"state": service["state"]}, 1) for labels, service in named),
    )
    out.add(
        "piranha_service_up",
        Kind.GAUGE,
        "Whether a real server takes the connections of the virtual service.",
        ((labels, service["state"] in _GOOD_STATES) for labels, service in named),
    )
    for activity in ("active", "inactive"):
        out.add(
            f"piranha_service_connections_{activity}",
            Kind.GAUGE,
            f"Connections that are {activity} now.",
            ((labels, service[f"{activity}_connections"]) for labels, service in named),  # type: ignore[literal-required]
        )
    families: dict[str, tuple[str, list[Sample]]] = {}
    for field, (name, meaning, more) in _COUNTED.items():
        rows = families.setdefault(name, (meaning, []))[1]
        rows += [(labels | more, service["counters"][field]) for labels, service in named]  # type: ignore[literal-required]
    for name, (meaning, rows) in families.items():
        out.add(name, Kind.COUNTER, meaning, rows)
    _servers(out, services)


def _servers(out: Exposition, services: Sequence[ServiceView]) -> None:
    servers = [
        (
            {
                "service": service["name"],
                "server": server["name"],
                "address": server["address"],
                "port": str(server["port"]),
            },
            server,
        )
        for service in services
        for server in service["servers"]
        if server["configured_weight"] is not None
    ]
    out.add(
        "piranha_server_up",
        Kind.GAUGE,
        "Whether the checks find the real server fit; a server without a verdict has no sample.",
        ((labels, server["health"] == "up") for labels, server in servers if server["health"] != "unknown"),
    )
    out.add(
        "piranha_server_weight",
        Kind.GAUGE,
        "Weight in force; 0 also for a server that is not in the table.",
        ((labels, server["weight"] or 0) for labels, server in servers),
    )
    out.add(
        "piranha_server_configured_weight",
        Kind.GAUGE,
        "Weight in lvs.cf.",
        ((labels, server["configured_weight"] or 0) for labels, server in servers),
    )
    out.add(
        "piranha_server_checked_age_seconds",
        Kind.GAUGE,
        "How long ago the last check of the real server ended.",
        ((labels, age) for labels, server in servers if (age := server["checked_s"]) is not None),
    )
    out.add(
        "piranha_server_state_age_seconds",
        Kind.GAUGE,
        "How long the real server has been as it is.",
        ((labels, age) for labels, server in servers if (age := server["since_s"]) is not None),
    )


def _director(out: Exposition, status: StatusDocument) -> None:
    plane, configuration, cluster = status["plane"], status["configuration"], status["cluster"]
    none: dict[str, str] = {}
    out.add(
        "piranha_build_info",
        Kind.GAUGE,
        "Version and data plane.",
        [({"version": status["version"], "dataplane": plane["name"]}, 1)],
    )
    out.add("piranha_uptime_seconds", Kind.GAUGE, "How long lvsd has run.", [(none, status["uptime_s"])])
    out.add(
        "piranha_problems",
        Kind.GAUGE,
        "Sentences that ask for a person, as in piranha status.",
        [(none, len(status["problems"]))],
    )
    out.add(
        "piranha_configuration_serial",
        Kind.GAUGE,
        "serial_no of the file in force.",
        [(none, configuration["serial_no"])],
    )
    out.add(
        "piranha_configuration_changed_on_disk",
        Kind.GAUGE,
        "Whether the file was edited and is not in force.",
        [(none, configuration["changed_on_disk"])],
    )
    out.add("piranha_director_role", Kind.GAUGE, "1 for the role of this director.", [({"role": cluster["role"]}, 1)])
    out.add(
        "piranha_director_term", Kind.GAUGE, "Term of the pair; grows with each takeover.", [(none, cluster["term"])]
    )
    out.add("piranha_pulse_attached", Kind.GAUGE, "Whether pulse runs beside lvsd.", [(none, cluster["attached"])])
    out.add(
        "piranha_alarm",
        Kind.GAUGE,
        "1 for each alarm of the pair.",
        [({"alarm": name}, 1) for name in cluster["alarms"]],
    )
    connections = plane["connections"]
    out.add("piranha_table_connections", Kind.GAUGE, "Entries of the connection table.", [(none, connections["total"])])
    out.add(
        "piranha_table_capacity",
        Kind.GAUGE,
        "Entries that the connection table has room for.",
        [(none, connections["capacity"])],
    )
    out.add(
        "piranha_packets_by_reason_total",
        Kind.COUNTER,
        "Packets refused or passed on, by reason.",
        [({"reason": reason}, count) for reason, count in plane["reasons"].items()],
    )


def _sync(out: Exposition, status: StatusDocument) -> None:
    sync = status["sync"]
    if sync is None:
        return
    none: dict[str, str] = {}
    out.add("piranha_sync_state", Kind.GAUGE, "1 for the state of connection sync.", [({"state": sync["state"]}, 1)])
    out.add(
        "piranha_sync_lag_seconds",
        Kind.GAUGE,
        "How long a change waits before it is told.",
        [(none, max(0.0, sync["lag_s"]))],
    )
    out.add(
        "piranha_sync_told_entries_total", Kind.COUNTER, "Entries told to the partner.", [(none, sync["told_entries"])]
    )
    out.add(
        "piranha_sync_heard_entries_total",
        Kind.COUNTER,
        "Entries heard from the partner.",
        [(none, sync["heard_entries"])],
    )


def _pair(out: Exposition, pair: Mapping[str, Any]) -> None:
    """What pulse says; whatever an older or newer one does not say is left out."""
    none: dict[str, str] = {}
    links = [(_link_labels(link), link) for link in pair.get("links", ())]
    out.add(
        "piranha_heartbeat_age_seconds",
        Kind.GAUGE,
        "How long ago the other director was heard on a link.",
        ((labels, float(link["heard_s"])) for labels, link in links if link.get("heard_s") is not None),
    )
    for field, meaning in (("sent", "Heartbeats sent."), ("heard", "Heartbeats heard.")):
        out.add(
            f"piranha_heartbeats_{field}_total",
            Kind.COUNTER,
            meaning,
            ((labels, int(link.get(field, 0))) for labels, link in links),
        )
    out.add(
        "piranha_heartbeats_rejected_total",
        Kind.COUNTER,
        "Heartbeats that were not believed, by reason.",
        (
            (labels | {"reason": reason}, int(count))
            for labels, link in links
            for reason, count in link.get("rejected", {}).items()
        ),
    )
    lag = pair.get("lag", {})
    out.add(
        "piranha_pulse_lag_seconds",
        Kind.GAUGE,
        "How late pulse's timer was.",
        (
            ({"quantile": quantile}, lag[field] / 1000)
            for quantile, field in (("0.5", "p50_ms"), ("0.99", "p99_ms"), ("1", "worst_ms"))
            if isinstance(lag.get(field), int | float)
        ),
    )
    lease = pair.get("lease")
    if lease and lease.get("enabled"):
        if not lease.get("for_ever"):
            left_s = max(0.0, lease["left_ms"] / 1000)
            meaning = "How long this host may still answer for the VIPs."
            out.add("piranha_lease_left_seconds", Kind.GAUGE, meaning, [(none, left_s)])
        out.add(
            "piranha_lease_dropped_total",
            Kind.COUNTER,
            "Packets refused by the lease's gate.",
            [(none, lease["dropped"])],
        )


def _link_labels(link: Mapping[str, Any]) -> dict[str, str]:
    return {"device": str(link.get("device", "")), "address": str(link.get("theirs", ""))}
