"""`piranha realserver`: what direct routing and tunnelling need on the real servers themselves."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, TypeVar

import click

from piranha.base.errors import ExitCode, PiranhaError, UsageError
from piranha.base.paths import Paths
from piranha.cli.output import note, paint, write_json
from piranha.model.address import IPAddress, parse_address
from piranha.realserver import requirement as requirements
from piranha.realserver.host import Host
from piranha.realserver.operate import Outcome, check, load_record, set_up, undo
from piranha.realserver.plan import Make
from piranha.realserver.request import ArpMethod, SetupRequest

F = TypeVar("F", bound=Callable[..., Any])
RECORD = "realserver.json"


def address(text: str) -> IPAddress:
    """An address on the command line."""
    try:
        return parse_address(text)
    except ValueError:
        raise click.BadParameter(f"`{text}` is no IPv4 or IPv6 address") from None


def _vips(*, required: bool) -> Callable[[F], F]:
    return click.option(
        "--vip",
        "vips",
        multiple=True,
        required=required,
        type=address,
        metavar="ADDRESS",
        help="A virtual address; may be repeated.",
    )


def _manner(command: F) -> F:
    """How the VIP is to stand."""
    for option in (
        click.option(
            "--rip", type=address, metavar="ADDRESS", help="This server's own address (arptables); found if not given."
        ),
        click.option("--tunnel", is_flag=True, help="Also take packets out of the director's tunnel (LVS-TUN)."),
        click.option(
            "--method", type=click.Choice([m.value for m in ArpMethod]), default=ArpMethod.SYSCTL.value,
            show_default=True, help="How the VIP is kept out of ARP.",
        ),
        click.option("--device", default="lo", show_default=True, help="The device that carries the VIPs."),
    ):  # fmt: skip
        command = option(command)
    return command


_root = click.option(
    "--root", type=click.Path(path_type=Path, file_okay=False, exists=True), default=Path("/"),
    help="Write files below this directory (images, tests); addresses and kernel settings are always the live ones.",
)  # fmt: skip
_dry_run = click.option("--dry-run", is_flag=True, help="Only show what would be done.")


def _record_path(root: Path) -> Path:
    state = Paths.from_environment().state
    return root / state.relative_to("/") / RECORD if root != Path("/") else state / RECORD


def _request(vips: tuple[IPAddress, ...], device: str, method: str, tunnel: bool, *, persist: bool) -> SetupRequest:
    for vip in vips:
        if vip.is_multicast or vip.is_unspecified or vip.is_loopback:
            raise UsageError(f"{vip} cannot be a virtual address")
    return SetupRequest(
        vips=tuple(dict.fromkeys(vips)), device=device, method=ArpMethod(method), tunnel=tunnel, persist=persist
    )


def _own_address(rip: IPAddress | None) -> IPv4Address | None:
    if rip is not None and not isinstance(rip, IPv4Address):
        raise UsageError(f"{rip} cannot stand in an ARP packet", mend="give the server's IPv4 address with `--rip`")
    return rip


@click.group("realserver")
def realserver_group() -> None:
    """Make this machine a real server for direct routing or tunnelling.

    Such a server owns the VIP without answering ARP for it. NAT needs none of this, only the director as default
    gateway.
    """


@realserver_group.command("setup")
@_vips(required=True)
@_manner
@click.option("--persist/--no-persist", default=True, show_default=True, help="Whether it lasts across boots.")
@_root
@_dry_run
def setup_command(
    vips: tuple[IPAddress, ...], device: str, method: str, tunnel: bool, rip: IPAddress | None, persist: bool,
    root: Path, dry_run: bool,
) -> None:  # fmt: skip
    """Put the VIPs on this machine, quietly. Doing it again changes nothing; other VIPs set up before stay."""
    outcome = set_up(
        Host(root=root), _record_path(root), _request(vips, device, method, tunnel, persist=persist),
        rip=_own_address(rip), dry_run=dry_run, progress=click.echo,
    )  # fmt: skip
    _report(outcome, dry_run=dry_run, nothing="everything is set up already")


@realserver_group.command("undo")
@_vips(required=False)
@_root
@_dry_run
def undo_command(vips: tuple[IPAddress, ...], root: Path, dry_run: bool) -> None:
    """Restore what was there before `setup`: for the VIPs given, or for all when none is."""
    machine, path = Host(root=root), _record_path(root)
    standing = load_record(machine, path).request
    unknown = [vip for vip in vips if standing is None or vip not in standing.vips]
    if unknown:
        raise PiranhaError(
            f"{', '.join(map(str, unknown))} was not set up here", mend="`piranha realserver check` shows what was"
        )
    outcome = undo(machine, path, vips, dry_run=dry_run, progress=click.echo)
    _report(outcome, dry_run=dry_run, nothing="there is nothing to undo")


@realserver_group.command("check")
@_vips(required=False)
@_manner
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@_root
def check_command(
    vips: tuple[IPAddress, ...],
    device: str,
    method: str,
    tunnel: bool,
    rip: IPAddress | None,
    as_json: bool,
    root: Path,
) -> int:
    """Say what is missing for the VIPs given, or for those set up before. Exit code 1 when something is."""
    machine = Host(root=root)
    standing = load_record(machine, _record_path(root)).request
    if vips:
        request = _request(vips, device, method, tunnel, persist=False)
        if standing is not None and set(standing.vips) >= set(vips):
            request = standing
    elif standing is not None:
        request = standing
    else:
        raise PiranhaError("nothing was set up here yet", mend="name the virtual addresses with `--vip ADDRESS`")
    lacking, notes = check(machine, request, rip=_own_address(rip))
    if as_json:
        write_json(
            {
                "vips": [str(vip) for vip in request.vips],
                "missing": [{"requirement": requirements.to_json(m.requirement), "found": m.found} for m in lacking],
                "notes": list(notes),
            }
        )
    else:
        _explain(request, lacking)
        for remark in notes:
            note(f"note: {remark}")
    return ExitCode.REFUSED if lacking else ExitCode.DONE


def _explain(request: SetupRequest, lacking: list[Make]) -> None:
    what = ", ".join(map(str, request.vips))
    if not lacking:
        click.echo(f"{paint('ok', 'green')}  this machine is a real server for {what}")
    for make in lacking:
        short = make.found if make.found is None or len(make.found) < 40 else "something else"
        found = "is absent" if make.found is None else f"is {short}"
        click.echo(f"{paint('missing', 'red')}  {make.requirement}: {found}; {make.requirement.reason}")
    if lacking:
        click.echo("`piranha realserver setup` with the same options sets it up")


def _report(outcome: Outcome, *, dry_run: bool, nothing: str) -> None:
    steps = outcome.plan.steps
    if dry_run:
        for step in steps:
            click.echo(f"would {step}")
    if not steps:
        click.echo(nothing)
    for remark in outcome.notes:
        note(f"note: {remark}")
