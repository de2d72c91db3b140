"""`piranha failover`: the planned change-over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from piranha.base.errors import ExitCode, PiranhaError
from piranha.base.paths import Paths
from piranha.cli.options import set_run_dir
from piranha.cli.output import note

_WAIT_S = 10.0


@click.command("failover")
@click.option("--to", "target", metavar="NODE", help="`primary`, `backup`, `peer`, or the other director's name.")
@click.option("--run-dir", type=click.Path(path_type=Path), help="Run directory of pulse (PIRANHA_RUN_DIR).")
def failover_command(target: str | None, run_dir: Path | None) -> int:
    """Change over in order: the other director takes the VIPs, and no connection is lost.

    It works on either director. With --to it is done only where NODE is not active already.
    """
    from piranha.client.pulse import ask

    set_run_dir(run_dir)
    path = Paths.from_environment().pulse_socket
    if target is not None and is_active(target, ask(path, "status")):
        note(f"{target} is active already")
        return ExitCode.DONE
    answer = ask(path, "switch", wait_s=_WAIT_S)
    if not answer.get("done"):
        raise PiranhaError(str(answer.get("text", "pulse refused")))
    note(str(answer.get("text", "")))
    return ExitCode.DONE


def is_active(target: str, status: dict[str, Any]) -> bool:
    """Whether the director that a person means by `target` is the active one. Raises PiranhaError where nobody is meant."""
    ours, peer = status.get("place"), status.get("peer")
    if peer is None:
        raise PiranhaError("there is no other director", mend="write `backup = ADDRESS` into lvs.cf, and pair the two")
    places = {"primary": "primary", "backup": "secondary", "secondary": "secondary"}
    if target in places:
        means_us = places[target] == ours
    elif target in ("self", status.get("name")):
        means_us = True
    elif target in ("peer", peer.get("name")):
        means_us = False
    else:
        raise PiranhaError(
            f"no director is called {target}", mend=f"say primary, backup, {status.get('name')} or {peer.get('name')}"
        )
    return (status.get("role") == "active") == means_us
