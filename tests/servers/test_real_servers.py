"""Checks of real servers, Debian's, on loopback: healthy, and dead after that. `make servers` fetches what is missing.

Each server runs in a folder of its own as an unprivileged user, and ends with its test.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.unit.monitor.scripted import check

from piranha.monitor.outcome import Outcome

ROOT = Path(__file__).resolve().parents[2]
UNPACKED = ROOT / "build" / "servers" / "root"
LIBRARIES = [UNPACKED / "usr/lib/x86_64-linux-gnu", UNPACKED / "usr/lib/aarch64-linux-gnu", UNPACKED / "usr/lib"]
PLACES = ["usr/sbin", "usr/bin", "usr/lib/postgresql/15/bin"]
START_S = 60.0


def program(name: str) -> str:
    """Where a server is, unpacked or installed; skips the test where it is not."""
    for place in PLACES:
        if (UNPACKED / place / name).exists():
            return str(UNPACKED / place / name)
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/lib/postgresql/15/bin")
    if found is None:
        pytest.skip(f"{name} is not here: make servers")
    return found


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Machine:
    """A folder, a port, and the processes that a test starts."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.port, self._stack = folder, free_port(), stack
        self._user = "nobody" if os.geteuid() == 0 else None
        self._environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(map(str, LIBRARIES)), "LC_ALL": "C"}
        self.log = folder / "log"

    def run(self, *words: str, given: str = "") -> None:
        done = subprocess.run(
            words,
            cwd=self.folder,
            user=self._user,
            env=self._environment,
            input=given,
            text=True,
            capture_output=True,
            timeout=120,
        )
        assert done.returncode == 0, f"{words}: {done.stdout[-500:]}{done.stderr[-500:]}"

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            words,
            cwd=self.folder,
            user=self._user,
            env=self._environment,
            stdout=self.log.open("wb"),
            stderr=subprocess.STDOUT,
        )
        self._stack.callback(self.stop, process)
        return process

    @staticmethod
    def stop(process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    async def healthy(self, kind: str, directives: str, process: subprocess.Popen[bytes]) -> Outcome:
        """The check's outcome once it is good; fails when the server ends or does not become good."""
        outcome = None
        async with asyncio.timeout(START_S):
            while outcome is None or not outcome.ok:
                assert process.poll() is None, self.log.read_text(errors="replace")[-1000:]
                outcome = await check(kind, directives, port=self.port)
                await asyncio.sleep(0 if outcome.ok else 0.2)
        return outcome


@pytest.fixture
def machine() -> Iterator[Machine]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="piranha-server-")))
        if os.geteuid() == 0:
            shutil.chown(folder, "nobody")
        yield Machine(folder, stack)


async def dead(machine: Machine, process: subprocess.Popen[bytes], kind: str, directives: str = "") -> None:
    machine.stop(process)
    outcome = await check(kind, directives, port=machine.port)
    assert (outcome.ok, outcome.reason) == (False, "connection refused")


async def test_nginx(machine: Machine) -> None:
    nginx = program("nginx")
    (machine.folder / "health").write_text("all is well\n")
    (machine.folder / "nginx.conf").write_text(
        f"daemon off; pid {machine.folder}/pid; error_log {machine.folder}/error;\n"
        f"events {{}}\nhttp {{ access_log off; client_body_temp_path {machine.folder}/b; proxy_temp_path {machine.folder}/p;\n"
        f"fastcgi_temp_path {machine.folder}/f; uwsgi_temp_path {machine.folder}/u; scgi_temp_path {machine.folder}/s;\n"
        f"server {{ listen 127.0.0.1:{machine.port}; root {machine.folder}; location /old {{ return 301 /health; }} }} }}\n"
    )
    process = machine.start(nginx, "-p", str(machine.folder), "-c", str(machine.folder / "nginx.conf"))
    assert (await machine.healthy("http", 'path = /health\nexpect = "is well"', process)).reason == "status 200"
    for directives, reason in (
        ("path = /old\nredirects = 1\nexpect = well", "status 200"),
        ("path = /old", "status 301 Moved Permanently"),
        ("path = /none", "status 404 Not Found"),
        ("path = /health\nmethod = HEAD\nhttp_version = 1.0", "status 200"),
    ):
        assert (await check("http", directives, port=machine.port)).reason == reason
    await dead(machine, process, "http")


async def test_redis(machine: Machine) -> None:
    redis = program("redis-server")
    process = machine.start(
        redis, "--port", str(machine.port), "--bind", "127.0.0.1", "--requirepass", "hush", "--save", ""
    )
    assert (await machine.healthy("redis", "password = hush", process)).reason == "PONG"
    assert (await check("redis", "", port=machine.port)).reason.startswith("PING: NOAUTH")
    wrong = await check("redis", "password = other", port=machine.port)
    assert wrong.reason.startswith("AUTH: WRONGPASS")
    await dead(machine, process, "redis")


async def test_mariadb(machine: Machine) -> None:
    mariadbd = program("mariadbd")
    data, base = machine.folder / "data", Path(mariadbd).parents[1]
    share = base / "share/mysql"
    tables = ("mysql_system_tables.sql", "mysql_performance_tables.sql", "mysql_system_tables_data.sql")
    bootstrap = "create database mysql;\nuse mysql;\n" + "".join((share / name).read_text() for name in tables)
    accounts = "flush privileges;\ncreate user me@'127.0.0.1' identified by 'hush';\n"
    data.mkdir()
    if os.geteuid() == 0:
        shutil.chown(data, "nobody")
    common = (
        mariadbd,
        "--no-defaults",
        f"--basedir={base}",
        f"--datadir={data}",
        f"--lc-messages-dir={share}",
        f"--socket={machine.folder}/sock",
        f"--pid-file={machine.folder}/pid",
    )
    machine.run(*common, "--bootstrap", "--skip-networking", given=bootstrap + accounts)
    process = machine.start(*common, "--bind-address=127.0.0.1", f"--port={machine.port}", "--skip-name-resolve")
    login = "login = me\npassword = hush\n"
    assert (await machine.healthy("mysql", login, process)).reason == "logged in"
    assert (await check("mysql", login + 'query = "select 1"', port=machine.port)).reason == "the query gives rows"
    none = await check("mysql", login + 'query = "select 1 from dual where 1 = 0"', port=machine.port)
    assert none.reason == "query: gives no rows"
    wrong = await check("mysql", "login = me\npassword = other", port=machine.port)
    assert wrong.reason.startswith("error 1045")
    assert (await check("mysql", "", port=machine.port)).reason.startswith("greeted by")
    await dead(machine, process, "mysql")


@pytest.mark.parametrize("method", ["scram-sha-256", "md5", "password"])
async def test_postgresql(machine: Machine, method: str) -> None:
    postgres, initdb = program("postgres"), program("initdb")
    data, secret = machine.folder / "data", machine.folder / "secret"
    secret.write_text("hush\n")
    secret.chmod(0o644)
    machine.run(initdb, "-D", str(data), "-U", "me", "--auth", method, "--pwfile", str(secret), "-E", "UTF8", "-N")
    process = machine.start(
        postgres, "-D", str(data), "-h", "127.0.0.1", "-p", str(machine.port), "-k", str(machine.folder), "-F"
    )
    login = "login = me\npassword = hush\ndatabase = postgres\n"
    assert (await machine.healthy("postgresql", login, process)).reason == "logged in"
    assert (await check("postgresql", login + 'query = "select 1"', port=machine.port)).reason == "the query gives rows"
    none = await check("postgresql", login + 'query = "select 1 where false"', port=machine.port)
    assert none.reason == "query: gives no rows"
    wrong = await check("postgresql", "login = me\npassword = other\ndatabase = postgres", port=machine.port)
    assert wrong.reason.startswith("error 28P01")
    assert (await check("postgresql", "", port=machine.port)).reason == "answered"
    await dead(machine, process, "postgresql", login)
