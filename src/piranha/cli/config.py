"""`piranha config`: check, show and format an `lvs.cf`, on the file alone; what asks lvsd is in `config_change.py` and `replication.py`."""

from __future__ import annotations

import difflib
import json
import sys
from pathlib import Path

import click

from piranha.base.errors import ExitCode, PiranhaError
from piranha.base.paths import Paths
from piranha.cli import config_change
from piranha.cli.output import note, write_json
from piranha.cli.problem_report import problem_as_plain, report_lines, summary
from piranha.cli.replication import conflicts_group, push_command
from piranha.config.formatter import format_text
from piranha.config.parser import Parsed
from piranha.config.plain import as_plain
from piranha.config.semantics import check_text
from piranha.config.store import read_text, text_from, write_atomically
from piranha.config.writer import write

_STANDARD_INPUT = "-"
_file_argument = click.argument("file", required=False, metavar="[FILE|-]")
_strict_option = click.option("--strict", is_flag=True, help="Judge as the original parser did.")


@click.group("config")
def config_group() -> None:
    """Check, show, format and change lvs.cf, and take changes back.

    FILE is /etc/sysconfig/ha/lvs.cf unless named; `-` is standard input.
    """


config_group.add_command(conflicts_group)
config_group.add_command(push_command)
for _command in config_change.COMMANDS:
    config_group.add_command(_command)


@config_group.command("check")
@_file_argument
@_strict_option
@click.option("--json", "as_json", is_flag=True, help="The problems as JSON.")
def check_command(file: str | None, strict: bool, as_json: bool) -> int:
    """List every problem of a file with its place and its mend. Warnings alone are exit code 0, errors 1."""
    parsed, text = _read(file, strict=strict)
    if as_json:
        document = {
            "file": parsed.file,
            "strict": strict,
            "usable": parsed.is_usable,
            "errors": len(parsed.errors),
            "warnings": len(parsed.warnings),
            "problems": [problem_as_plain(problem) for problem in parsed.problems],
        }
        click.echo(json.dumps(document, indent=2))
    else:
        _report(parsed, text)
        note(summary(parsed))
    return ExitCode.DONE if parsed.is_usable else ExitCode.REFUSED


@config_group.command("show")
@_file_argument
@_strict_option
@click.option("--json", "as_json", is_flag=True, help="The values as JSON.")
def show_command(file: str | None, strict: bool, as_json: bool) -> int:
    """Print what a file says, defaults included, as an lvs.cf. A file with errors is explained instead: exit code 1."""
    parsed, text = _read(file, strict=strict)
    if not parsed.is_usable:
        _report(parsed, text)
        note(summary(parsed))
        return ExitCode.REFUSED
    if as_json:
        write_json(as_plain(parsed.configuration))
    else:
        _write_exactly(write(parsed.configuration, with_defaults=True))
    return ExitCode.DONE


@config_group.command("fmt")
@_file_argument
@click.option("--check", "only_check", is_flag=True, help="Say whether the file is formatted: exit code 0 or 1.")
@click.option("--diff", "as_diff", is_flag=True, help="Print the changes; exit code 1 when there are any.")
@click.option("--in-place", is_flag=True, help="Write the file.")
def fmt_command(file: str | None, only_check: bool, as_diff: bool, in_place: bool) -> int:
    """Print a file with its spacing in order. Comments and order stay; a file with errors is refused."""
    if in_place and (only_check or as_diff):
        raise click.UsageError("--in-place goes with neither --check nor --diff.")
    if in_place and file == _STANDARD_INPUT:
        raise click.UsageError("--in-place needs a file, not standard input.")
    parsed, text = _read(file, strict=False)
    if not parsed.is_usable:
        _report(parsed, text)
        note(summary(parsed))
        return ExitCode.REFUSED
    formatted = _formatted(text, parsed)
    if as_diff:
        _write_exactly(_difference(text, formatted, parsed.file))
    elif in_place:
        if formatted != text:
            write_atomically(Path(parsed.file), formatted)
    elif not only_check:
        _write_exactly(formatted)
    if only_check and formatted != text:
        note(f"{parsed.file} is not formatted: see `piranha config fmt --diff`")
    return ExitCode.REFUSED if (only_check or as_diff) and formatted != text else ExitCode.DONE


def _read(file: str | None, *, strict: bool) -> tuple[Parsed, str]:
    if file == _STANDARD_INPUT:
        name = "<stdin>"
        text = text_from(sys.stdin.buffer, name)
    else:
        path = Path(file) if file else Paths.from_environment().config
        name, text = str(path), read_text(path)
    return check_text(text, file=name, strict=strict), text


def _report(parsed: Parsed, text: str) -> None:
    for line in report_lines(parsed, text):
        click.echo(line)


def _formatted(text: str, parsed: Parsed) -> str:
    """The formatted text, once it is certain that it says the same."""
    formatted = format_text(text)
    again = check_text(formatted, file=parsed.file)
    if again.configuration != parsed.configuration or not again.is_usable:
        raise PiranhaError(
            f"{parsed.file} is left alone: formatted, it would not say the same", mend="report this file"
        )
    return formatted


def _difference(before: str, after: str, name: str) -> str:
    """A unified diff of two texts."""
    lines = difflib.unified_diff(_split(before), _split(after), name, f"{name} (formatted)")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _split(text: str) -> list[str]:
    parts = text.split("\n")
    return [f"{part}\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def _write_exactly(text: str) -> None:
    """The text with the very bytes that it had in the file, also where they are not UTF-8."""
    stream = sys.stdout.buffer
    stream.write(text.encode("utf-8", "surrogateescape"))
    stream.flush()
