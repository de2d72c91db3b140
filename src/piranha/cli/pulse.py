"""`piranha pulse`: the pair's daemon in the foreground."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path

import click

from piranha.base.errors import ExitCode
from piranha.base.paths import Paths
from piranha.cli.options import set_run_dir


@click.command("pulse")
@click.option("--config", type=click.Path(path_type=Path), help="The lvs.cf (PIRANHA_CONFIG).")
@click.option("--run-dir", type=click.Path(path_type=Path), help="Sockets, locks and data plane (PIRANHA_RUN_DIR).")
@click.option("--lvsd/--no-lvsd", "with_lvsd", default=True, help="Start lvsd and keep it running (the default).")
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
def pulse_command(config: Path | None, run_dir: Path | None, with_lvsd: bool, verbose: bool) -> int:
    """Run pulse: heartbeats, the role, the VIPs, their announcement and their lease.

    SIGHUP reads lvs.cf anew. SIGTERM hands the VIPs over to the other director and ends, and lvsd with it.
    """
    from piranha.base.log import log_to_stderr

    set_run_dir(run_dir)
    paths = Paths.from_environment()
    if config is not None:
        paths = replace(paths, config=config)
    log_to_stderr(verbose=verbose)
    # By name: a composition root stands above the commands, nothing imports it.
    import_module("piranha.daemons.pulse").run_pulse(paths, with_lvsd=with_lvsd)
    return ExitCode.DONE
