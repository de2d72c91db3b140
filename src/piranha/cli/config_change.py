"""`piranha config edit|apply|diff|history|rollback|confirm`: changes through lvsd, which keeps every version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from piranha.base.errors import ExitCode, PiranhaError
from piranha.cli.options import json_option, reaching
from piranha.cli.output import BAD, DIM, GOOD, columns, note, paint, plural, write_json, write_lines
from piranha.cli.problem_report import printable
from piranha.cli.reload import finding
from piranha.client.http import Client, RefusedError

if TYPE_CHECKING:
    from piranha.director.revision import ChangedDocument, CheckDocument, DiffDocument, StoredDocument, VersionsDocument

_comment_option = click.option("-m", "--comment", default="", help="Why; kept with the version.")
_confirm_option = click.option(
    "--confirm",
    "confirm_s",
    type=click.IntRange(5, 3600),
    metavar="SECONDS",
    help="Take the change back unless `piranha config confirm` comes within SECONDS.",
)
_yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


@click.command("edit")
@_comment_option
@_confirm_option
@_yes_option
@reaching
def edit_command(client: Client, comment: str, confirm_s: int | None, yes: bool) -> int:
    """Edit lvs.cf in $EDITOR and bring it into force. What it changes in the table is shown first.

    Whoever changed the file meanwhile is not overwritten: then nothing is done, exit code 1.
    """
    stored: StoredDocument = client.get("configuration")
    text = stored["text"]
    while True:
        edited = click.edit(text, extension=".cf", require_save=False)
        if edited is None or edited == stored["text"]:
            note("nothing was changed")
            return ExitCode.DONE
        text = edited
        checked: CheckDocument = client.post("configuration/check", {"text": text})
        _tell(checked)
        if checked["usable"]:
            break
        if yes or not click.confirm("Edit it again?", default=True, err=True):
            note("nothing was changed")
            return ExitCode.REFUSED
    if not yes and not click.confirm("Bring this into force?", default=False, err=True):
        note("nothing was changed")
        return ExitCode.REFUSED
    return _put(client, text, stored["digest"], comment, confirm_s, as_json=False)


@click.command("apply")
@click.argument("file", type=click.File("r", encoding="utf-8"))
@_comment_option
@_confirm_option
@click.option("-n", "--dry-run", is_flag=True, help="Only say what it would change.")
@click.option("--if-digest", metavar="DIGEST", help="Only if lvs.cf is the one with this digest.")
@json_option
@reaching
def apply_command(
    client: Client,
    file: Any,
    comment: str,
    confirm_s: int | None,
    dry_run: bool,
    if_digest: str | None,
    as_json: bool,
) -> int:
    """Make FILE (`-` is standard input) the lvs.cf in force: checked, stored as a version, applied, or nothing of it."""
    try:
        text = file.read()
    except UnicodeDecodeError:
        raise PiranhaError(f"{file.name} is not UTF-8", mend="is this an lvs.cf?") from None
    if dry_run:
        checked: CheckDocument = client.post("configuration/check", {"text": text})
        if as_json:
            write_json(checked)
        else:
            _tell(checked)
        return ExitCode.DONE if checked["usable"] else ExitCode.REFUSED
    return _put(client, text, if_digest or "*", comment, confirm_s, as_json=as_json)


@click.command("diff")
@click.argument("before", required=False, type=click.IntRange(1), metavar="[FROM]")
@click.argument("after", required=False, type=click.IntRange(1), metavar="[TO]")
@json_option
@reaching
def diff_command(client: Client, before: int | None, after: int | None, as_json: bool) -> None:
    """What changed from version FROM to version TO; left out, between the last two, or from FROM to the last."""
    query = {name: str(number) for name, number in (("from", before), ("to", after)) if number is not None}
    document: DiffDocument = client.get("configuration/diff", query)
    if as_json:
        write_json(document)
        return
    for line in document["unified"].splitlines():
        colour = {"+": GOOD, "-": BAD, "@": DIM}.get(line[:1])
        click.echo(paint(printable(line), colour) if colour else printable(line))


@click.command("history")
@json_option
@reaching
def history_command(client: Client, as_json: bool) -> None:
    """The versions of lvs.cf, the latest first: when, who, why."""
    document: VersionsDocument = client.get("configuration/versions")
    if as_json:
        write_json(document)
        return
    rows = [
        (str(version["number"]), version["at"], printable(version["who"]) or "-", printable(version["comment"]))
        for version in document["versions"]
    ]
    write_lines(columns(rows, right=(0,)))
    _tell_awaited(document["awaits"])


@click.command("rollback")
@click.argument("version", type=click.IntRange(1))
@_comment_option
@json_option
@reaching
def rollback_command(client: Client, version: int, comment: str, as_json: bool) -> int:
    """Bring VERSION back, as a new version. `piranha config history` lists them."""
    return _changed(lambda: client.post("configuration/rollback", {"version": version, "comment": comment}), as_json)


@click.command("confirm")
@reaching
def confirm_command(client: Client) -> None:
    """Let the change stay that waits to be confirmed."""
    stored: StoredDocument = client.post("configuration/confirm")
    note(f"version {stored['version']} stays")


def _put(client: Client, text: str, digest: str, comment: str, confirm_s: int | None, *, as_json: bool) -> int:
    body = {"text": text, "comment": comment, "confirm_s": confirm_s}
    return _changed(lambda: client.put("configuration", body, digest=digest), as_json)


def _changed(change: Any, as_json: bool) -> int:
    try:
        document: ChangedDocument = change()
    except RefusedError as refused:
        if as_json:
            write_json(refused.document)
        for problem in refused.document.get("problems", ()):
            note(finding(problem))
        note(f"piranha: {refused}; nothing was changed")
        return ExitCode.REFUSED
    if as_json:
        write_json(document)
        return ExitCode.DONE
    for line in document["changes"]:
        click.echo(line)
    for problem in document["problems"]:
        note(f"{paint('problem', BAD)}: {problem}")
    changes = plural(len(document["changes"]), "change") if document["changes"] else "no change"
    note(f"version {document['version']}, serial {document['serial_no']} in force, {changes} to the table")
    _tell_awaited(document["awaits"])
    return ExitCode.DONE


def _tell(checked: CheckDocument) -> None:
    """Problems, and what would be done."""
    for problem in checked["problems"]:
        note(finding(problem))
    plan = checked["plan"]
    if plan is None:
        return
    for line in plan["operations"]:
        click.echo(line)
    for server in plan["waiting"]:
        click.echo(f"{server} comes when its check says so")
    for text in (*plan["refusals"], *plan["conflicts"]):
        note(f"{paint('not switched', BAD)}: {text}")
    if not plan["operations"]:
        note("the table does not change")


def _tell_awaited(awaits: Any) -> None:
    if awaits is not None:
        note(
            f"version {awaits['version']} is taken back in {awaits['left_s']:.0f} s unless `piranha config confirm` comes"
        )


COMMANDS = (edit_command, apply_command, diff_command, history_command, rollback_command, confirm_command)
