"""`piranha cluster`: the pair, as this director's pulse sees it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from piranha.base.errors import ExitCode
from piranha.base.paths import Paths
from piranha.cli.options import json_option, set_run_dir
from piranha.cli.output import BAD, DIM, GOOD, WARN, paint, write_json, write_lines

_ROLE_COLOURS = {"active": GOOD, "standalone": GOOD, "backup": DIM}


@click.command("cluster")
@json_option
@click.option("--run-dir", type=click.Path(path_type=Path), help="Run directory of pulse (PIRANHA_RUN_DIR).")
def cluster_command(as_json: bool, run_dir: Path | None) -> int:
    """Show the pair: roles, heartbeat links, the lease on the VIPs, alarms, the latest changes of the role."""
    from piranha.client.pulse import ask

    set_run_dir(run_dir)
    status = ask(Paths.from_environment().pulse_socket, "status")
    if as_json:
        write_json(status)
    else:
        write_lines(cluster_lines(status))
    return ExitCode.DONE


def cluster_lines(status: dict[str, Any]) -> Iterator[str]:
    """The status document of pulse, for people; alarms first."""
    for code, text in status["alarms"].items():
        yield f"{paint('alarm', BAD)}  {code}: {text}"
    role = paint(status["role"], _ROLE_COLOURS.get(status["role"], WARN))
    yield f"{status.get('name', 'this director')} is {role} ({status['place']}) for {_time(status['since_s'])}, term {status['term']}"
    peer = status["peer"]
    if peer is None:
        yield "there is no other director"
    elif peer["heard_s"] is None:
        yield f"the other director has {paint('not been heard', WARN)}"
    else:
        flags = f", {', '.join(peer['flags'])}" if peer["flags"] else ""
        yield f"{peer['name'] or 'the other'} is {peer['role']} ({peer['place']}{flags}), heard {_time(peer['heard_s'])} ago"
    for link in status["links"]:
        heard = "never heard" if link["heard_s"] is None else f"heard {_time(link['heard_s'])} ago"
        rejected = sum(link["rejected"].values())
        trouble = f", {paint(link['error'], BAD)}" if link["error"] else ""
        yield (
            f"link   {link['device']}  {link['ours']} - {link['theirs']}  {heard}, sent {link['sent']}, "
            f"heard {link['heard']}, rejected {rejected}{trouble}"
        )
    yield from _lease_lines(status)
    for address in status.get("addresses", ()):
        state = paint("up", GOOD) if address["up"] else paint("not here", DIM)
        trouble = f", {paint(address['trouble'], BAD)}" if address["trouble"] else ""
        yield f"VIP    {address['address']}  {address['device']}  {state}{trouble}"
    timing, lag = status["timing"], status["lag"]
    yield (
        f"timing {timing['profile']}: heartbeat {timing['heartbeat_ms']:g} ms, lease {timing['lease_ms']:g} ms, "
        f"dead {timing['dead_ms']:g} ms; lag p50 {lag['p50_ms']:g}, p99 {lag['p99_ms']:g}, worst {lag['worst_ms']:g} ms"
    )
    for note in timing["notes"]:
        yield f"       {paint(note, WARN)}"
    lvsd = status["lvsd"]
    yield f"lvsd   {'ready' if lvsd['ready'] else paint('not ready', WARN) + ': ' + lvsd['why']}"
    for switch in status["switches"][-5:]:
        yield f"       {_time(switch['ago_s'])} ago {switch['role']}, term {switch['term']}: {switch['cause']}"


def _lease_lines(status: dict[str, Any]) -> Iterator[str]:
    lease = status.get("lease")
    if lease is None:
        return
    if not lease["enabled"]:
        yield "lease  not in force"
        return
    left = "for ever" if lease["for_ever"] else f"for {lease['left_ms']:g} ms" if lease["left_ms"] > 0 else "not held"
    yield f"lease  {left}, renewed {lease['renewals']} times, {lease['dropped']} packets refused"


def _time(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h"
