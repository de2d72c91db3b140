"""`piranha lvsd`: the daemon in the foreground."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path

import click

from piranha.base.errors import ExitCode
from piranha.base.paths import Paths
from piranha.cli.options import set_run_dir
from piranha.cli.output import note, set_colour


@click.command("lvsd")
@click.option("--config", type=click.Path(path_type=Path), help="The lvs.cf (PIRANHA_CONFIG).")
@click.option("--run-dir", type=click.Path(path_type=Path), help="Sockets, lock and data plane (PIRANHA_RUN_DIR).")
@click.option("--foreground", is_flag=True, default=True, help="Stay in the foreground; always so.")
@click.option("--dataplane", type=click.Choice(["auto", "ebpf", "ipvs", "memory"]), hidden=True)
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
@click.option("--no-color", is_flag=True, help="Plain text; NO_COLOR does the same.")
def lvsd_command(
    config: Path | None, run_dir: Path | None, foreground: bool, dataplane: str | None, verbose: bool, no_color: bool
) -> int:
    """Run the director's daemon.

    SIGHUP reloads the file. SIGTERM stops the daemon and leaves the kernel forwarding: `piranha unload` ends that.
    """
    # The daemon's imports take longer than a reading command may last.
    from piranha.base.log import log_to_stderr
    from piranha.cli.problem_report import report_lines, summary
    from piranha.director.source import ConfigurationError

    set_colour(no_colour=no_color)
    set_run_dir(run_dir)
    paths = Paths.from_environment()
    if config is not None:
        paths = replace(paths, config=config)
    log_to_stderr(verbose=verbose)
    try:
        # By name: a composition root stands above the commands, nothing imports it.
        import_module("piranha.daemons.lvsd").run_lvsd(paths, dataplane=dataplane)
    except ConfigurationError as refused:
        for line in report_lines(refused.parsed, refused.text):
            note(line)
        note(f"{summary(refused.parsed)}; a table in the kernel goes on as it is")
        return ExitCode.REFUSED
    return ExitCode.DONE
