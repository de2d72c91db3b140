"""`piranha gui`: the web GUI in the foreground; `piranha gui passwd`: a way in."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import click

from piranha.base.errors import ExitCode, PiranhaError
from piranha.base.paths import Paths
from piranha.cli.options import set_run_dir
from piranha.cli.output import note

_DAEMON = "piranha.daemons.gui"


@click.group("gui", invoke_without_command=True)
@click.option("--address", default="", help="Listen on this address only; without it, on all of this host.")
@click.option("--port", type=click.IntRange(1, 65535), default=3636, show_default=True, help="The HTTPS port.")
@click.option("--user", default="piranha", show_default=True, help="As whom to serve.")
@click.option("--name", "names", multiple=True, help="A further name or address for the own certificate; may repeat.")
@click.option("--run-dir", type=click.Path(path_type=Path), help="Run directory of lvsd (PIRANHA_RUN_DIR).")
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
@click.pass_context
def gui_group(
    context: click.Context,
    address: str,
    port: int,
    user: str,
    names: tuple[str, ...],
    run_dir: Path | None,
    verbose: bool,
) -> int:
    """Serve the web GUI and the public API on HTTPS.

    Starts as root, serves as an unprivileged user. The first start makes a key and a certificate and prints a one-time
    link to the first account.
    """
    set_run_dir(run_dir)
    options = {"address": address, "port": port, "user": user, "names": names}
    if context.invoked_subcommand is not None:
        context.obj = options
        return ExitCode.DONE
    from piranha.base.log import log_to_stderr

    log_to_stderr(verbose=verbose)
    # By name: a composition root stands above the commands, nothing imports it.
    daemon = import_module(_DAEMON)
    daemon.run_gui(Paths.from_environment(), daemon.GuiOptions(**options))
    return ExitCode.DONE


@gui_group.command("passwd")
@click.argument("name", default="")
@click.option("--role", type=click.Choice(["viewer", "operator", "admin"]), default="admin", help="Of a new account.")
@click.option("--ask", is_flag=True, help="Ask for the password here instead of printing a link.")
@click.pass_context
def passwd_command(context: click.Context, name: str, role: str, ask: bool) -> int:
    """Print a one-time link that lets the account NAME choose a password; a new account is made.

    Without NAME, the link to the first account of all. The link holds for a day.
    """
    from piranha.gui.accounts import AccountStore
    from piranha.gui.folder import Folder
    from piranha.gui.passwords import fault_of, hash_of
    from piranha.gui.role import Role

    options: dict[str, Any] = context.obj
    store = AccountStore(Folder.open(Paths.from_environment().gui_state))
    given = Role.of(role) or Role.ADMIN
    if ask:
        if not name:
            raise click.UsageError("--ask needs a NAME")
        password = click.prompt("password", hide_input=True, confirmation_prompt=True)
        if fault := fault_of(password, name):
            raise PiranhaError(fault)
        store.set_password(name, hash_of(password), role=given)
        note(f"{name} has a new password")
        return ExitCode.DONE
    if not name and not store.is_empty:
        names = ", ".join(sorted(store.book.accounts))
        raise click.UsageError(f"there are accounts already: say which of {names}, or a new NAME")
    daemon = import_module(_DAEMON)
    click.echo(daemon.link_url(daemon.GuiOptions(**options), store.make_link(name, role=given)))
    return ExitCode.DONE
