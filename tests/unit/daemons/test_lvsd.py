"""The real daemon as a process on the memory plane: start, reload, faults, stop. A listening socket is its server."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

LISTING = """\
serial_no = 1
primary = 127.0.0.1
service = lvs
network = direct
virtual WEB {{
    active = 1
    address = 127.0.0.1 lo:1
    port = {port}
    scheduler = rr
    timeout = 0.2
    reentry = 0.2
    server one {{
        address = 127.0.0.1
        active = 1
        weight = 1
    }}
}}
"""


class Machine:
    """A run directory and a file; `piranha` runs a command there."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "lvs.cf"
        self._environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "PIRANHA_RUN_DIR": str(folder / "run"),
            "PIRANHA_STATE_DIR": str(folder / "state"),
            "PIRANHA_CONFIG": str(self.config),
        }
        self.log = folder / "log"

    def piranha(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "piranha", *words],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )

    @contextlib.contextmanager
    def lvsd(self, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """The daemon, ready; killed when the block ends."""
        with self.log.open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "piranha", "lvsd", "--dataplane", "memory"],
                env={**self._environment, **environment},
                stderr=log,
                stdout=log,
            )
        try:
            until(lambda: "started version=" in self.log.read_text() or process.poll() is not None)
            yield process
        finally:
            process.kill()
            process.wait(10)

    def server(self) -> dict[str, Any]:
        """The one server as `piranha services --json` shows it."""
        services = json.loads(self.piranha("services", "--json").stdout)["services"]
        server: dict[str, Any] = services[0]["servers"][0]
        return server


def until(condition: Callable[[], bool]) -> None:
    """Wait for `condition`, at most ten seconds."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.05)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def test_the_main_story(machine: Machine, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    machine.config.write_text(LISTING.format(port=port))
    with machine.lvsd() as process:
        until(lambda: machine.server()["health"] == "up")
        assert machine.server()["weight"] == 1
        listener.close()
        until(lambda: machine.server()["health"] == "down")
        until(lambda: machine.server()["weight"] is None)

        machine.config.write_text(LISTING.format(port=port).replace("= rr", "= wlc"))
        process.send_signal(signal.SIGHUP)
        until(lambda: "scheduler rr -> wlc" in machine.log.read_text())

        machine.config.write_text("virtual {")
        process.send_signal(signal.SIGHUP)
        until(lambda: "reload failed" in machine.log.read_text())
        assert machine.piranha("status").returncode == 0

        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert "the kernel goes on forwarding; `piranha unload` takes the data plane out" in machine.log.read_text()
    gone = machine.piranha("status")
    assert (gone.returncode, gone.stderr) == (3, "piranha: lvsd is not running: start it with `piranha lvsd`\n")


def test_two_never_run(machine: Machine) -> None:
    machine.config.write_text(LISTING.format(port=1))
    with machine.lvsd() as process:
        second = machine.piranha("lvsd", "--dataplane", "memory")
        assert second.returncode == 1
        assert second.stderr == (
            f"piranha: lvsd is running already (process {process.pid}): change it with `piranha reload`\n"
        )
        unload = machine.piranha("unload")
        assert unload.returncode == 1
        assert f"lvsd runs (process {process.pid}) and would lose its data plane: stop it first" in unload.stderr
        assert machine.piranha("status").returncode == 0


def test_a_killed_one_leaves_room_for_the_next(machine: Machine) -> None:
    machine.config.write_text(LISTING.format(port=1))
    with machine.lvsd():
        pass
    assert machine.piranha("status").returncode == 3
    with machine.lvsd():
        assert machine.piranha("status").returncode == 0


def test_a_bad_file_at_start_is_explained_whole(machine: Machine) -> None:
    machine.config.write_text(LISTING.format(port=1).replace("scheduler", "shceduler").replace("weight", "wieght"))
    done = machine.piranha("lvsd", "--dataplane", "memory")
    assert done.returncode == 1
    for line in (9, 15):
        assert f"lvs.cf:{line}:" in done.stderr
    assert "is not usable: 2 errors" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_file_is_one_line(machine: Machine) -> None:
    done = machine.piranha("lvsd", "--dataplane", "memory")
    assert done.returncode == 1
    assert done.stderr == f"piranha: cannot read {machine.config} (No such file or directory): name a readable lvs.cf\n"


def test_a_kernel_without_ipvs_is_said_with_its_mends(machine: Machine) -> None:
    if Path("/proc/net/ip_vs").exists() or list(Path(f"/lib/modules/{os.uname().release}").rglob("ip_vs.ko*")):
        pytest.skip("this kernel has IPVS, and its table is not this test's to touch")
    machine.config.write_text("dataplane = ipvs\n" + LISTING.format(port=1))
    done = machine.piranha("lvsd")
    assert done.returncode == 1
    assert "piranha: this kernel has no IPVS (" in done.stderr
    assert "load it with `modprobe ip_vs`" in done.stderr
    assert "or write `dataplane = ebpf`" in done.stderr


def test_the_service_manager_is_told(machine: Machine, tmp_path: Path) -> None:
    machine.config.write_text(LISTING.format(port=1))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(10)
        with machine.lvsd(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="15000000") as process:
            assert manager.recv(999).startswith(b"READY=1\n")
            assert manager.recv(999) == b"WATCHDOG=1"
            process.send_signal(signal.SIGTERM)
            process.wait(10)
        said = b""
        while said != b"STOPPING=1":
            said = manager.recv(999)
            assert said in (b"WATCHDOG=1", b"STOPPING=1")


def test_unload_needs_no_daemon_and_no_plane(machine: Machine) -> None:
    done = machine.piranha("unload")
    assert (done.returncode, done.stderr) == (0, "no data plane was in the kernel\n")


def test_unload_can_be_forced(machine: Machine) -> None:
    machine.config.write_text(LISTING.format(port=1))
    with machine.lvsd():
        assert machine.piranha("unload").returncode == 1
        assert machine.piranha("unload", "--force").returncode == 0
