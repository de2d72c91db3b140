"""`piranha lab`: a whole cluster on this machine, in network namespaces."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any, NoReturn, TypeVar

import click

from piranha.base.errors import ExitCode, PiranhaError, UsageError
from piranha.cli.output import columns, note, write_json, write_lines
from piranha.lab.cluster import Lab, NodeStatus
from piranha.lab.execute import execute
from piranha.lab.options import DEFAULT_PREFIX, PROFILES, LabOptions
from piranha.lab.perform import LabStage, perform
from piranha.lab.screen import LogView, TerminalView, act_line
from piranha.lab.story import Story
from piranha.lab.topology import CLIENT, SWITCH, VIP4, Topology
from piranha.model.service import ForwardingMethod

F = TypeVar("F", bound=Callable[..., Any])
REQUEST_INTERVAL_S = 0.2
_PAIR_NEXT = (
    ("exec lb1 -- piranha cluster", "see the pair"),
    ("power-off lb1", "let a director fail"),
    ("power-on lb1", "let it return"),
    ("exec lb1 -- piranha failover", "change over in order"),
)


@click.group("lab")
@click.option(
    "--prefix", default=DEFAULT_PREFIX, show_default=True, help="What the names of this lab's namespaces begin with."
)
@click.pass_context
def lab_group(context: click.Context, prefix: str) -> None:
    """A whole cluster on this machine: client, directors and web servers in network namespaces.

    It runs the real daemons and touches nothing but namespaces of its own prefix. Needs root.
    """
    context.obj = Lab(prefix, progress=_progress())


def _progress() -> Callable[[str], None]:
    began_at = time.monotonic()

    def say(text: str) -> None:
        note(f"{time.monotonic() - began_at:6.1f} s  {text}")

    return say


def _choices(*, timeout_s: int = 6, reentry_s: int = 15) -> Callable[[F], F]:
    """The options that describe a lab; the times are the defaults, those of the article where not said otherwise."""

    def decorate(command: F) -> F:
        for option in reversed(_options_of_a_lab(timeout_s, reentry_s)):
            command = option(command)
        return command

    return decorate


def _options_of_a_lab(timeout_s: int, reentry_s: int) -> list[Callable[[F], F]]:
    return [
            click.option(
                "--directors", type=click.IntRange(1, 2), default=2, show_default=True,
                help="Two are a pair with pulse; one has the VIP for good, and runs lvsd alone.",
            ),
            click.option(
                "--profile", type=click.Choice(list(PROFILES)), default="default", show_default=True,
                help="How fast the pair reacts; `article`: a heartbeat every 6 s, a takeover after 18.",
            ),
            click.option(
                "--forward", type=click.Choice([m.value for m in ForwardingMethod]), default="direct",
                show_default=True, help="How the director forwards.",
            ),
            click.option("--scheduler", default="rr", show_default=True, help="Scheduler of the virtual services."),
            click.option("--servers", default=2, show_default=True, help="Number of web servers."),
            click.option("--virtual-port", default=80, show_default=True, help="Port of the virtual service."),
            click.option("--server-port", type=int, help="Port of the web servers (with `--forward nat`)."),
            click.option("--ipv6", is_flag=True, help="Add the services for the IPv6 VIP."),
            click.option("--timeout", default=timeout_s, show_default=True, help="Seconds that a check may last (`timeout`)."),
            click.option(
                "--reentry", default=reentry_s, show_default=True, help="Seconds from a return to the pool (`reentry`)."
            ),
            click.option("--udp", is_flag=True, help="Add a UDP echo service on port 5000."),
            click.option(
                "--hook", type=click.Choice(["auto", "xdp", "tc"]), default="auto", show_default=True,
                help="Where lvsd attaches its programs.",
            ),
            click.option(
                "--checksum-offload/--no-checksum-offload", default=True, show_default=True,
                help="Whether senders leave checksums to the (virtual) device; XDP needs them whole.",
            ),
    ]  # fmt: skip


def _options(lab: Lab, choices: dict[str, Any]) -> LabOptions:
    return LabOptions(
        prefix=lab.prefix,
        directors=choices["directors"],
        profile=choices["profile"],
        real_servers=choices["servers"],
        forward=ForwardingMethod(choices["forward"]),
        scheduler=choices["scheduler"],
        virtual_port=choices["virtual_port"],
        server_port=choices["virtual_port"] if choices["server_port"] is None else choices["server_port"],
        ipv6=choices["ipv6"],
        udp=choices["udp"],
        timeout_s=choices["timeout"],
        reentry_s=choices["reentry"],
        hook=choices["hook"],
        checksum_offload=choices["checksum_offload"],
    )


@lab_group.command("up")
@_choices()
@click.option(
    "--director/--no-director", default=True, show_default=True, help="Whether to start anything on the directors."
)
@click.pass_obj
def up_command(lab: Lab, /, director: bool, **choices: Any) -> None:
    """Bring the lab up, or what is missing of it."""
    options = _options(lab, choices)
    standing = lab.options()
    try:
        topology = lab.up(options, director=director)
    except BaseException:
        if standing is None and os.geteuid() == 0:
            note("the lab did not come up; removing its parts")
            lab.down()
        raise
    click.echo("the lab is up")
    _print_next(lab, topology, options)


@lab_group.command("down")
@click.pass_obj
def down_command(lab: Lab) -> None:
    """Remove the lab, and whatever an interrupted run left of it."""
    removed = lab.down()
    click.echo(f"removed {len(removed)} namespaces" if removed else "there was no lab to remove")


@lab_group.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def status_command(lab: Lab, as_json: bool) -> int:
    """Show the nodes, their addresses and whether they answer. Exit code 1 when one that should answer does not."""
    nodes = lab.status()
    whole = all(node.exists and node.answers is not False for node in nodes)
    if as_json:
        options = lab.options()
        document = {"options": options.as_json() if options else None, "nodes": [asdict(node) for node in nodes]}
        write_json(document)
    else:
        write_lines(columns([_row(node) for node in nodes]))
    return ExitCode.DONE if whole else ExitCode.REFUSED


def _row(node: NodeStatus) -> list[str]:
    answers = {True: "answers", False: "DOES NOT ANSWER", None: "-"}[node.answers]
    state = answers if node.exists else "missing"
    role = node.cluster_role or node.role.value
    return [node.name, role, state, f"pid {node.pid}" if node.pid else "-", ", ".join(node.addresses)]


@lab_group.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("node")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def exec_command(lab: Lab, node: str, command: tuple[str, ...]) -> NoReturn:
    """Run COMMAND in the network of NODE: `piranha lab exec client -- curl http://10.0.0.100/`.

    On a director, `piranha` commands talk to its daemons. `sw` is the switch.
    """
    topology = lab.topology()
    if node != SWITCH:
        lab.node(node)
    words = command[1:] if command[0] == "--" else command
    if not words:
        raise UsageError("no command is given", mend="for example `piranha lab exec client -- ip address`")
    execute(topology.namespace(node), words, lab.environment(node), lab.hosts_file)


@lab_group.command("stop")
@click.argument("node")
@click.option("--kill", is_flag=True, help="End it at once, as `kill -9` does.")
@click.pass_obj
def stop_command(lab: Lab, node: str, kill: bool) -> None:
    """Stop the web server, lvsd or pulse of NODE; with pulse its lvsd too."""
    click.echo(f"{node} stopped" if lab.stop(node, kill_at_once=kill) else f"{node} was not running")


@lab_group.command("start")
@click.argument("node")
@click.pass_obj
def start_command(lab: Lab, node: str) -> None:
    """Start the web server, lvsd or pulse of NODE and wait until it answers."""
    click.echo(f"{node} started" if lab.start(node) else f"{node} was running already")


@lab_group.command("power-off")
@click.argument("node")
@click.pass_obj
def power_off_command(lab: Lab, node: str) -> None:
    """NODE loses its power: it is gone at once, with all that runs on it. Its disk stays."""
    click.echo(f"{node} is off" if lab.power_off(node) else f"{node} was off already")


@lab_group.command("power-on")
@click.argument("node")
@click.pass_obj
def power_on_command(lab: Lab, node: str) -> None:
    """Boot NODE and wait until it answers."""
    click.echo(f"{node} is on" if lab.power_on(node) else f"{node} was on already")


@lab_group.command("unplug")
@click.argument("node")
@click.pass_obj
def unplug_command(lab: Lab, node: str) -> None:
    """Pull the cables of NODE out of the switch; NODE sees nothing of it."""
    lab.unplug(node)


@lab_group.command("plug")
@click.argument("node")
@click.pass_obj
def plug_command(lab: Lab, node: str) -> None:
    """Put the cables of NODE back."""
    lab.plug(node)


@lab_group.command("story")
@_choices(timeout_s=2, reentry_s=4)
@click.option("--keep", is_flag=True, help="Leave the lab up at the end and say what to try next.")
@click.option("--acts-only", is_flag=True, help="End after the last act; as always when the output is no terminal.")
@click.pass_obj
def story_command(lab: Lab, /, keep: bool, acts_only: bool, **choices: Any) -> int:
    """Bring the lab up and show it at work.

    Requests are balanced; a web server fails and returns; the active director loses its power while downloads are open,
    boots, and becomes active again. Exit code 0 only when every act came true.
    """
    options = replace(_options(lab, choices), udp=True)
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if options.real_servers < 2:
        raise PiranhaError("the demonstration needs two web servers", mend="give `--servers 2` or more")
    kept = False
    with _interruptible():
        try:
            if lab.down():
                note("removed what an earlier lab left")
            topology = lab.up(options)
            came_true = _perform(
                lab, topology, options, terminal=terminal, go_on=terminal and not keep and not acts_only
            )
            if keep:
                kept = True
                click.echo("the lab stays up")
                _print_next(lab, topology, options)
        finally:
            if not kept:
                _clean_up(lab)
    return ExitCode.DONE if came_true else ExitCode.REFUSED


def _perform(lab: Lab, topology: Topology, options: LabOptions, *, terminal: bool, go_on: bool) -> bool:
    servers = tuple(node.name for node in topology.real_servers)
    head = [
        f"client {topology.node(CLIENT).address(4)} asks http://{VIP4}:{options.virtual_port}/ (the VIP)",
        " or ".join(f"{node.name} {node.address(4)}" for node in topology.directors)
        + f" forwards by {options.forward.value} and {options.scheduler} to "
        + ", ".join(f"{node.name} {node.address(4)}" for node in topology.real_servers),
    ]
    # Who asks for no colour, or has a terminal that cannot place a cursor, gets the plain log.
    drawn = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    view = TerminalView(head) if drawn else LogView(head)
    directors = tuple(node.name for node in topology.directors)
    story = Story(servers, in_turn=options.scheduler == "rr", now=time.monotonic(), directors=directors)
    stage = LabStage(lab, port=options.virtual_port)
    try:
        perform(story, stage, view, interval_s=REQUEST_INTERVAL_S, go_on=go_on)
    except KeyboardInterrupt:
        if not story.came_true:
            raise
    finally:
        stage.close()
        view.close()
        if drawn:
            for finished in story.finished:
                click.echo(act_line(finished))
    return story.came_true


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM and SIGHUP end the demonstration as Ctrl-C does, so that the lab is removed all the same."""

    def interrupt(number: int, frame: object) -> NoReturn:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _clean_up(lab: Lab) -> None:
    """Take the lab down; a second Ctrl-C does not leave half of it."""
    ignored = {n: signal.signal(n, signal.SIG_IGN) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        if os.geteuid() == 0:
            note("removing the lab")
            lab.down()
    finally:
        for number, handler in ignored.items():
            signal.signal(number, handler)


def _print_next(lab: Lab, topology: Topology, options: LabOptions) -> None:
    prefix = "" if lab.prefix == DEFAULT_PREFIX else f" --prefix {lab.prefix}"
    first = topology.real_servers[0].name
    port = "" if options.virtual_port == 80 else f":{options.virtual_port}"
    click.echo("try next:")
    for words, what in (
        (f"exec {CLIENT} -- curl -s http://{VIP4}{port}/", "ask through the VIP"),
        ("exec lb1 -- piranha status", "see the director's table"),
        (f"stop {first}", "let a web server fail"),
        (f"start {first}", "let it return"),
        *(_PAIR_NEXT if topology.is_pair else ()),
        ("status", "see the nodes"),
        ("down", "remove the lab"),
    ):
        click.echo(f"  piranha lab{prefix} {words:<48} {what}")
