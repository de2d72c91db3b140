"""Where the table is found, who may use it, and the programs as they are called."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from piranha.base.lock import FileLock
from piranha.base.paths import Paths
from piranha.ipvsadm import access, program
from piranha.ipvsadm.access import FoundTable, dataplane_choice
from piranha.ipvsadm.table import CannotOpenError
from tests.unit.director_world import World
from tests.unit.ipvsadm.recording import recording

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may work on the table")


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    monkeypatch.setenv("PIRANHA_RUN_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("PIRANHA_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("PIRANHA_CONFIG", str(tmp_path / "lvs.cf"))
    return Paths.from_environment()


def call(*words: str) -> tuple[int, str, str]:
    """What `run` says and returns; output goes where the test runner cannot see it."""
    out, err = io.StringIO(), io.StringIO()
    with redirected(out, err):
        code = program.run("ipvsadm", words)
    return code, out.getvalue(), err.getvalue()


@contextmanager
def redirected(out: io.StringIO, err: io.StringIO) -> Iterator[None]:
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = out, err
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def test_others_than_root_are_told_as_ipvsadm_tells_them(monkeypatch: pytest.MonkeyPatch, paths: Paths) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    commands = recording()["groups"]["listings"]["commands"]
    for recorded in (command for command in commands if command["line"].startswith("@nobody")):
        wanted = recorded["exit"], recorded["stdout"], recorded["stderr"]
        assert call(*recorded["argv"][1:]) == wanted
    assert call("-v")[0] == 0
    assert call("-x")[0] == 255


@as_root
async def test_a_running_lvsd_does_it(tmp_path: Path, paths: Paths) -> None:
    async with World(tmp_path).running() as world:
        with FileLock(paths.lvsd_lock):
            assert await asyncio.to_thread(call, "-A", "-f", "7", "-s", "rr") == (0, "", "")
            assert await asyncio.to_thread(call, "-A", "-f", "7") == (255, "", "Service already exists\n")
            assert await asyncio.to_thread(call, "-A", "-f", "8", "-s", "no") == (
                255,
                "",
                "Scheduler or persistence engine not found\n",
            )
            assert (await asyncio.to_thread(call, "-Sn"))[1] == "-A -t 10.0.0.100:80 -s rr\n-A -f 7 -s rr\n"
            assert await asyncio.to_thread(call, "--set", "7", "8", "9") == (0, "", "")
            assert (await asyncio.to_thread(call, "-L", "--timeout"))[1] == "Timeout (tcp tcpfin udp): 7 8 9\n"
            start = ("--start-daemon", "master", "--mcast-interface", "eth9", "--mcast-group", "224.0.0.99")
            assert await asyncio.to_thread(call, *start) == (0, "", "")
            assert (await asyncio.to_thread(call, "-L", "--daemon"))[1] == (
                "master sync daemon (mcast=eth9, syncid=0, maxlen=1472, group=224.0.0.99, port=8848, ttl=1)\n"
            )
            head = (await asyncio.to_thread(call, "-Lnc"))[1].splitlines()
            assert head[0] == "IPVS connection entries"
        assert len(world.plane.snapshot()) == 2


@as_root
def test_an_lvsd_that_never_answers_is_an_error(monkeypatch: pytest.MonkeyPatch, paths: Paths) -> None:
    monkeypatch.setattr(access, "WAIT_S", 0.1)
    with FileLock(paths.lvsd_lock):
        code, out, err = call("-L")
    assert (code, out) == (2, "")
    assert err.startswith("Can't initialize ipvs: lvsd is not running")


@as_root
def test_reading_where_no_plane_is_loads_none(paths: Paths) -> None:
    code, out, _ = call("-Ln")
    assert code == 0
    assert out.splitlines()[0].startswith("IP Virtual Server version 1.2.1 (size=")
    assert len(out.splitlines()) == 3
    assert call("-Lnc")[1].startswith("IPVS connection entries")
    assert call("-L", "--daemon") == (0, "", "")
    assert call("-Ln", "-f", "1") == (1, "", "No such service\n")
    assert [path.name for path in paths.run.iterdir()] == ["lvsd.lock"]


@as_root
def test_two_at_once_wait_for_each_other(paths: Paths) -> None:
    with FoundTable(paths) as first:
        assert first.snapshot() == ()
        started = subprocess.Popen(
            [sys.executable, "-m", "piranha", "ipvsadm", "-L", "-n"], env=environment(), stdout=subprocess.PIPE
        )
        with pytest.raises(subprocess.TimeoutExpired):
            started.wait(0.5)
    assert started.stdout is not None
    assert started.stdout.read().startswith(b"IP Virtual Server")
    assert started.wait(10) == 0


@as_root
def test_a_lock_that_cannot_be_made_is_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PIRANHA_RUN_DIR", str(tmp_path / "file" / "run"))
    with pytest.raises(CannotOpenError, match="cannot lock"), FoundTable(Paths.from_environment()) as table:
        table.snapshot()


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("dataplane = ipvs\n", "ipvs"),
        ('serial_no = 1\n\t dataplane="ebpf"\n', "ebpf"),
        ("# dataplane = ipvs\n", ""),
        ("mydataplane = ipvs\n", ""),
        ("", ""),
    ],
)
def test_the_choice_of_the_file(tmp_path: Path, text: str, choice: str) -> None:
    (tmp_path / "lvs.cf").write_text(text)
    assert dataplane_choice(tmp_path / "lvs.cf") == choice
    assert dataplane_choice(tmp_path / "none.cf") == ""


@as_root
def test_every_word_reaches_ipvsadm(paths: Paths) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "piranha", "ipvsadm", "-A", "--", "-t", "--help"],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (2, "unexpected argument -t\n")


@as_root
def test_the_name_says_which_program_it_is(tmp_path: Path, paths: Paths) -> None:
    for name in ("ipvsadm", "ipvsadm-save", "ipvsadm-restore"):
        script = tmp_path / name
        script.write_text(f"#!{sys.executable}\nfrom piranha.ipvsadm.program import main\nmain()\n")
        script.chmod(0o755)

    def ran(name: str, *words: str, stdin: str = "") -> tuple[int, str]:
        done = subprocess.run(
            [str(tmp_path / name), *words], env=environment(), input=stdin, capture_output=True, text=True
        )
        return done.returncode, done.stdout + done.stderr

    assert ran("ipvsadm", "-q") == (
        255,
        f"Try `{tmp_path}/ipvsadm -h' or '{tmp_path}/ipvsadm --help' for more information.\n",
    )
    assert ran("ipvsadm-save", "-n") == (0, "")
    assert ran("ipvsadm-save", "-x")[0] == 1
    assert ran("ipvsadm", "-R", stdin="-L --timeout\n-L --timeout") == (
        0,
        2 * "Timeout (tcp tcpfin udp): 900 120 300\n",
    )


@as_root
def test_the_installed_script_is_each_of_the_three(tmp_path: Path, paths: Paths) -> None:
    """As docs/reference/ipvsadm.md tells to link it."""
    script = Path(sys.executable).with_name("piranha-ipvsadm")
    if not script.exists():
        pytest.skip("piranha is not installed beside this Python: no console script")

    def ran(name: str, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        link = tmp_path / "sbin" / name
        link.parent.mkdir(exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(script)
        return subprocess.run([link, *words], env=environment(), input=stdin, capture_output=True, text=True)

    assert ran("ipvsadm", "-v").stdout.startswith("ipvsadm v1.31")
    assert ran("ipvsadm", "-L", "-n").stdout.startswith("IP Virtual Server version")
    assert (ran("ipvsadm-save", "-n").stdout, ran("ipvsadm-save", "-x").returncode) == ("", 1)
    # Comments are for ipvsadm-restore alone.
    assert ran("ipvsadm", "-R", stdin="# a comment\n").returncode != 0
    restored = ran("ipvsadm-restore", stdin="# a comment\n-L --timeout\n")
    assert restored.stdout == "Timeout (tcp tcpfin udp): 900 120 300\n", restored.stderr


def test_a_wrong_word_loads_nothing_heavy() -> None:
    code = (
        "import sys; from piranha.ipvsadm.program import run; run('ipvsadm', ['-x'])\n"
        "print(*[m for m in sys.modules if m.split('.')[0] in ('numpy', 'click', 'starlette', 'asyncio', 'pyroute2')"
        " or m.startswith(('piranha.director', 'piranha.config.parser', 'piranha.dataplane.ebpf'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
