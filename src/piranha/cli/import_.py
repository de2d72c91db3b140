"""`piranha import`: configurations of other balancers as an `lvs.cf`, with a report of every line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from piranha.base.errors import ExitCode, PiranhaError
from piranha.base.paths import Paths
from piranha.cli.output import BAD, DIM, WARN, note, paint, write_json
from piranha.config.names import SystemNames
from piranha.config.store import text_from, write_atomically
from piranha.config.values import parse_ip
from piranha.importers.importing import Dialect, Outcome, import_files
from piranha.importers.ledger import Verdict
from piranha.importers.options import ImportOptions
from piranha.importers.report import report_document, report_lines, summary
from piranha.importers.source import DiskFiles
from piranha.model.address import IPAddress
from piranha.model.service import ForwardingMethod

if TYPE_CHECKING:
    from collections.abc import Sequence

F = TypeVar("F", bound=Callable[..., Any])
_STANDARD_INPUT = "-"
_COLOURS = {Verdict.ERROR: BAD, Verdict.LEFT: WARN, Verdict.CHANGED: "cyan"}
_LINES = {
    Dialect.KEEPALIVED: "keepalived.conf, with its includes, definitions and conditions.",
    Dialect.LDIRECTORD: "ldirectord.cf.",
    Dialect.IPVSADM: "The text of `ipvsadm -S`, or a script of ipvsadm commands.",
    Dialect.NGINX_STREAM: "The stream block of nginx.conf.",
    Dialect.HAPROXY_TCP: "haproxy.cfg: frontends, backends and listen sections in mode tcp.",
    Dialect.MARKS: "Rules that set firewall marks: iptables-save or `nft list ruleset`.",
}


def _address(text: str) -> IPAddress:
    found = parse_ip(text)
    if found is None:
        raise ValueError(f"{text} is not an IP address")
    return found


class _Input(DiskFiles):
    """Files, and standard input as `-`."""

    def read(self, name: str) -> str:
        return text_from(sys.stdin.buffer, "<stdin>") if name == _STANDARD_INPUT else super().read(name)


@click.group("import")
def import_group() -> None:
    """Make an lvs.cf of another balancer's configuration.

    The lvs.cf goes to standard output, the report to standard error. Nothing runs and nothing is changed; see
    `piranha config check` and docs/operate/import.md for what to do next.
    """


def _shared(command: F) -> F:
    for option in reversed(
        (
            click.argument("files", nargs=-1, required=True, metavar="FILE..."),
            click.option(
                "--output", type=click.Path(path_type=Path), help="Write the lvs.cf here, not to standard output."
            ),
            click.option("--force", is_flag=True, help="Let --output replace a file that is there."),
            click.option(
                "--marks", multiple=True, metavar="FILE", help="iptables-save or nft text: rules that set marks."
            ),
            click.option("--device", default="", help="Device of VIPs whose device FILE does not say, as eth0."),
            click.option(
                "--primary",
                type=_address,
                metavar="ADDRESS",
                help="Address of the primary director, where FILE does not say it.",
            ),
            click.option(
                "--backup",
                type=_address,
                metavar="ADDRESS",
                help="Address of the backup director, where FILE does not say it.",
            ),
            click.option("--every", is_flag=True, help="Report every line, also those carried over as they are."),
            click.option(
                "--diff", "as_diff", is_flag=True, help="Print what would change in the table that runs here."
            ),
            click.option("--json", "as_json", is_flag=True, help="The lvs.cf and the report as one JSON document."),
        )
    ):
        command = option(command)
    return command


def _command(dialect: Dialect) -> click.Command:
    def run(
        files: tuple[str, ...],
        output: Path | None,
        force: bool,
        marks: tuple[str, ...],
        device: str,
        primary: IPAddress | None,
        backup: IPAddress | None,
        every: bool,
        as_diff: bool,
        as_json: bool,
        config_id: str = "",
        vip: IPAddress | None = None,
        method: str = ForwardingMethod.MASQUERADE.value,
    ) -> int:
        if (primary is None) != (backup is None):
            raise click.UsageError("--primary and --backup go together.")
        if force and output is None:
            raise click.UsageError("--force goes with --output.")
        options = ImportOptions(
            config_id=config_id or os.uname().nodename.partition(".")[0],
            device=device,
            vip=vip,
            method=ForwardingMethod(method),
            primary=primary,
            backup=backup,
            names=SystemNames(),
        )
        outcome = import_files(dialect, files, _Input(), options, marks=marks)
        return _finish(outcome, output, force=force, every=every, as_diff=as_diff, as_json=as_json)

    run.__doc__ = f"{_LINES[dialect]}\n\nFILE may be `-`, standard input. Exit code 1 when a line is an error."
    wrapped: Any = _shared(run)
    if dialect is Dialect.KEEPALIVED:
        wrapped = click.option(
            "--config-id", default="", help="What `@ID` lines are compared with; else the host's name."
        )(wrapped)
    if dialect in (Dialect.NGINX_STREAM, Dialect.HAPROXY_TCP):
        methods = click.Choice([method.value for method in ForwardingMethod])
        wrapped = click.option(
            "--method", type=methods, default="nat", help="How packets are forwarded: nat is nearest."
        )(wrapped)
        wrapped = click.option(
            "--vip", type=_address, metavar="ADDRESS", help="The VIP where FILE listens on every address."
        )(wrapped)
    return click.command(dialect.value, short_help=_LINES[dialect])(wrapped)


for _dialect in Dialect:
    import_group.add_command(_command(_dialect))


def _finish(outcome: Outcome, output: Path | None, *, force: bool, every: bool, as_diff: bool, as_json: bool) -> int:
    differences = _differences(outcome) if as_diff and outcome.configuration is not None else None
    if as_json:
        write_json(report_document(outcome, differences))
    else:
        for verdict, line in report_lines(outcome, every=every):
            note(paint(line, _COLOURS[verdict]) if verdict in _COLOURS else paint(line, DIM))
        for problem in outcome.warnings:
            note(paint(str(problem), WARN))
        note(summary(outcome))
    if outcome.text is None:
        note("no lvs.cf was made: mend the lines in error, or leave them out")
        return ExitCode.REFUSED
    if output is not None:
        _write(outcome.text, output, force=force)
    elif not as_json and not as_diff:
        stream = sys.stdout.buffer
        stream.write(outcome.text.encode("utf-8", "surrogateescape"))
        stream.flush()
    if differences is not None and not as_json:
        for line in differences:
            click.echo(line)
        note(
            "the table that runs here has all that, and nothing else"
            if not differences
            else f"{len(differences)} changes"
        )
    return ExitCode.DONE


def _write(text: str, output: Path, *, force: bool) -> None:
    if not force:
        try:
            output.touch(exist_ok=False, mode=0o640)
        except FileExistsError:
            raise PiranhaError(
                f"{output} is there already and left alone", mend="name another file, or add --force"
            ) from None
        except OSError as error:
            raise PiranhaError(f"cannot write {output} ({error.strerror})", mend="name another file") from error
    write_atomically(output, text)
    note(f"written to {output}: see `piranha config check {output}`")


def _differences(outcome: Outcome) -> Sequence[str]:
    """What would change in the table of this host: that of lvsd, of the data plane, or of the kernel's IPVS."""
    from piranha.importers.comparison import differences
    from piranha.ipvsadm.access import FoundTable

    assert outcome.configuration is not None
    with FoundTable(Paths.from_environment()) as table:
        return differences(outcome.configuration, table.snapshot())
