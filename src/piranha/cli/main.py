"""The command `piranha`: loads a command's module only when it is called, and turns errors into exit codes."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

import click

import piranha
from piranha.base.errors import ExitCode, PiranhaError

INTERRUPTED = 130

COMMANDS: dict[str, tuple[str, str]] = {
    "status": ("piranha.cli.status:status_command", "How the director, its services and its data plane are."),
    "services": ("piranha.cli.services:services_command", "The table with names, health, connections and rates."),
    "server": (
        "piranha.cli.server:server_group",
        "Drain, disable, weigh or force real servers; what was said of them.",
    ),
    "connections": ("piranha.cli.connections:connections_command", "Connections, filtered or counted."),
    "top": ("piranha.cli.top:top_command", "Roles, services and rates on the whole screen."),
    "events": ("piranha.cli.events:events_command", "What happened, and what happens."),
    "config": ("piranha.cli.config:config_group", "Check, show, edit, compare and roll back lvs.cf."),
    "import": ("piranha.cli.import_:import_group", "Make an lvs.cf of another balancer's configuration."),
    "reload": ("piranha.cli.reload:reload_command", "Apply the changes of lvs.cf to the running director."),
    "pulse": ("piranha.cli.pulse:pulse_command", "Run the daemon that keeps a pair of directors."),
    "fos": ("piranha.cli.fos:fos_command", "Run the failover services (`service = fos`)."),
    "cluster": ("piranha.cli.cluster:cluster_command", "The pair: roles, heartbeats, lease, alarms."),
    "failover": ("piranha.cli.failover:failover_command", "Change over to the other director, in order."),
    "maintenance": (
        "piranha.cli.maintenance:maintenance_command",
        "Keep this director out of, or in, the pair's play.",
    ),
    "pair": ("piranha.cli.pair:pair_command", "Make the key of two directors."),
    "lvsd": ("piranha.cli.lvsd:lvsd_command", "Run the director's daemon."),
    "gui": ("piranha.cli.gui:gui_group", "Serve the web GUI and the public API on HTTPS."),
    "ipvsadm": ("piranha.cli.ipvsadm:ipvsadm_command", "ipvsadm, word for word, over the data plane."),
    "proc": ("piranha.cli.proc:proc_command", "The texts of /proc/net/ip_vs and its kin."),
    "unload": ("piranha.cli.unload:unload_command", "Take the data plane out of the kernel."),
    "realserver": ("piranha.cli.realserver:realserver_group", "Prepare a real server for direct routing or tunnels."),
    "doctor": ("piranha.cli.doctor:doctor_command", "Say what this machine lacks and how to get it."),
    "lab": ("piranha.cli.lab:lab_group", "A cluster of network namespaces on this machine."),
    "completion": ("piranha.cli.completion:completion_command", "Completion for bash, zsh or fish."),
    "version": ("piranha.cli.version:version_command", "The version."),
}
"""Name -> where the click command is, and its line in the list of commands."""


class LazyGroup(click.Group):
    """Knows its commands by name and line; imports one when it is used. `piranha status` must start at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command), f"{cmd_name} is no command"
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(piranha.__version__, prog_name="piranha")
@click.option("--run-dir", type=click.Path(path_type=Path), help="Run directory of lvsd (PIRANHA_RUN_DIR).")
@click.option("--no-color", is_flag=True, help="Plain text; NO_COLOR does the same.")
def cli(run_dir: Path | None, no_color: bool) -> None:
    """Piranha balances TCP and UDP over real servers, as lvs.cf says.

    Nouns read, verbs change. Exit codes: 0 done, 1 refused, 2 usage, 3 lvsd does not answer.
    """
    from piranha.cli.options import set_run_dir
    from piranha.cli.output import set_colour

    set_colour(no_colour=no_color)
    set_run_dir(run_dir)


def run(arguments: Sequence[str] | None = None) -> int:
    """One command, from its words to its exit code. Errors are one line on stderr."""
    stdout, stderr = sys.stdout, sys.stderr
    try:
        result = cli.main(
            args=None if arguments is None else list(arguments), prog_name="piranha", standalone_mode=False
        )
        sys.stdout.flush()
        return result if isinstance(result, int) else ExitCode.DONE
    except PiranhaError as error:
        click.echo(f"piranha: {error}", err=True)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return ExitCode.USAGE if isinstance(error, click.UsageError) else ExitCode.REFUSED
    except (KeyboardInterrupt, click.Abort):
        click.echo("piranha: interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        return _reader_is_gone()
    except SystemExit:
        # A broken pipe that click meets first it turns into exit code 1, with a stand-in for stdout.
        if sys.stdout is stdout:
            raise
        sys.stdout, sys.stderr = stdout, stderr
        return _reader_is_gone()


def _reader_is_gone() -> int:
    from piranha.cli.output import silence_broken_pipe

    silence_broken_pipe()
    return ExitCode.DONE


def main() -> None:
    """The console script."""
    sys.exit(run())
