"""`piranha doctor`: is this machine fit, what is missing, and how to get it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from piranha.base.errors import ExitCode, UsageError
from piranha.cli.output import BAD, GOOD, WARN, note, paint, plural, write_json
from piranha.doctor.finding import Finding, Verdict
from piranha.doctor.fix import apply, wanted_settings
from piranha.doctor.gather import gather
from piranha.doctor.judge import fit, judge

_COLOURS = {Verdict.OK: GOOD, Verdict.WARNING: WARN, Verdict.PROBLEM: BAD}


@click.command("doctor")
@click.option(
    "--director", is_flag=True, help="Judge it as a director of every forwarding method: forwarding must be on."
)
@click.option("--fix", is_flag=True, help="With --director: turn on what is missing, now and for every boot.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--root", type=click.Path(path_type=Path, file_okay=False, exists=True), default=Path("/"), hidden=True,
    help="Write the lasting file below this directory.",
)  # fmt: skip
def doctor_command(director: bool, fix: bool, as_json: bool, root: Path) -> int:
    """Examine this machine: kernel, BPF, forwarding, filters, hooks, clock, scheduling.

    Exit code 1 when there is a problem; warnings alone are 0.
    """
    if fix and not director:
        raise UsageError("`--fix` changes kernel settings for a director", mend="say so with `--director --fix`")
    findings = judge(gather(), director=director)
    if fix and (settings := wanted_settings(findings)):
        path = apply(settings, root=root)
        for setting in settings:
            note(f"set {setting.key} = {setting.value}, now and in {path}")
        findings = judge(gather(), director=director)
    if as_json:
        write_json({"fit": fit(findings), "findings": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            _show(finding)
        _sum_up(findings)
    return ExitCode.DONE if fit(findings) else ExitCode.REFUSED


def _show(finding: Finding) -> None:
    click.echo(f"{paint(finding.verdict.value.ljust(8), _COLOURS[finding.verdict])} {finding.subject}: {finding.found}")
    for text in filter(None, (finding.meaning, finding.mend)):
        click.echo(f"         {text}")


def _sum_up(findings: list[Finding]) -> None:
    problems = sum(finding.verdict is Verdict.PROBLEM for finding in findings)
    warnings = sum(finding.verdict is Verdict.WARNING for finding in findings)
    verdict = "this machine is fit" if not problems else "this machine is not fit yet"
    click.echo(f"\n{verdict}: {plural(problems, 'problem')}, {plural(warnings, 'warning')}")
