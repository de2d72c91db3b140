"""`piranha maintenance`: a director that must not become active."""

from __future__ import annotations

from pathlib import Path

import click

from piranha.base.errors import ExitCode, PiranhaError
from piranha.base.paths import Paths
from piranha.cli.options import set_run_dir
from piranha.cli.output import note


@click.command("maintenance")
@click.argument("state", type=click.Choice(["on", "off"]))
@click.option("--run-dir", type=click.Path(path_type=Path), help="Run directory of pulse (PIRANHA_RUN_DIR).")
def maintenance_command(state: str, run_dir: Path | None) -> int:
    """Take this director out of the play, or back in.

    Going into maintenance it hands the VIPs over where it has them; then it does not take over, whatever happens to the other.
    """
    from piranha.client.pulse import ask

    set_run_dir(run_dir)
    answer = ask(Paths.from_environment().pulse_socket, f"maintenance_{state}", wait_s=10.0)
    if not answer.get("done"):
        raise PiranhaError(str(answer.get("text", "pulse refused")))
    note(str(answer.get("text", "")))
    return ExitCode.DONE
