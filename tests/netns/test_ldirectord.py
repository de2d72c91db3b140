"""Debian's ldirectord over our ipvsadm and the eBPF plane, with no lvsd: servers die and come back.

client ── 10.66.1.0/24 ── director ──┬── 10.66.2.0/24 ── web1
10.66.1.2     VIP 10.66.1.100        └── 10.66.3.0/24 ── web2
              fallback on the director itself
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from piranha.lab import namespace as netns
from tests.netns.lab import ROOT, wait_until

PREFIX = "pntld-"
UNPACKED = ROOT / "build" / "ldirectord" / "root"
VIP = "10.66.1.100"
SERVERS = {"web1": "10.66.2.2", "web2": "10.66.3.2"}
OTHERS = "-A -u 10.66.1.100:53 -s sh\n-a -u 10.66.1.100:53 -r 10.66.2.2:53 -m -w 1\n"
PATIENCE_S = 60

SERVER = """
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = sys.argv[1].encode() + b" is alive\\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
server = ThreadingHTTPServer(("0.0.0.0", 80), Handler)
print("ready", flush=True)
server.serve_forever()
"""

CONFIG = f"""\
checktimeout = 2
checkinterval = 1
autoreload = no
quiescent = no
virtual = {VIP}:80
    real = {SERVERS["web1"]}:80 masq 3
    real = {SERVERS["web2"]}:80 masq 2
    fallback = 127.0.0.1:80 gate
    service = http
    scheduler = wrr
    protocol = tcp
    checktype = negotiate
    request = "/"
    receive = "alive"
"""


class World:
    """The namespaces, their processes, and what a test asks of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._children: dict[str, subprocess.Popen[str]] = {}
        program = folder / "sbin" / "ipvsadm"
        program.parent.mkdir()
        program.write_text(f"#!{sys.executable}\nfrom piranha.ipvsadm.program import main\nmain()\n")
        program.chmod(0o755)
        self.environment = os.environ | {
            "PYTHONPATH": str(ROOT / "src"),
            "PIRANHA_RUN_DIR": str(folder / "run"),
            "PIRANHA_STATE_DIR": str(folder / "state"),
            "PIRANHA_CONFIG": str(folder / "lvs.cf"),
            "PERL5LIB": ":".join(map(str, perl_folders())),
        }

    def make(self) -> None:
        for name in ("client", "director", *SERVERS):
            ip(f"netns add {PREFIX}{name}")
            ip(f"-n {PREFIX}{name} link set lo up")
        for number, name in ((1, "client"), (2, "web1"), (3, "web2")):
            ip(f"-n {PREFIX}director link add d{number} type veth peer name eth0 netns {PREFIX}{name}")
            ip(f"-n {PREFIX}director addr add 10.66.{number}.1/24 dev d{number}")
            ip(f"-n {PREFIX}director link set d{number} up")
            ip(f"-n {PREFIX}{name} addr add 10.66.{number}.2/24 dev eth0")
            ip(f"-n {PREFIX}{name} link set eth0 up")
            ip(f"-n {PREFIX}{name} route add default via 10.66.{number}.1")
        ip(f"-n {PREFIX}director addr add {VIP}/32 dev d1")
        ip(f"netns exec {PREFIX}director sysctl -qw net.ipv4.ip_forward=1")

    def start(self, node: str, name: str, command: list[str]) -> subprocess.Popen[str]:
        log = (self.folder / f"{name}.log").open("w")
        with log, netns.entered(PREFIX + node):
            child = subprocess.Popen(
                command, text=True, env=self.environment, cwd=self.folder, stdout=subprocess.PIPE, stderr=log
            )
        self._children[name] = child
        return child

    def serve(self, node: str, name: str) -> None:
        child = self.start(node, name, [sys.executable, "-c", SERVER, name])
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"

    def stop(self, name: str) -> None:
        child = self._children.pop(name)
        child.terminate()
        child.wait(PATIENCE_S)

    def ldirectord(self) -> None:
        """In a mount namespace where our program is the only one in /usr/sbin, which is /sbin too."""
        (self.folder / "ldirectord.cf").write_text(CONFIG)
        ours, configuration = shlex.quote(str(self.folder / "sbin")), shlex.quote(str(self.folder / "ldirectord.cf"))
        script = (
            "mount -t tmpfs tmpfs /run && for folder in /usr/sbin /sbin; do"
            f' [ -L "$folder" ] || mount --bind {ours} "$folder" || exit 1; done;'
            f" exec perl {shlex.quote(str(UNPACKED / 'usr/sbin/ldirectord'))} -d {configuration} start >&2"
        )
        self.start("director", "ldirectord", ["unshare", "--mount", "bash", "-c", script])

    def ipvsadm(self, *words: str, given: str | None = None) -> str:
        with netns.entered(PREFIX + "director"):
            done = subprocess.run(
                [str(self.folder / "sbin" / "ipvsadm"), *words],
                env=self.environment,
                input=given,
                text=True,
                capture_output=True,
                timeout=PATIENCE_S,
            )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def pool(self) -> set[str]:
        """The destinations of the service that ldirectord keeps, with method and weight."""
        lines = self.ipvsadm("-S", "-n").splitlines()
        return {line.split(" -r ")[1] for line in lines if line.startswith(f"-a -t {VIP}:80 ")}

    def answers(self, count: int = 10) -> Counter[str]:
        command = f"for i in $(seq {count}); do curl -s -m 10 http://{VIP}/ || echo failed; done"
        with netns.entered(PREFIX + "client"):
            done = subprocess.run(["bash", "-c", command], text=True, capture_output=True, timeout=PATIENCE_S * 2)
        return Counter(line.split()[0] for line in done.stdout.splitlines())

    def log(self) -> str:
        return (self.folder / "ldirectord.log").read_text()[-4000:]

    def close(self) -> None:
        for name in list(self._children):
            self.stop(name)
        subprocess.run(
            [sys.executable, "-m", "piranha", "unload"], env=self.environment, timeout=PATIENCE_S, capture_output=True
        )
        for name in ("client", "director", *SERVERS):
            if netns.exists(PREFIX + name):
                ip(f"netns del {PREFIX}{name}")


def ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True, capture_output=True, timeout=PATIENCE_S)


def perl_folders() -> list[Path]:
    patterns = ("usr/share/perl5", "usr/lib/*/perl5/*", "usr/share/perl/*", "usr/lib/*/perl/*")
    return [folder for pattern in patterns for folder in sorted(UNPACKED.glob(pattern)) if folder.is_dir()]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    if not (UNPACKED / "usr/sbin/ldirectord").exists():
        pytest.skip("ldirectord is not here: `make ldirectord` fetches it")
    for tool in ("perl", "curl", "unshare"):
        if not shutil.which(tool):
            pytest.skip(f"no {tool} here")
    found = World(tmp_path)
    try:
        found.make()
        yield found
    finally:
        found.close()


def test_servers_die_and_come_back(world: World) -> None:
    both = {f"{SERVERS['web1']}:80 -m -w 3", f"{SERVERS['web2']}:80 -m -w 2"}
    fallback = {"127.0.0.1:80 -g -w 1"}

    def pool_becomes(wanted: set[str]) -> None:
        try:
            wait_until(lambda: world.pool() == wanted, PATIENCE_S)
        except AssertionError as error:
            raise AssertionError(f"{world.pool()} instead of {wanted}\n{world.log()}") from error

    world.ipvsadm("-R", given=OTHERS)
    for name in SERVERS:
        world.serve(name, name)
    world.serve("director", "fallback")
    world.ldirectord()

    pool_becomes(both)
    assert world.answers() == {"web1": 6, "web2": 4}

    world.stop("web1")
    pool_becomes({f"{SERVERS['web2']}:80 -m -w 2"})
    assert world.answers() == {"web2": 10}

    world.stop("web2")
    pool_becomes(fallback)
    assert world.answers() == {"fallback": 10}

    for name in SERVERS:
        world.serve(name, name)
    pool_becomes(both)
    assert world.answers() == {"web1": 6, "web2": 4}

    kept = world.ipvsadm("-S", "-n")
    assert f"-A -t {VIP}:80 -s wrr\n" in kept
    assert [line + "\n" for line in kept.splitlines() if "-u" in line] == OTHERS.splitlines(keepends=True)
    world.stop("ldirectord")
    assert world.ipvsadm("-S", "-n") == OTHERS, "it takes away its own service when it stops, and no other"
