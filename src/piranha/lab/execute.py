"""A person's command inside a node: its network, its daemon's environment, the lab's host names."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from piranha.base.errors import PiranhaError
from piranha.lab import namespace as netns
from piranha.lab.process import python_command, python_environment
from piranha.lab.topology import Topology

_CLONE_NEWNS = 0x00020000
_MS_BIND, _MS_REC, _MS_SLAVE = 0x1000, 0x4000, 0x80000
_libc = ctypes.CDLL(None, use_errno=True)


def hosts(topology: Topology) -> str:
    """An /etc/hosts in which every node, and the VIP as `vip`, has its name."""
    lines = ["127.0.0.1 localhost", "::1 localhost"]
    lines += [f"{i.ip} {node.name}" for node in topology.nodes for i in node.ports[0].addresses]
    lines += [f"{vip} vip" for vip in topology.vips]
    return "\n".join(lines) + "\n"


def execute(namespace: str, command: Sequence[str], environment: Mapping[str, str], hosts_file: Path) -> NoReturn:
    """Become the command. Raises PiranhaError when it cannot be found or started."""
    surroundings = python_environment() | dict(environment)
    del surroundings["PYTHONUNBUFFERED"]
    # The interpreter's own directory holds the console script `piranha` of the same installation.
    surroundings["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), surroundings.get("PATH", os.defpath)])
    if command[0] == "piranha" and shutil.which("piranha", path=surroundings["PATH"]) is None:
        command = [*python_command("-m", "piranha"), *command[1:]]
    with netns.entered(namespace):
        _see_hosts(hosts_file)
        sys.stdout.flush()
        try:
            os.execvpe(command[0], list(command), surroundings)
        except FileNotFoundError:
            raise PiranhaError(f"there is no command `{command[0]}`") from None
        except OSError as error:
            raise PiranhaError(f"`{command[0]}` cannot be started: {error.strerror}") from None


def _see_hosts(hosts_file: Path) -> None:
    """Put the lab's host names over /etc/hosts, for this process and its children only."""
    if not hosts_file.exists() or not Path("/etc/hosts").exists():
        return
    _check(_libc.unshare(_CLONE_NEWNS), "a mount namespace")
    # Slave, not private: what the daemons mount and unmount outside is still seen in here.
    _check(_libc.mount(b"none", b"/", None, _MS_REC | _MS_SLAVE, None), "its mounts")
    _check(_libc.mount(os.fsencode(hosts_file), b"/etc/hosts", None, _MS_BIND, None), "the host names")


def _check(result: int, what: str) -> None:
    if result:
        raise PiranhaError(f"the kernel refused {what} for the command: {os.strerror(ctypes.get_errno())}")
