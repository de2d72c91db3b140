"""`piranha pair`: two directors get a key of their own, by a code that one shows and a person types at the other."""

from __future__ import annotations

import contextlib
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from piranha.base.errors import ExitCode, PiranhaError
from piranha.base.paths import Paths
from piranha.cli.options import set_run_dir
from piranha.cli.output import note

if TYPE_CHECKING:
    from piranha.cluster.pairing import Host, Outcome

DEFAULT_PORT = 539
TRIES = 3
WAIT_S = 600
_STEP_S = 15.0


@click.command("pair")
@click.argument("address", required=False)
@click.option("--port", type=click.IntRange(1, 65535), help="TCP port; else heartbeat_port of lvs.cf, else 539.")
@click.option("--code", help="The code that the other director shows; asked for where it is not given.")
@click.option("--wait", "wait_s", type=click.FloatRange(1), default=WAIT_S, help="Seconds to wait for the other.")
@click.option("--rotate", is_flag=True, help="A new key on both running directors, without typing a code.")
@click.option("--show", is_flag=True, help="Show who is paired with whom; no secret is shown.")
@click.option("--run-dir", type=click.Path(path_type=Path), help="Run directory of pulse (PIRANHA_RUN_DIR).")
def pair_command(
    address: str | None,
    port: int | None,
    code: str | None,
    wait_s: float,
    rotate: bool,
    show: bool,
    run_dir: Path | None,
) -> int:
    """Make the pair's key.

    On one director run `piranha pair`: it shows a code and waits. On the other run `piranha pair ADDRESS` and type the
    code. Both then have the same new key and know each other's certificate. `--rotate` changes the key of a running pair.
    """
    set_run_dir(run_dir)
    paths = Paths.from_environment()
    if show:
        return _show(paths)
    if rotate:
        if address is not None or code is not None:
            raise click.UsageError("--rotate takes neither an address nor a code: the directors know each other.")
        return _rotate(paths)
    port = port or _port_of(paths)
    if address is None:
        if code is not None:
            raise click.UsageError("--code is for the director that joins: piranha pair ADDRESS --code CODE")
        outcome = wait_for_joiner(paths, port, wait_s)
    else:
        outcome = join(paths, address, port, code)
    note(f"paired with {outcome.peer.name}, key {outcome.key_id}; a running pulse takes it with `piranha reload`")
    return ExitCode.DONE


def wait_for_joiner(paths: Paths, port: int, wait_s: float) -> Outcome:
    """Show a code, and store what is agreed with whoever knows it. Raises PiranhaError after `TRIES` wrong codes."""
    from piranha.cluster.pairing import Host, PairingError, WrongCodeError, draw_code, refusal

    code, ourselves = draw_code(), _ourselves(paths)
    wrong = 0
    with _listener(port) as listener:
        click.echo(
            f"On the other director run   piranha pair ADDRESS   (TCP port {port} here) and type\n\n    {code}\n"
        )
        deadline_at = time.monotonic() + wait_s
        while wrong < TRIES:
            link = _accept(listener, deadline_at)
            with link:
                host = Host(code, **ourselves._asdict(), key_id=_next_key_id(paths))
                try:
                    outcome = _host(link, host, paths)
                except WrongCodeError:
                    wrong += 1
                    with contextlib.suppress(OSError):
                        link.sendall(refusal())
                    note(f"a wrong code was typed ({wrong} of {TRIES})")
                except (PairingError, OSError) as error:
                    note(f"somebody else asked: {error}")
                else:
                    return outcome
    raise PiranhaError(f"{TRIES} wrong codes", mend="start again: another code is drawn")


def join(paths: Paths, address: str, port: int, code: str | None) -> Outcome:
    """Type the code of the director at `address`, and store what is agreed. Raises PiranhaError."""
    from piranha.cluster.pairing import Joiner, plain_code

    typed = code if code is not None else click.prompt("Code that the other director shows", err=True)
    plain_code(typed)
    joiner = Joiner(typed, **_ourselves(paths)._asdict())
    try:
        with socket.create_connection((address, port), timeout=_STEP_S) as link:
            lines = _Lines(link)
            link.sendall(joiner.answer(lines.next()))
            outcome = joiner.finish(lines.next())
            _store(paths, outcome)
            link.sendall(joiner.stored())
    except OSError as error:
        raise PiranhaError(
            f"cannot pair with {address}, port {port} ({error.strerror or error})",
            mend="run `piranha pair` there first, and let TCP through to that port",
        ) from error
    return outcome


def _host(link: socket.socket, host: Host, paths: Paths) -> Outcome:
    link.settimeout(_STEP_S)
    lines = _Lines(link)
    link.sendall(host.greeting())
    link.sendall(host.answer(lines.next()))
    outcome = host.finish(lines.next())
    _store(paths, outcome)
    return outcome


class _Lines:
    """The lines of a connection, bounded in length and, all together, in time."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._rest = b""
        self._deadline_at = time.monotonic() + _STEP_S

    def next(self) -> bytes:
        from piranha.cluster.pairing import MAX_LINE_BYTES, PairingError

        while b"\n" not in self._rest:
            left_s = self._deadline_at - time.monotonic()
            if left_s <= 0 or len(self._rest) > MAX_LINE_BYTES:
                raise PairingError("the other side does not pair (too slow, or a line too long)")
            self._link.settimeout(left_s)
            part = self._link.recv(4096)
            if not part:
                raise PairingError("the other side hung up")
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\n")
        return line


class _Ourselves(NamedTuple):
    node: bytes
    name: str
    certificate: str


def _ourselves(paths: Paths) -> _Ourselves:
    from piranha.cluster.identity import host_name, own_certificate
    from piranha.cluster.keys import node_id

    node = node_id(paths.state)
    return _Ourselves(node, host_name(), own_certificate(paths.etc, node))


def _next_key_id(paths: Paths) -> int:
    from piranha.cluster.keys import MAX_KEY_ID, KeyFileError, read_pair_keys

    try:
        newest = read_pair_keys(paths.etc).newest
    except KeyFileError:
        return 1
    return newest + 1 if newest < MAX_KEY_ID else 1


def _store(paths: Paths, outcome: Outcome) -> None:
    """The new key beside the former one where the peer is the same, so that running directors change over without a gap."""
    from piranha.cluster.keys import KeyFileError, PairKeys, read_pair_keys, write_pair_keys

    keys = {outcome.key_id: outcome.key}
    with contextlib.suppress(KeyFileError):
        former = read_pair_keys(paths.etc)
        if former.peer.node == outcome.peer.node and outcome.key_id > former.newest:
            keys[former.newest] = former.keys[former.newest]
    write_pair_keys(paths.etc, PairKeys(keys=keys, peer=outcome.peer))


def _show(paths: Paths) -> int:
    from piranha.cluster.identity import fingerprint
    from piranha.cluster.keys import read_pair_keys

    pair = read_pair_keys(paths.etc)
    ourselves = _ourselves(paths)
    click.echo(f"this director   {ourselves.name}   {fingerprint(ourselves.certificate)}")
    click.echo(f"the other       {pair.peer.name}   {fingerprint(pair.peer.certificate)}")
    click.echo(f"keys            {', '.join(str(key_id) for key_id in sorted(pair.keys))}")
    return ExitCode.DONE


def _rotate(paths: Paths) -> int:
    from piranha.client.http import Client

    changed = Client(paths.api_socket).post("replication/key")
    note(f"{changed['peer']} and this director have key {changed['key_id']}, and use it from their next heartbeats on")
    return ExitCode.DONE


def _port_of(paths: Paths) -> int:
    from piranha.config.parser import parse
    from piranha.config.store import read_text

    try:
        return parse(read_text(paths.config), file=str(paths.config)).configuration.heartbeat_port
    except PiranhaError:
        return DEFAULT_PORT


def _listener(port: int) -> socket.socket:
    try:
        return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    except OSError:
        pass
    try:
        return socket.create_server(("0.0.0.0", port))
    except OSError as error:
        raise PiranhaError(
            f"cannot listen on TCP port {port} ({error.strerror})",
            mend="name a free one with --port, on both directors",
        ) from error


def _accept(listener: socket.socket, deadline_at: float) -> socket.socket:
    listener.settimeout(max(0.001, deadline_at - time.monotonic()))
    try:
        return listener.accept()[0]
    except TimeoutError:
        raise PiranhaError("nobody typed the code in time", mend="start again: another code is drawn") from None
