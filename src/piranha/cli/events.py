"""`piranha events`: what happened, and what happens."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import TYPE_CHECKING

import click

from piranha.cli.options import json_option, reaching
from piranha.cli.output import DIM, WARN, paint, write_json
from piranha.cli.problem_report import printable
from piranha.client.http import Client

if TYPE_CHECKING:
    from piranha.director.events import EventsDocument, EventView

_KINDS = ("health", "role", "alarm", "table", "configuration", "operator", "daemon")
_PAUSE_S = 1.0


@click.command("events")
@click.option("-n", "--limit", type=click.IntRange(0, 5000), default=50, show_default=True, help="How many.")
@click.option("--after", type=click.IntRange(0), help="Only events with a higher number.")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(_KINDS), help="Only of this kind; may be repeated.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until interrupted.")
@json_option
@reaching
def events_command(
    client: Client, limit: int, after: int | None, kinds: tuple[str, ...], follow: bool, as_json: bool
) -> None:
    """Verdicts, roles, alarms, repairs, configurations and acts of operators; the oldest first.

    With --follow and --json every event is one line of JSON.
    """
    document = _ask(client, kinds, limit, after)
    if as_json and not follow:
        write_json(document)
        return
    _write(document["events"], as_json=as_json)
    last = document["events"][-1]["number"] if document["events"] else document["last"]
    while follow:
        time.sleep(_PAUSE_S)
        document = _ask(client, kinds, 1000, last)
        if document["last"] < last:
            # Another lvsd, whose events were lost, counts from the beginning.
            last = 0
            continue
        _write(document["events"], as_json=as_json)
        last = document["events"][-1]["number"] if document["events"] else document["last"]


def _ask(client: Client, kinds: tuple[str, ...], limit: int, after: int | None) -> EventsDocument:
    query = [("limit", str(limit)), *(("kind", kind) for kind in kinds)]
    if after is not None:
        query.append(("after", str(after)))
    document: EventsDocument = client.get("events", query)
    return document


def _write(events: list[EventView], *, as_json: bool) -> None:
    for event in events:
        click.echo(json.dumps(event, ensure_ascii=False) if as_json else event_line(event))


def event_line(event: EventView) -> str:
    """An event on one line, for people; times are local."""
    at = datetime.fromtimestamp(event["at"]).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    subject = f"{printable(event['subject'])} " if event["subject"] else ""
    who = f" ({printable(event['who'])})" if event["who"] else ""
    text = f"{subject}{printable(event['text'])}{who}"
    shown = paint(text, WARN) if event["severity"] == "warning" else text
    return f"{paint(at, DIM)}  {event['kind']:13}  {shown}"
