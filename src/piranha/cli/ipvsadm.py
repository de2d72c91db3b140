"""`piranha ipvsadm`: ipvsadm over the data plane."""

from __future__ import annotations

import click

from piranha.ipvsadm.program import run


class _Untouched(click.Command):
    """Reads no options of its own: every word is ipvsadm's."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.params["words"] = tuple(args)
        return []


@click.command("ipvsadm", cls=_Untouched, add_help_option=False)
def ipvsadm_command(words: tuple[str, ...]) -> int:
    """ipvsadm over the data plane; `-h` tells its words."""
    return run("piranha ipvsadm", words)
