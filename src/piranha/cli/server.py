"""`piranha server`: what operators say of real servers, above lvs.cf and the checks."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from piranha.base.errors import PiranhaError
from piranha.cli.options import json_option, reaching
from piranha.cli.output import (
    DIM,
    WARN,
    columns,
    duration,
    endpoint,
    note,
    paint,
    paint_state,
    plural,
    write_json,
    write_lines,
)
from piranha.client.http import Client
from piranha.config.values import parse_time

if TYPE_CHECKING:
    from piranha.director.servers import LoadView, ServersDocument, ServerStateView, WordView

_POLL_S = 1.0


class Duration(click.ParamType[float]):
    """Seconds, or a number with `s`, `m` or `h`, as in lvs.cf."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        seconds = parse_time(str(value))
        if seconds is None or seconds <= 0:
            self.fail(f"{value!r} is no time: write 90, 90s, 10m or 2h", param, ctx)
        return float(seconds)


@click.group("server")
def server_group() -> None:
    """Drain, disable, weigh or force real servers.

    What is said here stands above lvs.cf and the checks, outlives restarts, and is shown with who said it, when and why.
    SERVER is a name of lvs.cf or an address.
    """


def _about(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every verb; the command gets them as `said`, the rest of the request's body."""

    @click.argument("server")
    @click.option("--service", default="", help="Only in this virtual server (name or key); else in every one.")
    @click.option("--for", "for_s", type=Duration(), help="Taken back after this time; of a drain, its longest time.")
    @click.option("--why", default="", help="The reason, shown with it.")
    @json_option
    @reaching
    @functools.wraps(command)
    def wrapped(service: str, for_s: float | None, why: str, **others: Any) -> Any:
        said: dict[str, Any] = {"why": why}
        if service:
            said["service"] = service
        if for_s is not None:
            said["for_s"] = for_s
        return command(said=said, **others)

    return wrapped


def _say(client: Client, server: str, body: dict[str, Any], as_json: bool) -> ServersDocument:
    document: ServersDocument = client.post(f"servers/{quote(server, safe='')}/state", body)
    if as_json:
        write_json(document)
    else:
        write_lines(_lines([one for one in document["servers"] if server in (one["name"], one["address"])]))
    return document


@server_group.command("list")
@click.option("--said", is_flag=True, help="Only servers of which something was said.")
@json_option
@reaching
def list_command(client: Client, said: bool, as_json: bool) -> None:
    """Every real server in every service: weight, state, and what was said of it."""
    document: ServersDocument = client.get("servers")
    if as_json:
        write_json(document)
        return
    write_lines(_lines([one for one in document["servers"] if one["words"] or not said]))
    for word in document["strangers"]:
        note(f"{word['server']} is not in lvs.cf: {_word(word)}; `piranha server release {word['server']}` forgets it")
    if document["trouble"]:
        note(f"{paint('problem', WARN)}: {document['trouble']}")


@server_group.command("enable")
@_about
def enable_command(client: Client, server: str, said: dict[str, Any], as_json: bool) -> None:
    """Take a disable or a drain back."""
    _say(client, server, {"act": "enable", **said}, as_json)


@server_group.command("disable")
@_about
def disable_command(client: Client, server: str, said: dict[str, Any], as_json: bool) -> None:
    """Take a server out at once. Its connections are cut off; `drain` lets them end."""
    _say(client, server, {"act": "disable", **said}, as_json)


@server_group.command("drain")
@click.option("--wait", is_flag=True, help="Return when it is drained; show what is left until then.")
@_about
def drain_command(client: Client, server: str, said: dict[str, Any], as_json: bool, wait: bool) -> None:
    """Give a server no new connections, and take it out when its old ones have ended."""
    document = _say(client, server, {"act": "drain", **said}, as_json)
    while wait:
        words = [
            word
            for one in document["servers"]
            if server in (one["name"], one["address"])
            for word in one["words"]
            if word["act"] == "drain"
        ]
        if not words:
            raise PiranhaError(f"the drain of {server} was taken back")
        if all(word["drained"] for word in words):
            note(f"{server} is drained")
            return
        note(f"{plural(max(word['connections_left'] or 0 for word in words), 'connection')} left")
        time.sleep(_POLL_S)
        document = client.get("servers")


@server_group.command("weight")
@_about
@click.argument("weight", type=click.IntRange(0, 2**31 - 1))
def weight_command(client: Client, server: str, weight: int, said: dict[str, Any], as_json: bool) -> None:
    """Give a server this weight, whatever lvs.cf and its load say."""
    _say(client, server, {"act": "weight", "weight": weight, **said}, as_json)


@server_group.command("force")
@_about
@click.argument("health", type=click.Choice(["up", "down"]))
def force_command(client: Client, server: str, health: str, said: dict[str, Any], as_json: bool) -> None:
    """Count a server as up or down, whatever its checks say."""
    _say(client, server, {"act": health, **said}, as_json)


@server_group.command("release")
@_about
def release_command(client: Client, server: str, said: dict[str, Any], as_json: bool) -> None:
    """Take back everything that was said of a server."""
    _say(client, server, {"act": "release", **said}, as_json)


def _lines(servers: list[ServerStateView]) -> Iterator[str]:
    rows = [("SERVICE", "SERVER", "ADDRESS", "WEIGHT", "CONNS", "HEALTH", "STATE")]
    rows += [
        (
            one["service"],
            one["name"],
            endpoint(one["address"], one["port"]),
            f"{'out' if one['weight'] is None else one['weight']}/{one['configured_weight']}",
            str(one["active_connections"] + one["inactive_connections"]),
            one["health"],
            one["cause"],
        )
        for one in servers
    ]
    head, *lines = columns(rows, right=(3, 4))
    yield paint(head, DIM)
    for one, line in zip(servers, lines, strict=True):
        yield line.replace(f"  {one['health']} ", f"  {paint_state(one['health'])} ", 1)
        if one["load"] is not None:
            yield f"    {_load(one['load'])}"
        for word in one["words"]:
            yield f"    {_word(word)}"


def _load(load: LoadView) -> str:
    known = f"{load['text']}, told {duration(load['age_s'])} ago" if load["age_s"] is not None else "nothing told yet"
    trouble = f"; {paint(load['trouble'], WARN)}" if load["trouble"] else ""
    return f"{load['monitor']}: {known}{trouble}"


def _word(word: WordView) -> str:
    what = word["act"] + (f" {word['weight']}" if word["weight"] is not None else "")
    where = "" if word["service"] else " everywhere"
    who = f" by {word['who']}" if word["who"] else ""
    text = f"{what}{where}{who} at {_clock(word['at'])}"
    if word["drained"]:
        text += ", drained"
    elif word["connections_left"] is not None:
        text += f", {plural(word['connections_left'], 'connection')} left"
    if word["until"] is not None and not word["drained"]:
        text += f", until {_clock(word['until'])} (in {duration(max(0.0, word['until'] - time.time()))})"
    return text + (f": {word['why']}" if word["why"] else "")


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M:%S")
