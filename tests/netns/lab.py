"""A lab for tests: the product's own, with a short prefix, and what a test wants to ask of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from piranha.lab import namespace as netns
from piranha.lab.cluster import Lab
from piranha.lab.options import LabOptions

ROOT = Path(__file__).resolve().parents[2]
CLIENT_SOURCES = {4: [f"10.0.0.{200 + n}" for n in range(8)], 6: [f"fd00:10::{200 + n}" for n in range(8)]}
VIP = {4: "10.0.0.100", 6: "fd00:10::100"}


class LabUnderTest:
    """One lab that is up, and its nodes as a test sees them."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.topology = lab.topology()
        self._children: list[subprocess.Popen[str]] = []

    # ---- processes ----

    def popen(self, node: str, *command: str) -> subprocess.Popen[str]:
        with netns.entered(self.topology.namespace(node)):
            child = subprocess.Popen(
                command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self._environment()
            )
        self._children.append(child)
        return child

    def run(self, node: str, *command: str, timeout_s: float = 30) -> str:
        child = self.popen(node, *command)
        out, _ = child.communicate(timeout=timeout_s)
        assert child.returncode == 0, f"{command} on {node} ended with {child.returncode}"
        return out

    def _environment(self) -> dict[str, str]:
        return os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}

    def command(self, *words: str, timeout_s: float = 30) -> subprocess.CompletedProcess[str]:
        """A `piranha` command that talks to the director's daemon, whatever it says."""
        env = self._environment() | self.lab.environment("lb1")
        return subprocess.run(
            [sys.executable, "-m", "piranha", *words], env=env, text=True, capture_output=True, timeout=timeout_s
        )

    def piranha(self, *words: str) -> str:
        """A `piranha` command that has to succeed; what it prints."""
        done = self.command(*words)
        assert done.returncode == 0, f"piranha {words}: {done.stderr}"
        return done.stdout

    def status(self) -> dict[str, Any]:
        return json.loads(self.piranha("status", "--json"))

    def services(self) -> list[dict[str, Any]]:
        return json.loads(self.piranha("services", "--json"))["services"]

    def lvsd_pid(self) -> int:
        (node,) = [node for node in self.lab.status() if node.name == "lb1"]
        assert node.pid is not None
        return node.pid

    def lvsd_runs(self) -> bool:
        return any(node.name == "lb1" and node.pid is not None for node in self.lab.status())

    def kill_lvsd(self) -> None:
        self.lab.stop("lb1", kill_at_once=True)

    def signal_lvsd(self, number: signal.Signals) -> None:
        os.kill(self.lvsd_pid(), number)

    @property
    def config(self) -> Path:
        return Path(self.lab.environment("lb1")["PIRANHA_CONFIG"])

    # ---- traffic ----

    def load_servers(self, port: int) -> None:
        """On every real server, a server of tests/netns/load.py."""
        for node in self.topology.real_servers:
            child = self.popen(
                node.name, sys.executable, "-m", "tests.netns.load", "server", "--name", node.name, "--port", str(port)
            )
            assert child.stdout is not None
            assert child.stdout.readline().strip() == "ready"

    def client_sources(self) -> None:
        lines = [f"addr add {a}/24 dev eth0" for a in CLIENT_SOURCES[4]]
        lines += [f"addr add {a}/64 dev eth0 nodad" for a in CLIENT_SOURCES[6]]
        netns.ip_batch(self.topology.namespace("client"), lines)

    def start_client(self, version: int, port: int, **options: Any) -> subprocess.Popen[str]:
        words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        return self.popen(
            "client", sys.executable, "-m", "tests.netns.load", "client", f"--target={VIP[version]}", f"--port={port}",
            f"--sources={','.join(CLIENT_SOURCES[version])}", *words,
        )  # fmt: skip

    @staticmethod
    def result(child: subprocess.Popen[str], timeout_s: float = 120) -> dict[str, Any]:
        out, _ = child.communicate(timeout=timeout_s)
        assert child.returncode == 0
        return json.loads(out)

    def curl(self, url: str, count: int) -> Counter[str]:
        """Who answered `count` requests, each on a connection of its own."""
        script = f"for i in $(seq {count}); do curl -s -m 5 '{url}' || echo failed; done"
        return Counter(self.run("client", "bash", "-c", script, timeout_s=60).split())

    def udp(self, version: int, port: int, count: int) -> Counter[str]:
        """Who answered `count` datagrams, each from a port of its own."""
        code = (
            "import socket,sys\n"
            f"for i in range({count}):\n"
            f" s=socket.socket(socket.{'AF_INET6' if version == 6 else 'AF_INET'},socket.SOCK_DGRAM); s.settimeout(3)\n"
            f" s.sendto(b'?',('{VIP[version]}',{port}))\n"
            " try: data,who=s.recvfrom(100); assert who[:2]==s.getpeername()[:2] if 0 else True; print(data.decode().split()[0])\n"
            " except OSError as e: print('failed')\n"
        )
        return Counter(self.run("client", sys.executable, "-c", code, timeout_s=60).split())

    def close(self) -> None:
        for child in self._children:
            if child.poll() is None:
                child.kill()
            child.wait(10)
            for stream in (child.stdin, child.stdout):
                if stream is not None:
                    stream.close()


def wait_until(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    """Wait on a condition; fails the test when it does not come true in time."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "the awaited condition did not come true"
        time.sleep(0.05)


@contextmanager
def lab_up(options: LabOptions) -> Iterator[LabUnderTest]:
    lab = Lab(options.prefix)
    lab.down()
    under_test: LabUnderTest | None = None
    try:
        lab.up(options)
        under_test = LabUnderTest(lab)
        yield under_test
    finally:
        if under_test is not None:
            under_test.close()
        lab.down()
