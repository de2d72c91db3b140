"""`piranha reload`: a bad file is refused whole, a good one is applied whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from piranha.base.errors import ExitCode
from piranha.cli.options import json_option, reaching
from piranha.cli.output import BAD, WARN, note, paint, plural, write_json
from piranha.client.http import Client, RefusedError

if TYPE_CHECKING:
    from piranha.director.status import ReloadDocument


@click.command("reload")
@json_option
@reaching
def reload_command(client: Client, as_json: bool) -> int:
    """Apply the changes of lvs.cf to the running director.

    Connections of what did not change go on. A file with errors changes nothing: all errors are listed, exit code 1.
    """
    try:
        document: ReloadDocument = client.post("reload")
    except RefusedError as refused:
        if as_json:
            write_json(refused.document)
        for problem in refused.document.get("problems", ()):
            note(finding(problem))
        note(f"piranha: {refused}; the old configuration goes on")
        return ExitCode.REFUSED
    if as_json:
        write_json(document)
        return ExitCode.DONE
    for change in document["changes"]:
        click.echo(change)
    for warning in document["warnings"]:
        note(finding(warning))
    for problem in document["problems"]:
        note(f"{paint('problem', BAD)}: {problem}")
    changes = plural(len(document["changes"]), "change") if document["changes"] else "no change"
    note(f"serial {document['serial_no']} in force, {changes} to the table")
    return ExitCode.DONE


def finding(problem: dict[str, Any] | Any) -> str:
    """A finding in the file on one line, as compilers write it."""
    colour = BAD if problem["severity"] == "error" else WARN
    mend = f": {problem['suggestion']}" if problem["suggestion"] else ""
    place = f"{problem['file']}:{problem['line']}:{problem['column']}"
    return f"{place}: {paint(problem['severity'], colour)}: {problem['message']}{mend}"
