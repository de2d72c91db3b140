"""What runs on the lab's directors: lvsd on one that stands alone, pulse on each of a pair, which are paired first."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from piranha.base.errors import PiranhaError
from piranha.client.pulse import ask
from piranha.lab import namespace as netns
from piranha.lab.process import python_command, python_environment
from piranha.lab.topology import Node, Topology

PAIR_TIMEOUT_S = 60.0
SWITCH_TIMEOUT_S = 30.0
_CODE_LINE = re.compile(r"^ {4}(\S.*)$")

Environment = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectorState:
    """What pulse says of its director."""

    role: str
    ready: bool
    peer_fit: bool
    document: Mapping[str, Any]


def program(*, is_pair: bool) -> list[str]:
    """The command that a director's life begins with; the configuration is in its environment."""
    return python_command("-m", "piranha", "pulse" if is_pair else "lvsd")


def state(run_directory: Path) -> DirectorState | None:
    """None where no pulse answers."""
    try:
        document = ask(run_directory / "pulse.sock", "status", wait_s=2.0)
    except PiranhaError:
        return None
    peer = document.get("peer") or {}
    heard_s = peer.get("heard_s")
    fit = heard_s is not None and heard_s < 2 and {"ready", "synced"} <= set(peer.get("flags", ()))
    return DirectorState(
        role=str(document.get("role", "")), ready=bool(document["lvsd"]["ready"]), peer_fit=fit, document=document
    )


def is_paired(environment: Environment) -> bool:
    return (Path(environment["PIRANHA_ETC_DIR"]) / "pair.key").exists()


def pair(topology: Topology, environments: Mapping[str, Environment]) -> None:
    """Give both directors a key, as a person does: `piranha pair` here, `piranha pair ADDRESS` there, the code typed.

    Raises PiranhaError with what the commands said.
    """
    here, there = topology.directors
    waiting = _start(topology, here, environments[here.name], "--wait", str(PAIR_TIMEOUT_S))
    try:
        code = _code(waiting)
        typing = _start(topology, there, environments[there.name], str(here.address(4)), "--code", code)
        for process, node in ((typing, there), (waiting, here)):
            _, said = process.communicate(timeout=PAIR_TIMEOUT_S)
            if process.returncode:
                raise PiranhaError(f"`piranha pair` on {node.name} failed: {said.strip()}")
    except subprocess.TimeoutExpired:
        raise PiranhaError("the directors were not paired in time") from None
    finally:
        waiting.kill()
        waiting.communicate()


def switch(topology: Topology, node: Node, environment: Environment) -> None:
    """The planned change-over to this director. Raises PiranhaError with what pulse said."""
    process = _run(topology, node, environment, "failover", "--to", "self")
    _, said = process.communicate(timeout=SWITCH_TIMEOUT_S)
    if process.returncode:
        raise PiranhaError(f"`piranha failover` on {node.name}: {said.strip()}")


def _start(topology: Topology, node: Node, environment: Environment, *words: str) -> subprocess.Popen[str]:
    return _run(topology, node, environment, "pair", *words)


def _run(topology: Topology, node: Node, environment: Environment, *words: str) -> subprocess.Popen[str]:
    with netns.entered(topology.namespace(node.name)), netns.host_named(node.name):
        return subprocess.Popen(
            python_command("-m", "piranha", *words), text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, cwd=os.sep, env=python_environment() | dict(environment),
        )  # fmt: skip


def _code(waiting: subprocess.Popen[str]) -> str:
    assert waiting.stdout is not None
    for line in waiting.stdout:
        if found := _CODE_LINE.match(line.rstrip("\n")):
            return found[1].strip()
    _, said = waiting.communicate(timeout=PAIR_TIMEOUT_S)
    raise PiranhaError(f"`piranha pair` showed no code: {said.strip()}")
