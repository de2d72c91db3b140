"""Two real pulses, their faults, and what a client and the wire see of them.

client .50 ─┐
lb1     .2 ─┼─ net0 (bridge in `sw`)     VIP .100 on the active one of lb1, lb2
lb2     .3 ─┤
web1   .11 ─┤     faults: processes killed or stopped, cables pulled, frames dropped in the switch
web2   .12 ─┘
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from piranha.lab import namespace as netns
from piranha.lab import network
from piranha.lab.cluster import Lab
from piranha.lab.options import LabOptions
from piranha.lab.process import python_command, python_environment
from piranha.lab.reporter import Reporter, traffic
from piranha.lab.topology import CLIENT, SWITCH, VIP4

T = TypeVar("T")
VIP = str(VIP4)
PATIENCE_S = 60.0
HEARTBEATS = "udp dport 539"
NAMES = ("lb1", "lb2")
OTHER = {"lb1": "lb2", "lb2": "lb1"}


def wait_for(condition: Callable[[], T], what: str, patience_s: float = PATIENCE_S) -> T:
    """The first true value of the condition."""
    deadline_at = time.monotonic() + patience_s
    while not (value := condition()):
        assert time.monotonic() < deadline_at, f"it did not come about: {what}"
        time.sleep(0.02)
    return value


class PulsePair:
    """The lab's pair under test."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.topology = lab.topology()
        self._traffic: Reporter | None = None

    # ---- what the pair says ----

    def status(self, name: str) -> dict[str, Any]:
        """pulse's status document; empty where it does not answer."""
        state = self.lab.director_state(name)
        return dict(state.document) if state is not None else {}

    def role(self, name: str) -> str:
        return str(self.status(name).get("role", ""))

    def roles(self) -> tuple[str, str]:
        return self.role("lb1"), self.role("lb2")

    def active(self) -> str:
        """The director that says it is active; empty unless it is one alone."""
        found = [name for name in NAMES if self.role(name) == "active"]
        return found[0] if len(found) == 1 else ""

    def alarms(self, name: str) -> dict[str, str]:
        return dict(self.status(name).get("alarms", {}))

    def switches(self, name: str) -> int:
        """How often its role has changed."""
        return len(self.status(name).get("switches", ()))

    def log(self, name: str) -> str:
        return (self.lab.directory / "processes" / f"{name}.log").read_text()

    def is_whole(self) -> bool:
        """One is active, and the other one is fit to take over."""
        states = {name: self.lab.director_state(name) for name in NAMES}
        if any(state is None or not state.ready for state in states.values()):
            return False
        active = [state for state in states.values() if state is not None and state.role == "active"]
        return len(active) == 1 and active[0].peer_fit

    def settle(self) -> str:
        """Wait until the pair is whole and the flapping of earlier tests is forgiven; the active one."""
        wait_for(self.is_whole, f"the pair is whole: {self.roles()}")
        return wait_for(self.active, "one is active")

    # ---- what the client sees ----

    def watch(self, downloads: int = 4) -> Reporter:
        """Traffic whose connections the backup knows: the table is walked some times a second."""
        backup = OTHER[self.settle()]
        before = self._established(backup)
        self._traffic = traffic(
            self.topology.namespace(CLIENT), "--vip", VIP, "--downloads", str(downloads), "--arp", "eth0"
        )
        wait_for(lambda: len(self._established(backup) - before) >= downloads, f"{backup} knows the downloads")
        self._traffic.mark()
        return self._traffic

    def _established(self, name: str) -> set[int]:
        """Client ports of the established connections that a director knows."""
        shown = self.command(name, "connections", "--json")
        assert shown.returncode == 0, shown.stderr
        rows = json.loads(shown.stdout)["connections"]
        return {row["client_port"] for row in rows if row["state"] == "ESTABLISHED"}

    def unwatch(self) -> None:
        if self._traffic is not None:
            self._traffic.close()
            self._traffic = None

    def mac(self, name: str) -> str:
        shown = netns.run(["ip", "-n", self.topology.namespace(name), "-j", "link", "show", "eth0"])
        return str(json.loads(shown)[0]["address"])

    def neighbour(self, node: str, address: str = VIP) -> str:
        """The MAC that a node has for an address."""
        shown = netns.run(["ip", "-n", self.topology.namespace(node), "-j", "neigh", "show", address]) or "[]"
        return str(next((entry.get("lladdr", "") for entry in json.loads(shown)), ""))

    def addresses(self, name: str) -> set[str]:
        shown = netns.run(["ip", "-n", self.topology.namespace(name), "-j", "addr", "show", "eth0"])
        return {info["local"] for info in json.loads(shown)[0]["addr_info"]}

    # ---- commands ----

    def command(self, name: str, *words: str, **others: str) -> subprocess.CompletedProcess[str]:
        """A `piranha` command on a director."""
        environment = python_environment() | self.lab.environment(name) | others
        with netns.entered(self.topology.namespace(name)):
            return subprocess.run(
                python_command("-m", "piranha", *words), env=environment, text=True, capture_output=True,
                timeout=60, check=False, stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def inside(self, node: str, code: str, *arguments: str) -> str:
        """What a piece of Python prints in the node's namespace."""
        with netns.entered(self.topology.namespace(node)):
            done = subprocess.run(
                [sys.executable, "-c", code, *arguments], env=python_environment(), text=True, capture_output=True,
                timeout=60, check=True,
            )  # fmt: skip
        return done.stdout

    # ---- faults ----

    def pid(self, name: str) -> int:
        """pulse's process id."""
        found = [node.pid for node in self.lab.status() if node.name == name]
        assert found
        assert found[0] is not None
        return found[0]

    def signal(self, name: str, number: signal.Signals) -> None:
        os.kill(self.pid(name), number)

    def kill_everything(self, name: str) -> None:
        """kill -9 of pulse and of all that it started, at once."""
        self.signal(name, signal.SIGKILL)
        for pid in netns.processes_inside(self.topology.namespace(name)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.lab.stop(name, kill_at_once=True)

    @contextmanager
    def dropping(self, hook: str, names: tuple[str, ...], match: str = "") -> Iterator[None]:
        """The switch drops frames from (`ingress`) or to (`egress`) these directors."""
        chains = "".join(
            f"chain {name} {{ type filter hook {hook} device {name} priority 0; {match} drop; }}\n" for name in names
        )
        self._nft(f"table netdev fault {{\n{chains}}}\n")
        try:
            yield
        finally:
            self._nft("delete table netdev fault\n")

    def _nft(self, text: str) -> None:
        with netns.entered(self.topology.namespace(SWITCH)):
            subprocess.run(["nft", "-f", "-"], input=text, text=True, check=True, timeout=20)

    @contextmanager
    def unplugged(self, name: str) -> Iterator[None]:
        node = self.topology.node(name)
        network.unplug(self.topology, node)
        try:
            yield
        finally:
            network.plug(self.topology, node)

    def ip(self, node: str, *lines: str) -> None:
        netns.ip_batch(self.topology.namespace(node), lines)

    def restart(self, name: str) -> None:
        self.lab.stop(name)
        self.lab.start(name)

    def file(self, name: str, kind: str, base: str) -> Path:
        """A file of a director's: `kind` is etc, state or run."""
        return self.lab.state_directory(name) / kind / base


@contextmanager
def pulse_pair(prefix: str, **choices: Any) -> Iterator[PulsePair]:
    lab = Lab(prefix)
    lab.down()
    try:
        lab.up(LabOptions(prefix=prefix, directors=2, udp=True, timeout_s=2, reentry_s=2, **choices))
        pair = PulsePair(lab)
        try:
            yield pair
        finally:
            pair.unwatch()
    finally:
        lab.down()
