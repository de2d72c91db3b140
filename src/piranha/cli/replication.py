"""`piranha config conflicts` and `piranha config push`: the configuration that two directors share."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from piranha.base.errors import ExitCode
from piranha.cli.options import json_option, reaching
from piranha.cli.output import columns, note, write_json, write_lines
from piranha.client.http import Client

if TYPE_CHECKING:
    from piranha.replication.view import ConflictDocument, ConflictsDocument, OutcomeDocument

_RESOURCE = "configuration/conflicts"


@click.group("conflicts", invoke_without_command=True)
@click.pass_context
def conflicts_group(context: click.Context) -> None:
    """Configurations that were edited apart and are kept beside the one in force. Without a command: list them."""
    if context.invoked_subcommand is None:
        context.invoke(list_command)


@conflicts_group.command("list")
@json_option
@reaching
def list_command(client: Client, as_json: bool) -> None:
    """List the kept configurations."""
    document: ConflictsDocument = client.get(_RESOURCE)
    if as_json:
        write_json(document)
        return
    if not document["conflicts"]:
        note("no conflicts")
        return
    rows = [["ID", "DIRECTOR", "GENERATION", "LINES"]]
    for view in document["conflicts"]:
        lines = str(view["lines"]) if view["text_here"] else "lost"
        rows.append([view["id"], view["director"], view["generation"], lines])
    write_lines(columns(rows, right=(3,)))


@conflicts_group.command("show")
@click.argument("conflict_id", metavar="ID")
@reaching
def show_command(client: Client, conflict_id: str) -> None:
    """Print a kept configuration."""
    click.echo(_conflict(client, conflict_id)["theirs"], nl=False)


@conflicts_group.command("diff")
@click.argument("conflict_id", metavar="ID")
@reaching
def diff_command(client: Client, conflict_id: str) -> int:
    """Print what a kept configuration has otherwise than the one in force. Exit code 1 when there is a difference."""
    document = _conflict(client, conflict_id)
    lines = difflib.unified_diff(
        document["ours"].splitlines(),
        document["theirs"].splitlines(),
        "in force",
        f"{document['conflict']['id']} of {document['conflict']['director']}",
        lineterm="",
    )
    text = list(lines)
    write_lines(text)
    return ExitCode.REFUSED if text else ExitCode.DONE


@conflicts_group.command("resolve")
@click.argument("conflict_id", metavar="ID")
@click.option(
    "--take",
    type=click.Choice(["theirs", "ours"]),
    required=True,
    help="`theirs` puts the kept configuration in force, `ours` drops it; on both directors.",
)
@reaching
def resolve_command(client: Client, conflict_id: str, take: str) -> None:
    """End a conflict. What is replaced stays among the former versions."""
    outcome: OutcomeDocument = client.post(_path(conflict_id), {"take": take})
    note(_sentence(outcome))


@click.command("push")
@click.option("--pull", is_flag=True, help="The other way: take the other director's configuration.")
@reaching
def push_command(client: Client, pull: bool) -> None:
    """Put this director's configuration in force on both, whatever the other one has.

    It is not needed for ordinary changes: those are on both directors after `piranha reload`.
    """
    outcome: OutcomeDocument = client.post("replication/pull" if pull else "replication/push")
    note(_sentence(outcome))


def _conflict(client: Client, conflict_id: str) -> ConflictDocument:
    document: ConflictDocument = client.get(_path(conflict_id))
    return document


def _path(conflict_id: str) -> str:
    return f"{_RESOURCE}/{quote(conflict_id, safe='')}"


def _sentence(outcome: OutcomeDocument) -> str:
    return f"{outcome['sentence']}; generation {outcome['generation']}, {outcome['state']}"
