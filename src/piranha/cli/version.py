"""`piranha version`."""

from __future__ import annotations

import click

import piranha


@click.command("version")
def version_command() -> None:
    """The version."""
    click.echo(piranha.__version__)
