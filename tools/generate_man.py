"""Write a manual page for every command into a folder: `tools/generate_man.py FOLDER`. The text is that of `--help`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

import piranha
from piranha.cli.main import cli


def pages() -> dict[str, str]:
    """File name -> page in man(7)."""
    return {f"{path.replace(' ', '-')}.1": _page(path, command) for path, command in _commands("piranha", cli)}


def _commands(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None and not inner.hidden:
                yield from _commands(f"{path} {name}", inner)


def _page(path: str, command: click.Command) -> str:
    context = click.Context(command, info_name=path)
    name = path.replace(" ", "-")
    text = (command.help or "").partition("\f")[0].strip()
    first, _, rest = text.partition("\n\n")
    lines = [
        f'.TH "{name.upper()}" "1" "" "piranha {piranha.__version__}" "Piranha"',
        ".SH NAME",
        f"{name} \\- {_roff(' '.join(first.split()).rstrip('.'))}",
        ".SH SYNOPSIS",
        f".B {_roff(path)}",
        _roff(" ".join(command.collect_usage_pieces(context))),
        ".SH DESCRIPTION",
    ]
    for paragraph in [first, *filter(None, rest.split("\n\n"))]:
        lines += [".PP", _roff(" ".join(paragraph.split()))]
    options = [record for param in command.get_params(context) if (record := param.get_help_record(context))]
    if options:
        lines.append(".SH OPTIONS")
        for spelled, meaning in options:
            lines += [".TP", f"\\fB{_roff(spelled)}\\fR", _roff(meaning)]
    if isinstance(command, click.Group):
        lines.append(".SH COMMANDS")
        for inner in command.list_commands(context):
            lines += [".TP", f"\\fB{_roff(name)}\\-{_roff(inner)}\\fR(1)"]
            found = command.get_command(context, inner)
            lines.append(_roff("" if found is None else found.get_short_help_str(200)))
    lines += [".SH EXIT STATUS", "0 done, 1 refused, 2 usage, 3 lvsd does not answer."]
    return "\n".join(lines) + "\n"


def _roff(text: str) -> str:
    """The text with nothing in it that roff would obey."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("\n", " ")
    return re.sub(r"^([.'])", r"\\&\1", escaped)


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: generate_man.py FOLDER", file=sys.stderr)
        return 2
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
