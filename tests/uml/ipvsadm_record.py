"""Run groups of ipvsadm command lines and keep what each said: the reference for our own `ipvsadm`.

A group begins with an empty table, in a network namespace of its own with the wires of `wire.py`. Its lines are run in
order; beside command lines there are a few others:

    -A -t 10.9.0.1:80            ipvsadm with these arguments, split as a shell does
    -R <<< '-A -t …\n-a …'       the same with standard input (\n for line ends)
    @nobody -L -n                the same as user 65534
    @program ipvsadm-save -n     another program of the package
    @open tcp 10.9.0.1:80 count=2 establish=1      traffic: `scenario.Open` with these fields; sip=N: a SIP request of call N
    @option cache_bypass 1       net.ipv4.vs.cache_bypass
    @settle                      wait until the kernel has summed up its counters
"""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any

from tests.uml import scenario as sc
from tests.uml.kernel_plane import KernelPlane
from tests.uml.play import Player
from tests.uml.wire import Wire, everyone

HOSTS = """127.0.0.1 localhost
::1 localhost ip6-localhost
10.9.0.1 www.example
10.9.0.2 a-virtual-service-with-a-very-long-name.example
10.2.0.1 one.example
10.2.0.2 a-real-server-with-a-very-long-name.example
fd09::1 www6.example
fd02::1 one6.example
"""
SERVICES = """ftp 21/tcp
ssh 22/tcp
domain 53/tcp
domain 53/udp
http 80/tcp
https 443/tcp
sip 5060/udp
zabbix-trapper 10051/tcp
"""
NOBODY = 65534
SERVERS = [f"10.2.0.{number}" for number in range(1, 10)] + [f"fd02::{number}" for number in range(1, 10)]
PROC_FILES = ("ip_vs", "ip_vs_conn", "ip_vs_conn_sync", "ip_vs_stats")


def prepare_names() -> None:
    """Give the guest the names that the recordings assume, and no name server."""
    Path("/etc/hosts").write_text(HOSTS)
    Path("/etc/services").write_text(SERVICES)
    Path("/etc/nsswitch.conf").write_text(
        "passwd: files\ngroup: files\nhosts: files\nservices: files\nprotocols: files\n"
    )
    Path("/etc/resolv.conf").write_text("")


def record_group(group: dict[str, Any]) -> dict[str, Any]:
    """`commands`: each line with `argv`, `stdin`, `exit`, `stdout`, `stderr`; `proc`: the kernel's files at the end."""
    wire, plane = Wire(everyone(SERVERS)), KernelPlane()
    player = Player(plane, wire)
    try:
        commands = [_run(line, player, plane) for line in group["lines"]]
        proc = {name: Path("/proc/thread-self/net", name).read_text() for name in PROC_FILES}
        return {"about": group["about"], "commands": commands, "proc": proc}
    finally:
        plane.close()
        wire.close()


def _run(line: str, player: Player, plane: KernelPlane) -> dict[str, Any]:
    text, _, stdin = line.partition(" <<< ")
    stdin = stdin.strip("'").replace("\\n", "\n")
    match shlex.split(text):
        case ["@open", protocol, endpoint, *fields]:
            step = sc.Open(to=f"{protocol} {endpoint}", **_open_values(fields))
            return {"line": line, "outcome": player.play(sc.Scenario(name="", about="", steps=(step,)))[0]}
        case ["@option", name, value]:
            return {"line": line, "outcome": plane.edit(sc.SetOption(name=name, value=value))}
        case ["@settle"]:
            plane.services(counters=True)
            return {"line": line}
        case ["@nobody", *argv]:
            return {"line": line, **_command(["ipvsadm", *argv], stdin, nobody=True)}
        case ["@program", *argv]:
            return {"line": line, **_command(argv, stdin)}
        case argv:
            return {"line": line, **_command(["ipvsadm", *argv], stdin)}


def _open_values(fields: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, _, value in (text.partition("=") for text in fields):
        if name == "sip":
            values["payload"] = sip_request(value)
        else:
            values[name] = value if name == "client" else int(value)
    return values


def sip_request(call: str) -> str:
    """A SIP request with this Call-ID, long enough for the kernel's parser."""
    return f"OPTIONS sip:someone@10.9.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.1.0.1\r\nCall-ID: {call}@10.1.0.1\r\n\r\n"


def _command(argv: list[str], stdin: str, *, nobody: bool = False) -> dict[str, Any]:
    user = NOBODY if nobody else None
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, user=user, group=user, cwd="/")
    return {"argv": argv, "stdin": stdin, "exit": done.returncode, "stdout": done.stdout, "stderr": done.stderr}
