"""Two directors that masquerade, a client and two servers, each in a namespace of its own.

            outside 10.77.1.0/24                       inside 10.77.2.0/24
client ───────────┬──────────────┬─── lb1 .1 ───┬───────────────┬─────────── web1 .21, web2 .22
  .50             │  VIP .100    └─── lb2 .2 ───┘  gateway .254 │            by the gateway's address
               (bridge)                                      (bridge)
VIP and gateway are moved from one director to the other by the test, as pulse would.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from piranha.dataplane.ebpf.pins import Pins
from piranha.lab import namespace as netns
from tests.netns.lab import ROOT, wait_until

VIP, GATEWAY, CLIENT = "10.77.1.100", "10.77.2.254", "10.77.1.50"
DIRECTORS = {"lb1": 1, "lb2": 2}
SERVERS = {"web1": 21, "web2": 22}
VIP6, GATEWAY6 = "fd77:1::100", "fd77:2::254"
PORT, STICKY_PORT, LINK_PORT = 80, 81, 8849
START_S = 60.0
FORWARDING = (
    ("net.ipv4.ip_forward", "1"),
    ("net.ipv4.conf.all.rp_filter", "0"),
    ("net.ipv6.conf.all.forwarding", "1"),
)
FLOATING = ((f"{VIP}/32", "out0"), (f"{VIP6}/128", "out0"), (f"{GATEWAY}/32", "in0"), (f"{GATEWAY6}/128", "in0"))
LVS_CF = """
serial_no = 1
primary = 10.77.1.1
primary_private = 10.77.2.1
backup = 10.77.1.2
backup_private = 10.77.2.2
backup_active = 1
network = nat
interfaces = [ out0 in0 ]
syncdaemon = 1
syncd_iface = in0
syncd_id = 7
{more}
"""

VIRTUAL = """
virtual {name} {{
    active = 1
    address = {vip} out0:1
    port = {port}
    protocol = tcp
    scheduler = rr
    persistent = {persistent}
    send = "?"
    expect = "web"
    server web1 {{
        address = {network}::21
        active = 1
        weight = 1
    }}
    server web2 {{
        address = {network}::22
        active = 1
        weight = 1
    }}
}}
"""


def virtual(name: str, vip: str, port: int, persistent: int = 0) -> str:
    text = VIRTUAL.format(name=name, vip=vip, port=port, persistent=persistent, network="fd77:2")
    return text if ":" in vip else text.replace("fd77:2::", "10.77.2.")


class Pair:
    """Up as long as its context. `prefix` begins the namespaces' names, `home` is where the directors keep their files."""

    def __init__(self, prefix: str, home: Path, directors: Sequence[str] = tuple(DIRECTORS)) -> None:
        self.prefix = prefix
        self.directors = directors
        self.home = home
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._closing = ExitStack()

    def namespace(self, name: str) -> str:
        return f"{self.prefix}{name}"

    # ---- the network ----

    def up(self) -> None:
        names = ["switch", "client", *self.directors, *SERVERS]
        self.down_namespaces()
        for name in names:
            netns.add(self.namespace(name))
            netns.ip_batch(self.namespace(name), ["link set lo up"])
        bridges = [f"link add {b} type bridge mcast_snooping 0" for b in ("outside", "inside")]
        netns.ip_batch(self.namespace("switch"), [*bridges, "link set outside up", "link set inside up"])
        self._plug("client", "out0", "outside", f"{CLIENT}/24", "fd77:1::50/64")
        for name in self.directors:
            number = DIRECTORS[name]
            self._plug(name, "out0", "outside", f"10.77.1.{number}/24", f"fd77:1::{number}/64")
            self._plug(name, "in0", "inside", f"10.77.2.{number}/24", f"fd77:2::{number}/64")
            with netns.entered(self.namespace(name)):
                netns.write_sysctls(FORWARDING)
        for name, number in SERVERS.items():
            self._plug(name, "in0", "inside", f"10.77.2.{number}/24", f"fd77:2::{number}/64")
            netns.ip_batch(self.namespace(name), [f"route add default via {GATEWAY}", f"route add ::/0 via {GATEWAY6}"])
            for port in (PORT, STICKY_PORT):
                self._serve(name, port)

    def _plug(self, name: str, device: str, bridge: str, *addresses: str) -> None:
        plug = f"{name}-{device}"
        netns.ip_batch(
            self.namespace("switch"),
            [
                f"link add {plug} type veth peer name {device} netns {self.namespace(name)}",
                f"link set {plug} master {bridge} up",
            ],
        )
        netns.ip_batch(self.namespace(name), [f"link set {device} up", *(_add_address(a, device) for a in addresses)])

    def _serve(self, name: str, port: int) -> None:
        """Every line is answered with the server's name; connections last until the client ends them."""
        with netns.entered(self.namespace(name)):
            listener = socket.create_server(("", port), family=socket.AF_INET6, backlog=512, dualstack_ipv6=True)
        self._closing.callback(listener.close)

        def answer(connection: socket.socket) -> None:
            with connection, suppress(ConnectionError):  # checks reset theirs
                while connection.recv(1000):
                    connection.sendall(name.encode())

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()

    def hold_addresses(self, director: str) -> None:
        """VIPs and gateways are this director's now; everybody learns it at once."""
        for name in DIRECTORS:
            if name != director and netns.exists(self.namespace(name)):
                for address, device in FLOATING:
                    self._try(name, "addr", "del", address, "dev", device)
        if netns.exists(self.namespace(director)):
            netns.ip_batch(self.namespace(director), [_add_address(a, device, "replace") for a, device in FLOATING])
        self.forget_neighbours()

    def forget_neighbours(self) -> None:
        for name, device in [("client", "out0"), *((server, "in0") for server in SERVERS)]:
            for version in ("-4", "-6"):
                self._try(name, version, "neigh", "flush", "dev", device)

    def _try(self, name: str, *words: str) -> None:
        subprocess.run(["ip", "-n", self.namespace(name), *words], capture_output=True, timeout=20, check=False)

    # ---- directors ----

    def environment(self, director: str) -> dict[str, str]:
        home = self.home / director
        places = {
            "CONFIG": home / "lvs.cf",
            "RUN_DIR": home / "run",
            "STATE_DIR": home / "state",
            "ETC_DIR": home / "etc",
        }
        return (
            os.environ
            | {f"PIRANHA_{name}": str(path) for name, path in places.items()}
            | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
        )

    def configure(self, director: str, more: str = "") -> None:
        home = self.home / director
        for folder in ("run", "state", "etc"):
            (home / folder).mkdir(parents=True, exist_ok=True, mode=0o700)
        virtuals = [virtual("web", VIP, PORT), virtual("sticky", VIP, STICKY_PORT, 60), virtual("web6", VIP6, PORT)]
        (home / "lvs.cf").write_text(LVS_CF.format(more=more) + "".join(virtuals))

    def start(self, director: str) -> None:
        """Start lvsd and wait until both servers are up."""
        with netns.entered(self.namespace(director)), (self.home / director / "log").open("ab") as log:
            self._children[director] = subprocess.Popen(
                [sys.executable, "-m", "piranha", "lvsd"],
                cwd=ROOT, env=self.environment(director), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        wait_until(lambda: self._ready(director), START_S)

    def _ready(self, director: str) -> bool:
        child = self._children[director]
        assert child.poll() is None, (self.home / director / "log").read_text()[-3000:]
        status = self.ask(director, "status")
        return status is not None and status["summary"]["servers_up"] == 3 * len(SERVERS)

    def stop(self, director: str, *, forget: bool = False) -> None:
        """End lvsd; with `forget` its tables go too, as with a boot."""
        child = self._children.pop(director)
        child.terminate()
        child.wait(20)
        if forget:
            done = self.command(director, "unload")
            assert done.returncode == 0, done.stderr

    def command(self, director: str, *words: str) -> subprocess.CompletedProcess[str]:
        """A `piranha` command on a director, inside its namespace."""
        with netns.entered(self.namespace(director)):
            return subprocess.run(
                [sys.executable, "-m", "piranha", *words],
                env=self.environment(director), text=True, capture_output=True, timeout=60, check=False,
            )  # fmt: skip

    def ask(self, director: str, *words: str) -> Any:
        """What a command says with --json; None when it fails."""
        done = self.command(director, *words, "--json")
        return json.loads(done.stdout) if done.returncode == 0 else None

    def sync(self, director: str) -> dict[str, Any]:
        status = self.ask(director, "status")
        assert status is not None
        found: dict[str, Any] = status["sync"]
        return found

    def connections(self, director: str) -> dict[int, dict[str, Any]]:
        """Rows by client port."""
        return {row["client_port"]: row for row in self.ask(director, "connections")["connections"]}

    # ---- the client ----

    def connect(self, vip: str = VIP, port: int = PORT) -> Conversation:
        with netns.entered(self.namespace("client")):
            made = socket.create_connection((vip, port), 20)
        self._closing.callback(made.close)
        return Conversation(made)

    # ---- the end ----

    def down_namespaces(self) -> None:
        for name in netns.names():
            if name.startswith(self.prefix):
                netns.delete(name)

    def close(self) -> None:
        for child in self._children.values():
            child.kill()
            child.wait(20)
        self._closing.close()
        for name in DIRECTORS:
            pins = Pins(self.home / name / "run" / "bpf")
            if pins.mounted:
                pins.unmount()
        self.down_namespaces()


def _add_address(address: str, device: str, verb: str = "add") -> str:
    return f"addr {verb} {address} dev {device}" + (" nodad" if ":" in address else "")


class Conversation:
    """An open connection of the client."""

    def __init__(self, made: socket.socket) -> None:
        self._socket = made
        self.port = int(made.getsockname()[1])

    def ask(self) -> str:
        """Who answers; waits out a few retransmissions."""
        self._socket.settimeout(20)
        self._socket.sendall(b"?")
        return self._socket.recv(100).decode()

    def end(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)
        self._socket.settimeout(20)
        assert self._socket.recv(100) == b""
        self._socket.close()


@contextmanager
def pair_up(prefix: str, home: Path, directors: Sequence[str] = tuple(DIRECTORS)) -> Iterator[Pair]:
    """A pair whose directors are configured and not started; lb1 holds the addresses."""
    pair = Pair(prefix, home, directors)
    try:
        pair.up()
        for director in directors:
            pair.configure(director)
        pair.hold_addresses("lb1")
        yield pair
    finally:
        pair.close()
