"""The pairs that are measured: what each has to know for a fault to be done to it and undone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from piranha.base.errors import PiranhaError
from piranha.lab import namespace as netns
from piranha.lab import network
from piranha.lab.cluster import Lab
from piranha.lab.options import LabOptions
from piranha.lab.process import python_environment
from piranha.lab.topology import SWITCH, VIP4

PREFIX = "bfo-"
OTHER = {"lb1": "lb2", "lb2": "lb1"}
SETTLE_S = 90.0
ROOT = Path(__file__).resolve().parents[2]
KEEPALIVED = ROOT / "build" / "keepalived" / "root"

# Answers a datagram from any address of the host: keepalived's VIP comes and goes.
_ECHO = """
import socket
link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
link.bind(("0.0.0.0", 5000))
while True:
    data, client = link.recvfrom(200)
    link.sendto(b"director " + data, client)
"""


class Pair(Protocol):
    """Two directors that own a VIP by turns."""

    lab: Lab
    heartbeats: str
    """What nftables calls its heartbeats."""

    def settle(self) -> str:
        """Wait until it is whole; the active director."""

    def lose_power(self, name: str) -> None: ...
    def regain_power(self, name: str) -> None: ...
    def freeze(self, name: str) -> None: ...
    def thaw(self, name: str) -> None: ...
    def kill(self, name: str) -> None:
        """kill -9 of every daemon; the kernel lives."""

    def revive(self, name: str) -> None: ...
    def hand_over(self, name: str) -> None:
        """The planned change-over away from the active director `name`."""

    def close(self) -> None: ...


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline_at = time.monotonic() + SETTLE_S
    while not condition():
        if time.monotonic() > deadline_at:
            raise PiranhaError(f"it did not come about: {what}")
        time.sleep(0.05)


def drop(lab: Lab, rule: str) -> None:
    """Have the switch drop what the rule matches, from both directors; an empty rule ends it."""
    chains = "".join(
        f"chain {name} {{ type filter hook ingress device {name} priority 0; {rule} drop; }}\n" for name in OTHER
    )
    text = f"table netdev fault {{\n{chains}}}\n" if rule else "delete table netdev fault\n"
    with netns.entered(lab.topology().namespace(SWITCH)):
        netns.run(["nft", "-f", "-"], given=text)


class PulsePair:
    """Ours, with one profile; probes go through the balancer to a real server."""

    heartbeats = "udp dport 539"

    def __init__(self, profile: str) -> None:
        self.lab = Lab(PREFIX)
        self.lab.down()
        self.lab.up(LabOptions(prefix=PREFIX, directors=2, profile=profile, udp=True, timeout_s=2, reentry_s=2))

    def settle(self) -> str:
        wait_until(self._is_whole, "the pair is whole")
        return next(name for name in OTHER if self.role(name) == "active")

    def _is_whole(self) -> bool:
        states = [self.lab.director_state(name) for name in OTHER]
        active = [state for state in states if state is not None and state.role == "active"]
        ready = all(state is not None and state.ready for state in states)
        return ready and len(active) == 1 and active[0].peer_fit

    def role(self, name: str) -> str:
        state = self.lab.director_state(name)
        return state.role if state is not None else ""

    def lose_power(self, name: str) -> None:
        self.lab.power_off(name)

    def regain_power(self, name: str) -> None:
        self.lab.power_on(name)

    def _pid(self, name: str) -> int:
        return next(node.pid for node in self.lab.status() if node.name == name and node.pid is not None)

    def freeze(self, name: str) -> None:
        os.kill(self._pid(name), signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        os.kill(self._pid(name), signal.SIGCONT)

    def kill(self, name: str) -> None:
        os.kill(self._pid(name), signal.SIGKILL)
        _kill_inside(self.lab, name)

    def revive(self, name: str) -> None:
        self.lab.stop(name, kill_at_once=True)
        self.lab.start(name)

    def hand_over(self, name: str) -> None:
        self.lab.switch_to(OTHER[name])

    def close(self) -> None:
        self.lab.down()


class KeepalivedPair:
    """Debian's keepalived: VRRP alone, each director answering the probes itself, no preemption."""

    heartbeats = "ip protocol 112"

    def __init__(self, advert_int_s: float) -> None:
        self.lab = Lab(PREFIX)
        self._advert_int_s = advert_int_s
        self._children: dict[str, list[subprocess.Popen[bytes]]] = {}
        self.lab.down()
        self.lab.up(LabOptions(prefix=PREFIX, directors=2, udp=True), director=False)
        for name in OTHER:
            self.revive(name)
            time.sleep(4 * advert_int_s + 0.5)  # the first one is master before the second one asks

    def settle(self) -> str:
        wait_until(lambda: sum(self._has_vip(name) for name in OTHER) == 1, "one keepalived has the VIP")
        time.sleep(2 * self._advert_int_s)
        return next(name for name in OTHER if self._has_vip(name))

    def _has_vip(self, name: str) -> bool:
        return str(VIP4) in netns.run(["ip", "-n", self.lab.topology().namespace(name), "addr", "show", "dev", "eth0"])

    def lose_power(self, name: str) -> None:
        """To everybody else its power is lost; it is kept without a cable until its daemons are ended and start anew."""
        network.unplug(self.lab.topology(), self.lab.node(name))

    def regain_power(self, name: str) -> None:
        self.revive(name)
        network.plug(self.lab.topology(), self.lab.node(name))

    def freeze(self, name: str) -> None:
        self._signal(name, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        self._signal(name, signal.SIGCONT)

    def kill(self, name: str) -> None:
        self._signal(name, signal.SIGKILL)

    def _signal(self, name: str, number: signal.Signals) -> None:
        """To both of its processes; the one that answers the probes is not keepalived's."""
        echo = self._children[name][0].pid
        for pid in netns.processes_inside(self.lab.topology().namespace(name)):
            if pid != echo:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)

    def revive(self, name: str) -> None:
        self._end(name)
        namespace = self.lab.topology().namespace(name)
        with suppress(PiranhaError):  # what a killed one has left
            netns.ip_batch(namespace, [f"addr del {VIP4}/32 dev eth0"])
        home = self.lab.state_directory(name)
        home.mkdir(exist_ok=True)
        config = home / "keepalived.conf"
        config.write_text(
            f"vrrp_instance V {{\n version 3\n state BACKUP\n interface eth0\n virtual_router_id 51\n nopreempt\n"
            f" priority {150 if name == 'lb1' else 100}\n advert_int {self._advert_int_s}\n"
            f" virtual_ipaddress {{\n  {VIP4}/32\n }}\n}}\n"
        )
        for old in home.glob("*.pid"):
            old.unlink()
        words = ["--dont-fork", "--vrrp", f"--use-file={config}", "--log-console"]
        words += [f"--pid={home}/ka.pid", f"--vrrp_pid={home}/vrrp.pid"]
        below = f"{os.uname().machine}-linux-gnu"
        libraries = [str(KEEPALIVED / folder / below) for folder in ("lib", "usr/lib")]
        environment = python_environment() | {"LD_LIBRARY_PATH": os.pathsep.join(libraries)}
        with netns.entered(namespace), (home / "keepalived.log").open("ab") as log:
            echo = subprocess.Popen([sys.executable, "-c", _ECHO], stdin=subprocess.DEVNULL)
            program = str(KEEPALIVED / "usr" / "sbin" / "keepalived")
            daemon = subprocess.Popen(
                [program, *words], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._children[name] = [echo, daemon]

    def hand_over(self, name: str) -> None:
        self._children[name][1].terminate()

    def close(self) -> None:
        for name in OTHER:
            self._end(name)
        self.lab.down()

    def _end(self, name: str) -> None:
        _kill_inside(self.lab, name)
        for child in self._children.pop(name, []):
            child.kill()
            child.wait(20)


def _kill_inside(lab: Lab, name: str) -> None:
    for pid in netns.processes_inside(lab.topology().namespace(name)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
