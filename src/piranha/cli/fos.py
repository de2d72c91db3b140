"""`piranha fos`: the daemon of the failover services; pulse starts it with `service = fos`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import click

from piranha.base.errors import ExitCode
from piranha.base.paths import Paths
from piranha.cli.options import set_run_dir


@click.command("fos")
@click.option("--run-dir", type=click.Path(path_type=Path), help="Run directory of pulse (PIRANHA_RUN_DIR).")
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
def fos_command(run_dir: Path | None, verbose: bool) -> int:
    """Run the failover services of this director: pulse does it where lvs.cf says `service = fos`."""
    from piranha.base.log import log_to_stderr

    set_run_dir(run_dir)
    log_to_stderr(verbose=verbose)
    import_module("piranha.daemons.fos").run_fos(Paths.from_environment())
    return ExitCode.DONE
