"""`piranha connections`: the connection table, filtered, bounded or only counted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from piranha.cli.options import json_option, reaching
from piranha.cli.output import DIM, endpoint, note, paint, plural, write_json, write_lines
from piranha.client.http import Client

if TYPE_CHECKING:
    from piranha.director.status import ConnectionsDocument, ConnectionView

_WIDTH = 24


@click.command("connections")
@click.option("--protocol", type=click.Choice(["tcp", "udp"]), help="Only this protocol.")
@click.option("--client", "client_address", metavar="CIP", help="Only from this client.")
@click.option("--vip", metavar="VIP", help="Only to this VIP.")
@click.option("--port", type=click.IntRange(1, 65535), help="Only to this port of the VIP.")
@click.option("--server", metavar="RIP", help="Only at this real server.")
@click.option("--state", metavar="STATE", help="Only in this state, such as ESTABLISHED.")
@click.option("--limit", type=click.IntRange(0, 100_000), default=1000, show_default=True, help="Lines at most.")
@click.option("--count", is_flag=True, help="Only how many there are.")
@json_option
@reaching
def connections_command(
    client: Client,
    protocol: str | None,
    client_address: str | None,
    vip: str | None,
    port: int | None,
    server: str | None,
    state: str | None,
    limit: int,
    count: bool,
    as_json: bool,
) -> None:
    """Connections, filtered or counted."""
    wanted = {
        "protocol": protocol,
        "client": client_address,
        "vip": vip,
        "port": port,
        "server": server,
        "state": state,
        "limit": 0 if count else limit,
    }
    query = {name: str(value) for name, value in wanted.items() if value is not None}
    document: ConnectionsDocument = client.get("connections", query)
    if as_json:
        write_json(document)
    elif count:
        click.echo(document["total"])
    else:
        write_lines(_lines(document))
        rest = document["total"] - len(document["connections"])
        if rest > 0:
            note(f"{plural(rest, 'more connection')} not listed: use filters, --limit or --count")


def _lines(document: ConnectionsDocument) -> Iterator[str]:
    head = f"{'Pro':<4} {'Expire':<7} {'State':<12} {'Client':<{_WIDTH}} {'Virtual':<{_WIDTH}} Destination"
    yield paint(head, DIM)
    for row in document["connections"]:
        yield _line(row)


def _line(row: ConnectionView) -> str:
    minutes, seconds = divmod(round(row["expires_s"]), 60)
    return (
        f"{row['protocol'].upper():<4} {f'{minutes:02}:{seconds:02}':<7} {row['state']:<12} "
        f"{endpoint(row['client'], row['client_port']):<{_WIDTH}} "
        f"{endpoint(row['virtual'], row['virtual_port']):<{_WIDTH}} "
        f"{endpoint(row['destination'], row['destination_port'])}"
    )
