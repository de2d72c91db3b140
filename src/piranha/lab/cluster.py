"""A lab as a whole: up, down, status, start, stop; each may be called at any time, whatever an earlier run left."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from piranha.base.errors import PiranhaError
from piranha.lab import director, network
from piranha.lab import namespace as netns
from piranha.lab.director import DirectorState
from piranha.lab.execute import hosts
from piranha.lab.listing import lvs_cf
from piranha.lab.options import LabOptions, check_prefix
from piranha.lab.process import ProcessBook, Tracked, end, python_command, start_ticks
from piranha.lab.readiness import lvsd_answers, wait_until, web_server_answers
from piranha.lab.topology import UDP_PORT, Node, Role, Topology, plan_topology
from piranha.model.service import ForwardingMethod
from piranha.realserver.host import Host
from piranha.realserver.operate import set_up
from piranha.realserver.request import SetupRequest

RUN = Path("/run/piranha-lab")
WEB_SERVER_TIMEOUT_S = 20.0
DIRECTOR_TIMEOUT_S = 60.0

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """How a node is right now. `pid` is its program's (web server, lvsd, pulse), None when it does not run or has none.

    `cluster_role` is empty but for a director of a pair.
    """

    name: str
    role: Role
    namespace: str
    exists: bool
    addresses: tuple[str, ...]
    pid: int | None
    answers: bool | None
    cluster_role: str = ""


class Lab:
    """The lab with one prefix. Needs root; every method that changes something holds the lab's lock."""

    def __init__(self, prefix: str, *, progress: Progress = lambda text: None, run: Path = RUN) -> None:
        self.prefix = check_prefix(prefix)
        self.directory = run / prefix
        self._say = progress
        self._processes = ProcessBook(self.directory / "processes")

    # -- what is known -------------------------------------------------------------------------------------------

    @property
    def _marker(self) -> Path:
        """Holds the options; written when the network is whole, so that its absence says that parts are missing."""
        return self.directory / "lab.json"

    @property
    def hosts_file(self) -> Path:
        return self.directory / "hosts"

    def options(self) -> LabOptions | None:
        """The options of the lab that is up; None when none is."""
        try:
            return LabOptions.from_json(json.loads(self._marker.read_text()))
        except FileNotFoundError:
            return None
        except PermissionError:
            raise _needs_root() from None
        except (ValueError, KeyError, TypeError):
            return None

    def topology(self) -> Topology:
        """The lab that is up. Raises PiranhaError when none is."""
        options = self.options()
        if options is None:
            raise PiranhaError(
                f"no lab with the prefix `{self.prefix}` is up", mend="bring one up with `piranha lab up`"
            )
        return plan_topology(options)

    def node(self, name: str) -> Node:
        topology = self.topology()
        try:
            return topology.node(name)
        except KeyError:
            known = ", ".join(node.name for node in topology.nodes)
            raise PiranhaError(f"the lab has no node `{name}`", mend=f"its nodes are {known}") from None

    def state_directory(self, name: str) -> Path:
        """Where a node's files are: configuration, run and state directories."""
        return self.directory / name

    def environment(self, name: str) -> dict[str, str]:
        """What makes a `piranha` command talk to the daemon of this node."""
        home = self.state_directory(name)
        return {
            "PIRANHA_CONFIG": str(home / "lvs.cf"),
            "PIRANHA_RUN_DIR": str(home / "run"),
            "PIRANHA_STATE_DIR": str(home / "state"),
            "PIRANHA_ETC_DIR": str(home / "etc"),
        }

    def status(self) -> list[NodeStatus]:
        """Every node of the lab that is up, or of what is left of one."""
        topology = self.topology()
        return [self._node_status(topology, node) for node in topology.nodes]

    def _node_status(self, topology: Topology, node: Node) -> NodeStatus:
        namespace = topology.namespace(node.name)
        exists = netns.exists(namespace)
        process = self._processes.find(node.name)
        answers = None
        if node.role is not Role.CLIENT:
            answers = exists and process is not None and self._answers(topology, node)
        pulse = self.director_state(node.name) if node.role is Role.DIRECTOR and topology.is_pair else None
        return NodeStatus(
            name=node.name,
            role=node.role,
            namespace=namespace,
            exists=exists,
            addresses=tuple(str(i) for port in node.ports for i in port.addresses)
            + tuple(f"{vip} (VIP)" for port in node.ports for vip in port.vips),
            pid=process.pid if process else None,
            answers=answers,
            cluster_role=pulse.role if pulse else "",
        )

    def director_state(self, name: str) -> DirectorState | None:
        """What pulse says on a director of a pair; None where it does not answer."""
        return director.state(self.state_directory(name) / "run")

    def _answers(self, topology: Topology, node: Node) -> bool:
        if node.role is Role.DIRECTOR:
            return lvsd_answers(self.state_directory(node.name) / "run" / "api.sock")
        options = self.options()
        port = options.server_port if options else 80
        return web_server_answers(topology.namespace(node.name), node.name, node.address(4), port)

    # -- up ------------------------------------------------------------------------------------------------------

    def up(self, options: LabOptions, *, director: bool = True) -> Topology:
        """Bring the lab up, or what is missing of it. Without `director` nothing is started on the directors, nor are they paired.

        Raises PiranhaError when a lab with other options is up; whatever else fails leaves parts for `down`.
        """
        self._need_root()
        topology = plan_topology(options)
        with self._locked():
            standing = self.options()
            if standing is not None and standing != options:
                raise PiranhaError("a lab with other options is up", mend="take it down first with `piranha lab down`")
            if standing is None or any(not netns.exists(name) for name in topology.namespaces):
                self._clear()
                self._build(topology, options)
            self._start_servers(topology, options)
            if director:
                self._start_directors(topology, options)
        return topology

    def _build(self, topology: Topology, options: LabOptions) -> None:
        self._say(f"building {len(topology.namespaces)} namespaces and their cables")
        network.build(topology, checksum_offload=options.checksum_offload)
        if options.forward is not ForwardingMethod.MASQUERADE:
            self._say("giving the real servers the VIP")
            for node in topology.real_servers:
                self._set_up_real_server(topology, node, options)
        self.hosts_file.write_text(hosts(topology))
        self._marker.write_text(json.dumps(options.as_json(), indent=2) + "\n")

    def _set_up_real_server(self, topology: Topology, node: Node, options: LabOptions) -> None:
        request = SetupRequest(vips=topology.vips, tunnel=options.forward is ForwardingMethod.TUNNEL, persist=False)
        record = self.state_directory(node.name) / "state" / "realserver.json"
        with netns.entered(topology.namespace(node.name)):
            set_up(Host(), record, request)

    def _start_servers(self, topology: Topology, options: LabOptions) -> None:
        started = [node for node in topology.real_servers if self._start_server(topology, node, options)]
        if started:
            self._say("starting " + ", ".join(node.name for node in started))
        for node in started:
            self._wait_for_server(topology, node, options)

    def _start_server(self, topology: Topology, node: Node, options: LabOptions) -> bool:
        if self._processes.find(node.name) is not None:
            return False
        command = python_command(
            "-m", "piranha.lab.webserver", "--name", node.name,
            "--port", str(options.server_port), "--udp-port", str(UDP_PORT),
        )  # fmt: skip
        self._processes.start(node.name, topology.namespace(node.name), command)
        return True

    def _wait_for_server(self, topology: Topology, node: Node, options: LabOptions) -> None:
        namespace, address = topology.namespace(node.name), node.address(4)

        def settled() -> bool:
            return (
                web_server_answers(namespace, node.name, address, options.server_port)
                or self._processes.find(node.name) is None
            )

        if not wait_until(settled, WEB_SERVER_TIMEOUT_S) or self._processes.find(node.name) is None:
            raise PiranhaError(f"the web server of {node.name} does not answer", mend=self._said(node.name))

    def _start_directors(self, topology: Topology, options: LabOptions) -> None:
        for node in topology.directors:
            self._furnish(topology, node, options)
        environments = {node.name: self.environment(node.name) for node in topology.directors}
        if topology.is_pair and not all(director.is_paired(one) for one in environments.values()):
            self._say("pairing the directors")
            director.pair(topology, environments)
        for node in topology.directors:  # one after the other, so that the first is the active one
            if self._processes.find(node.name) is None:
                self._say(f"starting {'pulse' if topology.is_pair else 'lvsd'} on {node.name}")
                self._start_director(topology, node)
            self._wait_for_director(topology, node)

    def _furnish(self, topology: Topology, node: Node, options: LabOptions) -> None:
        """A director's directories and configuration; a file that somebody has edited stays."""
        home = self.state_directory(node.name)
        for path in (home / "run", home / "state", home / "etc"):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        config = Path(self.environment(node.name)["PIRANHA_CONFIG"])
        if not config.exists():
            config.write_text(lvs_cf(topology, options))

    def _start_director(self, topology: Topology, node: Node) -> None:
        command = director.program(is_pair=topology.is_pair)
        self._processes.start(node.name, topology.namespace(node.name), command, self.environment(node.name))

    def _wait_for_director(self, topology: Topology, node: Node) -> None:
        api_socket = self.state_directory(node.name) / "run" / "api.sock"

        def settled() -> bool:
            return self._processes.find(node.name) is None or (
                lvsd_answers(api_socket) and (not topology.is_pair or self._has_a_role(node.name))
            )

        if not wait_until(settled, DIRECTOR_TIMEOUT_S) or self._processes.find(node.name) is None:
            raise PiranhaError(f"{node.name} is not ready", mend=self._said(node.name))

    def _has_a_role(self, name: str) -> bool:
        """Whether it is the active director, or hears of one, and its lvsd is ready."""
        state = self.director_state(name)
        if state is None or not state.ready:
            return False
        peer = state.document.get("peer") or {}
        return state.role == "active" or peer.get("role") == "active"

    def _said(self, name: str) -> str:
        tail = self._processes.log_tail(name)
        where = self._processes.log_path(name)
        return f"its log {where} ends with\n{tail}" if tail else f"its log {where} is empty"

    # -- start and stop ------------------------------------------------------------------------------------------

    def start(self, name: str) -> bool:
        """Start a node's program and wait until it answers; False when it ran already."""
        self._need_root()
        node, topology, options = self.node(name), self.topology(), self._standing()
        with self._locked():
            if self._processes.find(name) is not None:
                return False
            if node.role is Role.REAL_SERVER:
                self._start_server(topology, node, options)
                self._wait_for_server(topology, node, options)
            elif node.role is Role.DIRECTOR:
                self._start_director(topology, node)
                self._wait_for_director(topology, node)
            else:
                raise PiranhaError(f"nothing runs on {name}", mend="start web1, web2, ... or lb1")
            return True

    def stop(self, name: str, *, kill_at_once: bool = False) -> bool:
        """End a node's program; False when none ran. `kill_at_once` is `kill -9`, of pulse and of its lvsd."""
        self._need_root()
        if self.node(name).role is Role.CLIENT:
            raise PiranhaError(f"nothing runs on {name}", mend="stop web1, web2, ... or lb1")
        with self._locked():
            ran = self._processes.stop(name, kill_at_once=kill_at_once)
            if ran and kill_at_once:
                _end_inside(self.topology().namespace(name), kill_at_once=True)
            return ran

    # -- faults --------------------------------------------------------------------------------------------------

    def power_off(self, name: str) -> bool:
        """A node loses its power: it is gone with all that is on it, but for its disk. False when it was off already."""
        self._need_root()
        self.node(name)
        namespace = self.topology().namespace(name)
        with self._locked():
            if not netns.exists(namespace):
                return False
            network.unplug(self.topology(), self.node(name))  # first of all: nobody hears how it ends
            self._processes.stop(name, kill_at_once=True)
            _end_inside(namespace, kill_at_once=True)
            network.remove_node(self.topology(), self.node(name))
            self._unmount(self.state_directory(name))
            return True

    def power_on(self, name: str) -> bool:
        """It boots: its network, and its program until it answers. False when it was on."""
        self._need_root()
        node, topology, options = self.node(name), self.topology(), self._standing()
        with self._locked():
            if netns.exists(topology.namespace(name)):
                return False
            network.build_node(topology, node, checksum_offload=options.checksum_offload)
            if node.role is Role.REAL_SERVER:
                if options.forward is not ForwardingMethod.MASQUERADE:
                    self._set_up_real_server(topology, node, options)
                self._start_server(topology, node, options)
                self._wait_for_server(topology, node, options)
            elif node.role is Role.DIRECTOR:
                self._start_director(topology, node)
                self._wait_for_director(topology, node)
            return True

    def unplug(self, name: str) -> None:
        """Pull a node's cables out of the switch; it sees nothing of it."""
        self._need_root()
        with self._locked():
            network.unplug(self.topology(), self.node(name))

    def plug(self, name: str) -> None:
        self._need_root()
        with self._locked():
            network.plug(self.topology(), self.node(name))

    def switch_to(self, name: str) -> None:
        """The planned change-over to a director of the pair."""
        director.switch(self.topology(), self.node(name), self.environment(name))

    def _standing(self) -> LabOptions:
        options = self.options()
        if options is None:
            raise PiranhaError(
                f"no lab with the prefix `{self.prefix}` is up", mend="bring one up with `piranha lab up`"
            )
        return options

    # -- down ----------------------------------------------------------------------------------------------------

    def down(self) -> list[str]:
        """Remove the lab, whole or in parts; the namespaces removed. Nothing to do is no error."""
        self._need_root()
        if not self.directory.exists() and not network.leftovers(self.prefix):
            return []
        with self._locked():
            removed = self._clear()
            shutil.rmtree(self.directory)
            return removed

    def _clear(self) -> list[str]:
        self._marker.unlink(missing_ok=True)
        names = self._processes.names()
        # The directors go first: they should not see their real servers die.
        for name in sorted(names, key=lambda name: not name.startswith("lb")):
            if self._processes.stop(name):
                self._say(f"stopped {name}")
        leftovers = network.leftovers(self.prefix)
        for namespace in leftovers:
            _end_inside(namespace)
        removed = network.remove(self.prefix)
        self._unmount(self.directory)
        for path in self.directory.iterdir():
            if path.name != "lock":
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        return removed

    @staticmethod
    def _unmount(directory: Path) -> None:
        """lvsd and pulse mount their bpffs below their run directory; the pins in it go with the mount."""
        below = f"{directory}/"
        mounts = [line.split(" ")[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for mount in sorted((m for m in mounts if m.startswith(below)), reverse=True):
            netns.run(["umount", mount])

    # -- guards --------------------------------------------------------------------------------------------------

    @staticmethod
    def _need_root() -> None:
        if os.geteuid() != 0:
            raise _needs_root()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One command at a time changes a lab; the lock goes with the process that holds it."""
        path = self.directory / "lock"
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with path.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # A `down` that ended meanwhile took the file away: then this lock guards nothing.
                current = path.stat().st_ino == os.fstat(lock.fileno()).st_ino
            except (BlockingIOError, FileNotFoundError):
                current = False
            if not current:
                raise PiranhaError("another command is changing this lab", mend="wait for it and try again")
            yield


def _needs_root() -> PiranhaError:
    return PiranhaError("the lab needs root for network namespaces", mend="run it with sudo")


def _end_inside(namespace: str, *, kill_at_once: bool = False) -> None:
    """End what still runs in a namespace of ours: a shell of `piranha lab exec`, children of a killed daemon."""
    own = os.getpid()
    for pid in netns.processes_inside(namespace):
        ticks = start_ticks(pid)
        if pid != own and ticks is not None:
            end(Tracked(pid=pid, start_ticks=ticks), kill_at_once=kill_at_once)
