"""ipvsadm: a call on a small table, 5,000 services of 4 servers restored, and Debian's ipvsadm on the same table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from statistics import median

from tests.uml.guest import Guest, why_not
from tools.build_bpf import ROOT

from bench.bench import Bench
from bench.inside_ipvsadm import timed
from bench.report import Goal, Row
from bench.world import Unverified

_SERVICES, _SERVERS = 5_000, 4
_LINES = _SERVICES * (1 + _SERVERS)
_ROUNDS = 5
_RESTORES = 3
_PATIENCE_S = 60.0
_GUEST_S = 600.0
_PROGRAM = [sys.executable, "-m", "piranha"]


def run(bench: Bench) -> Iterator[Row]:
    bench.close_world()
    with _director() as folder:
        yield from _alone(folder)
        with _lvsd(folder):
            yield _restored("ipvsadm -R through lvsd")
            yield _listed("ipvsadm -L -n of them through lvsd")
    if bench.effort.whole:
        yield from _beside_debian()


def _alone(folder: Path) -> Iterator[Row]:
    """Without lvsd, on the tables in the kernel."""
    _ipvsadm("-R", given=b"-A -t 10.9.0.1:80 -s wrr\n-a -t 10.9.0.1:80 -r 10.64.0.1:80 -m\n")
    took = [timed([*_PROGRAM, "ipvsadm", "-L", "-n"])[0] for _ in range(_ROUNDS)]
    floor = [timed([sys.executable, "-c", "import numpy"])[0] for _ in range(_ROUNDS)]
    yield Row(
        case="ipvsadm -L -n, one service; python with numpy",
        unit="s",
        ours=median(took),
        peer=median(floor),
        goal=Goal(most=0.3),
        detail={"rounds": took, "python_and_numpy": floor},
    )
    yield _restored("ipvsadm -R of 5,000 services x 4")
    yield _listed("ipvsadm -L -n of them")


def _restored(case: str) -> Row:
    """From the second time on the servers of the first are still remembered, which must not cost more."""
    took = []
    for _ in range(_RESTORES):
        _ipvsadm("-C")
        took.append(_ipvsadm("-R", given=_table())[0])
        if _ipvsadm("-S", "-n")[1].count(b"\n") != _LINES:
            raise Unverified(f"{case}: the table is not what was restored")
    return Row(case=case, unit="s", ours=median(took), goal=Goal(most=5), detail={"rounds": took})


def _listed(case: str) -> Row:
    took = []
    for _ in range(_ROUNDS):
        seconds, said = _ipvsadm("-L", "-n")
        took.append(seconds)
        lines = said.count(b"\n")
        if lines != _LINES + 3:
            raise Unverified(f"{case}: {lines} lines")
    return Row(case=case, unit="s", ours=median(took), detail={"rounds": took})


def _beside_debian() -> Iterator[Row]:
    """In the user-mode kernel, over the kernel's IPVS."""
    if reason := why_not():
        yield Row(case="ipvsadm beside Debian's", failure=reason)
        return
    with tempfile.TemporaryDirectory(prefix="piranha-bench-") as name:
        folder = Path(name)
        (folder / "lvs.cf").write_text("dataplane = ipvs\n")
        with _environment(folder), _working_directory(ROOT):
            done = Guest().run(
                [sys.executable, "-m", "bench.inside_ipvsadm"], timeout_s=_GUEST_S, rw=[folder], stdin=_table()
            )
    found = json.loads(done.check().stdout)
    if not found["same"] or found["lines"] < _LINES:
        raise Unverified("the two programs do not print the same")
    goals = {"-L -n": Goal(most=1.5, figure="ratio"), "-S -n": Goal(most=1.5, figure="ratio"), "-R": None}
    for call, goal in goals.items():
        seconds = found["seconds"][call]
        # The least of the rounds: whatever else this machine does only ever adds.
        yield Row(
            case=f"ipvsadm {call} over IPVS; Debian's",
            unit="s",
            ours=min(seconds["ours"]),
            peer=min(seconds["peer"]),
            goal=goal,
            detail=seconds,
        )


def _table() -> bytes:
    lines = []
    for number in range(_SERVICES):
        service = f"-t {ip_address('10.9.0.1') + number}:80"
        lines.append(f"-A {service} -s wrr")
        lines += [
            f"-a {service} -r {ip_address('10.64.0.1') + number * _SERVERS + place}:80 -g -w 1"
            for place in range(_SERVERS)
        ]
    return ("\n".join(lines) + "\n").encode()


def _ipvsadm(*words: str, given: bytes = b"") -> tuple[float, bytes]:
    return timed([*_PROGRAM, "ipvsadm", *words], given)


@contextmanager
def _director() -> Iterator[Path]:
    """A run directory of its own; what was loaded there is taken out again."""
    with tempfile.TemporaryDirectory(prefix="piranha-bench-") as name, _environment(Path(name)):
        (Path(name) / "lvs.cf").write_text("serial_no = 1\nprimary = 10.1.0.1\nservice = lvs\nnetwork = direct\n")
        try:
            yield Path(name)
        finally:
            subprocess.run([*_PROGRAM, "unload"], check=True, stderr=subprocess.DEVNULL)


@contextmanager
def _lvsd(folder: Path) -> Iterator[None]:
    log = folder / "log"
    with log.open("wb") as sink:
        daemon = subprocess.Popen([*_PROGRAM, "lvsd"], stderr=sink)
    try:
        until = time.monotonic() + _PATIENCE_S
        while not (folder / "run" / "api.sock").exists() or b"started version" not in log.read_bytes():
            if daemon.poll() is not None or time.monotonic() > until:
                raise Unverified(f"lvsd did not start: {log.read_text()[-500:]}")
            time.sleep(0.05)
        yield
    finally:
        daemon.terminate()
        daemon.wait(_PATIENCE_S)


@contextmanager
def _environment(folder: Path) -> Iterator[None]:
    ours = {
        "PIRANHA_RUN_DIR": str(folder / "run"),
        "PIRANHA_STATE_DIR": str(folder / "state"),
        "PIRANHA_CONFIG": str(folder / "lvs.cf"),
        "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
    }
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _working_directory(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
