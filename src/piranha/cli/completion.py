"""`piranha completion`: the script that a shell needs."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_LINES = {
    "bash": 'eval "$(piranha completion bash)"',
    "zsh": 'eval "$(piranha completion zsh)"',
    "fish": "piranha completion fish | source",
}


@click.command("completion", epilog="For good: " + "; ".join(f"{shell}: {line}" for shell, line in _LINES.items()))
@click.argument("shell", type=click.Choice(list(_LINES)))
def completion_command(shell: str) -> None:
    """Print what lets SHELL complete the words of piranha."""
    from piranha.cli.main import cli

    kind = get_completion_class(shell)
    assert kind is not None, shell
    click.echo(kind(cli, {}, "piranha", "_PIRANHA_COMPLETE").source())
