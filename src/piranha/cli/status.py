"""`piranha status`: everything that a person asks first, on one screen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from piranha.cli.options import json_option, reaching
from piranha.cli.output import (
    BAD,
    DIM,
    WARN,
    columns,
    duration,
    paint,
    paint_state,
    plural,
    scaled,
    service_words,
    write_json,
    write_lines,
)
from piranha.client.http import Client

if TYPE_CHECKING:
    from piranha.director.overview import BriefService
    from piranha.director.pulse_link import ClusterDocument
    from piranha.director.status import ConfigurationView, PlaneView, StatusDocument
    from piranha.replication.view import ReplicationView
    from piranha.sync.tally import SyncView

_SERVICES_SHOWN = 40
_REASONS_SHOWN = 12


@click.command("status")
@json_option
@reaching
def status_command(client: Client, as_json: bool) -> None:
    """How the director, its services and its data plane are."""
    document: StatusDocument = client.get("status")
    if as_json:
        write_json(document)
    else:
        write_lines(_lines(document))


def _lines(document: StatusDocument) -> Iterator[str]:
    uptime = duration(document["uptime_s"])
    yield f"lvsd {document['version']}  process {document['pid']}, up {uptime}"
    yield from _cluster(document["cluster"])
    yield f"configuration  {_configuration(document['configuration'])}"
    yield from plane_lines(document["plane"])
    if (sync := document["sync"]) is not None and sync["state"] != "off":
        yield from _sync(sync)
    if (replication := document["replication"]) is not None and replication["state"] != "off":
        yield _replication(replication)
    summary = document["summary"]
    states = ", ".join(f"{count} {paint_state(state)}" for state, count in summary["states"].items())
    servers = f"{summary['servers_up']} of {plural(summary['servers'], 'real server')} up"
    yield f"services       {plural(summary['services'], 'service')}" + (f": {states}; {servers}" if states else "")
    if summary["by_hand"]:
        yield f"by hand        {plural(summary['by_hand'], 'service')} made or edited with ipvsadm (see `table_edits`)"
    if document["services"]:
        yield ""
        yield from _services(document["services"])
    warnings = document["configuration"]["warnings"]
    if document["problems"] or warnings:
        yield ""
    for problem in document["problems"]:
        yield f"{paint('problem', BAD)}  {problem}"
    for warning in warnings:
        mend = f": {warning['suggestion']}" if warning["suggestion"] else ""
        yield f"{paint('warning', WARN)}  {warning['file']}:{warning['line']}: {warning['message']}{mend}"


def _cluster(view: ClusterDocument) -> Iterator[str]:
    if not view["attached"]:
        return
    peer = view["peer"]
    other = ""
    if peer is not None:
        heard = "not heard" if peer["heard_s"] is None else f"{peer['role']}"
        other = f"; {peer['name'] or 'the other director'} {heard}"
    yield f"role           {view['role']} ({view['place']}), term {view['term']}{other}"
    for code, text in view["alarms"].items():
        yield f"{paint('alarm', BAD)}          {code}: {text}"


def _configuration(view: ConfigurationView) -> str:
    changed = paint(", changed on disk", WARN) if view["changed_on_disk"] else ""
    return f"{view['path']}, serial {view['serial_no']}, loaded {view['loaded_at']}{changed}"


def plane_lines(plane: PlaneView) -> Iterator[str]:
    hooks = ", ".join(f"{interface} {hook}" for interface, hook in plane["hooks"].items()) or "no interface"
    yield f"data plane     {plane['name']}: {hooks}"
    counts = plane["connections"]
    capacity = f" of {counts['capacity']:,}" if counts["capacity"] else ""
    active, inactive = counts["tcp_active"] + counts["udp_active"], counts["tcp_inactive"] + counts["udp_inactive"]
    yield f"connections    {counts['total']:,}{capacity} ({active:,} active, {inactive:,} inactive)"
    reasons = sorted(((word, n) for word, n in plane["reasons"].items() if n), key=lambda reason: -reason[1])
    if reasons:
        shown = ", ".join(f"{word} {scaled(n)}" for word, n in reasons[:_REASONS_SHOWN])
        yield f"packets        {shown}"
    for number, (word, text) in enumerate(plane["defences"].items()):
        yield f"{'' if number else 'defences':<15}{word} {text}"
    for number, (word, count) in enumerate(plane["losses"].items()):
        yield f"{'' if number else 'losses':<15}{word} {scaled(count)}"
    for text in plane["notes"]:
        yield f"               {paint(text, DIM)}"


def _replication(view: ReplicationView) -> str:
    peer = f" with {view['peer']} ({view['peer_address']})" if view["peer"] else ""
    why = f", {paint(view['why'], WARN)}" if view["why"] else ""
    state = view["state"] if view["state"] == "in step" else paint(view["state"], WARN)
    return f"replication    {state}{peer}, generation {view['generation']}{why}"


def _sync(sync: SyncView) -> Iterator[str]:
    heard = f"told {scaled(sync['told_entries'])}, heard {scaled(sync['heard_entries'])}"
    lag = f", lag {sync['lag_s']:.1f} s" if sync["lag_s"] >= 0 else ""
    counted = "by the kernel" if sync["transport"] == "kernel" else f"by {sync['transport']}, {heard}{lag}"
    yield f"sync           {sync['state']} ({sync['role']}, {' and '.join(sync['daemons']) or 'no daemon'}), {counted}"
    lost = {word: sync["outcomes"].get(word, 0) for word in ("full", "invalid")}
    lost |= {
        "waiting for their real server": sync["waiting"],
        "unreadable messages": sync["faults"],
        "messages of another group": sync["foreign"],
    }
    found = ", ".join(f"{word} {scaled(count)}" for word, count in lost.items() if count)
    if found:
        yield f"               {paint(found, DIM)}"


def _services(services: list[BriefService]) -> Iterator[str]:
    rows = [["SERVICE", "NAME", "SCHEDULER", "SERVERS", "CONNECTIONS", "NEW/S", "STATE"]]
    if len(services) > _SERVICES_SHOWN:
        # Where not all fit, those that ask for a person come first.
        services = sorted(services, key=lambda service: service["state"] == "up")
    for service in services[:_SERVICES_SHOWN]:
        rows.append(
            [
                " ".join(service_words(service)),
                service["name"] or "-",
                service["scheduler"],
                f"{service['servers_up']}/{service['servers']}",
                scaled(service["connections"]),
                f"{service['connections_per_s']:g}",
                service["state"],
            ]
        )
    for index, line in enumerate(columns(rows, right=(3, 4, 5))):
        state = rows[index][-1]
        yield paint(line, DIM) if index == 0 else line.removesuffix(state) + paint_state(state)
    if len(services) > _SERVICES_SHOWN:
        yield f"and {len(services) - _SERVICES_SHOWN:,} more: piranha services"
