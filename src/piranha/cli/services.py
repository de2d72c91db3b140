"""`piranha services`: the table as `ipvsadm -Ln` lays it out, with names and health beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from piranha.base.errors import UsageError
from piranha.cli.options import json_option, reaching
from piranha.cli.output import (
    BAD,
    DIM,
    duration,
    endpoint,
    paint,
    paint_state,
    scaled,
    service_words,
    write_json,
    write_lines,
)
from piranha.client.http import Client

if TYPE_CHECKING:
    from piranha.director.services import CountersView, RatesView, ServerView, ServicesDocument, ServiceView

_METHODS = {"direct": "Route", "tunnel": "Tunnel", "nat": "Masq"}


@click.command("services")
@click.option("--stats", "view", flag_value="stats", help="Totals: connections, packets, bytes.")
@click.option("--rate", "view", flag_value="rate", help="The same by the second, over the last seconds.")
@click.option("--name", "names", multiple=True, help="Only the virtual server of this name; may be repeated.")
@json_option
@reaching
def services_command(client: Client, view: str | None, names: tuple[str, ...], as_json: bool) -> None:
    """The table with names, health, connections and rates."""
    document: ServicesDocument = client.get("services")
    if names:
        document["services"] = _named(document["services"], names)
    if as_json:
        write_json(document)
        return
    lines = _counted(document["services"], view) if view else _listed(document["services"])
    write_lines(lines)


def _named(services: list[ServiceView], names: tuple[str, ...]) -> list[ServiceView]:
    known = {service["name"] for service in services}
    for name in names:
        if name not in known:
            raise UsageError(f"no virtual server is named {name}", mend="`piranha services` lists them")
    return [service for service in services if service["name"] in names]


def _listed(services: list[ServiceView]) -> Iterator[str]:
    yield paint("Prot LocalAddress:Port Scheduler  Name", DIM)
    yield paint("  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn  Health   For     Name", DIM)
    for service in services:
        yield _service_line(service)
        for server in service["servers"]:
            yield _server_line(server)


def _service_line(service: ServiceView) -> str:
    key = f"{_key(service)} {service['scheduler']}"
    error = f"  {paint(service['error'], BAD)}" if service["error"] else ""
    by_hand = "  (by hand)" if service["by_hand"] else ""
    return f"{key}  {service['name'] or '-'}  {paint_state(service['state'])}{by_hand}{error}"


def _key(service: ServiceView) -> str:
    word, where = service_words(service)
    return f"{word.upper():4} {where}"


def _server_line(server: ServerView) -> str:
    weight = "out" if server["weight"] is None else str(server["weight"])
    health = {"sorry": "sorry", "unknown": "-"}.get(server["role"], server["health"])
    return (
        f"  -> {endpoint(server['address'], server['port']):<28} {_METHODS[server['method']]:<7} {weight:<6} "
        f"{server['active_connections']:<10} {server['inactive_connections']:<9}  "
        f"{paint_state(health, 8)} {duration(server['since_s']):<7} {server['name'] or '-'}{_why(server)}"
    )


def _why(server: ServerView) -> str:
    """Said only where a person would ask: a server that is not up, or that is up against its checks."""
    remarks = ["by hand"] if server["by_hand"] else []
    if server["forced"]:
        remarks.append("forced by hand")
    if server["held"]:
        remarks.append("held")
    if server["role"] == "real" and (server["health"] != "up" or server["held"]) and server["reason"]:
        remarks.append(server["reason"])
    return f"  ({'; '.join(remarks)})" if remarks else ""


def _counted(services: list[ServiceView], view: str) -> Iterator[str]:
    if view == "stats":
        heads = ("Conns", "InPkts", "OutPkts", "InBytes", "OutBytes")
    else:
        heads = ("CPS", "InPPS", "OutPPS", "InBPS", "OutBPS")
    yield paint(f"{'Prot LocalAddress:Port':<33}" + "".join(f" {head:>8}" for head in heads) + "  Name", DIM)
    yield paint("  -> RemoteAddress:Port", DIM)
    for service in services:
        yield f"{_key(service):<33}{_numbers(service, view)}  {service['name'] or '-'}"
        for server in service["servers"]:
            key = f"  -> {endpoint(server['address'], server['port'])}"
            yield f"{key:<33}{_numbers(server, view)}  {server['name'] or '-'}"


def _numbers(item: ServiceView | ServerView, view: str) -> str:
    values = _totals(item["counters"]) if view == "stats" else _speeds(item["rates"])
    return "".join(f" {scaled(value):>8}" for value in values)


def _totals(c: CountersView) -> tuple[float, ...]:
    return c["connections"], c["in_packets"], c["out_packets"], c["in_bytes"], c["out_bytes"]


def _speeds(r: RatesView) -> tuple[float, ...]:
    return (
        r["connections_per_s"],
        r["in_packets_per_s"],
        r["out_packets_per_s"],
        r["in_bytes_per_s"],
        r["out_bytes_per_s"],
    )
