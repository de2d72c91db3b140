"""A director with its GUI as real processes on loopback: lvsd on the memory plane, piranha-gui, and real servers that answer."""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

CONFIG = """\
# a small farm
serial_no = 1
primary = 127.0.0.1
service = lvs
network = direct
virtual web {{
    active = 1
    address = 127.0.0.100 lo
    port = {port}
    protocol = tcp
    scheduler = wlc
    interval = 500ms
    server web1 {{
        address = 127.0.0.11
        active = 1
        weight = 1
    }}
    server web2 {{
        address = 127.0.0.12
        active = 1
        weight = 1
    }}
}}
virtual mail {{
    active = 0
    address = 127.0.0.101 lo
    port = 25
    # the old one
    server mx1 {{
        address = 127.0.0.13
        active = 1
    }}
}}
"""
START_S = 60.0


class RealServer:
    """Accepts and closes; `stop` makes its port refuse."""

    def __init__(self, address: str, port: int) -> None:
        self._listener = socket.create_server((address, port), backlog=64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._listener.accept()[0].close()

    def stop(self) -> None:
        # A thread in accept holds the socket open until it is shut down.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


class Director:
    """`url` is where the browser goes, `link` the one-time link of the first start, `config` the file."""

    def __init__(self, folder: Path, text: str | None = None, *, servers: bool = True) -> None:
        self.folder, self.config = folder, folder / "lvs.cf"
        self.port, self.gui_port = _free_port(), _free_port()
        self.config.write_text(CONFIG.format(port=self.port) if text is None else text)
        self.servers = {a: RealServer(f"127.0.0.{a}", self.port) for a in (11, 12)} if servers else {}
        self.url = f"https://127.0.0.1:{self.gui_port}"
        self._environment = os.environ | {
            "PIRANHA_CONFIG": str(self.config),
            "PIRANHA_RUN_DIR": str(folder / "run"),
            "PIRANHA_STATE_DIR": str(folder / "state"),
            "PIRANHA_ETC_DIR": str(folder / "etc"),
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.start("lvsd", "--dataplane", "memory")
        self.wait(lambda: (folder / "run" / "api.sock").exists())
        self.start("gui", "--address", "127.0.0.1", "--port", str(self.gui_port), "--user", getpass.getuser())
        self.wait(lambda: "started version" in self.log("gui"))
        self.link = re.findall(r"https://\S+/link/\S+", self.log("gui"))[0]

    def start(self, name: str, *options: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "piranha", name, *options], stdout=log, stderr=log, env=self._environment
            )

    def stop(self, name: str) -> None:
        process = self._processes.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def ask(self, *command: str) -> str:
        """What `piranha COMMAND` prints: the look at the system after a person's act."""
        result = subprocess.run(
            [sys.executable, "-m", "piranha", *command],
            capture_output=True,
            text=True,
            env=self._environment,
            timeout=60,
        )
        return result.stdout + result.stderr

    def wait(self, condition: Callable[[], bool]) -> None:
        deadline_at = time.monotonic() + START_S
        while not condition():
            assert time.monotonic() < deadline_at, f"in vain; {self.log('lvsd')[-2000:]}\n{self.log('gui')[-2000:]}"
            time.sleep(0.05)

    def close(self) -> None:
        for name in reversed(list(self._processes)):
            self.stop(name)
        for server in self.servers.values():
            server.stop()


@contextlib.contextmanager
def director(folder: Path, text: str | None = None, *, servers: bool = True) -> Iterator[Director]:
    made = Director(folder, text, servers=servers)
    try:
        yield made
    finally:
        made.close()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
