"""active_cmd and inactive_cmd: no shell, in order, bounded in time and output."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from piranha.pulse.command_runner import OUTPUT_BYTES, CommandRunner, Outcome

PATIENCE_S = 30


@pytest.fixture
def runner() -> Iterator[CommandRunner]:
    runner = CommandRunner()
    yield runner
    runner.close()


def script(folder: Path, text: str, name: str = "script.py") -> str:
    path = folder / name
    path.write_text(text)
    return f"{sys.executable} {path}"


def outcomes(runner: CommandRunner, count: int, now_ns: int = 0) -> list[Outcome]:
    """Serve the runner as a poll loop does, at a clock that stands still."""
    found: list[Outcome] = []
    deadline = time.monotonic() + PATIENCE_S
    while len(found) < count:
        assert time.monotonic() < deadline
        select.select(runner.filenos(), [], [], 1)
        found += runner.read(now_ns)
    return found


def test_words_are_split_at_blanks_and_seen_by_no_shell(runner: CommandRunner, tmp_path: Path) -> None:
    command = script(tmp_path, "import sys; print(sys.argv[1:])") + "  a   $HOME;\"b c\"  'd'"
    assert runner.start("active", command, 0) == []
    (done,) = outcomes(runner, 1)
    assert done == Outcome(name="active", command=command, trouble="", output=str(["a", '$HOME;"b', 'c"', "'d'"]))
    assert not runner.busy
    assert runner.filenos() == ()


def test_failures_are_told(runner: CommandRunner, tmp_path: Path) -> None:
    runner.start("active", script(tmp_path, "print('no such'); raise SystemExit(3)"), 0)
    (done,) = outcomes(runner, 1)
    assert (done.trouble, done.output) == ("it ended with 3", "no such")
    (refused,) = runner.start("active", "/no/such/program now", 0)
    assert refused.trouble == "it cannot be started: No such file or directory"
    assert runner.start("active", "  ", 0) == []
    (odd,) = runner.start("active", "a\0b", 0)
    assert "cannot be started" in odd.trouble


def test_they_run_one_after_another_and_the_last_word_of_a_name_counts(runner: CommandRunner, tmp_path: Path) -> None:
    log = tmp_path / "log"
    wait = script(tmp_path, f"import sys; sys.stdin.read(); open({str(log)!r}, 'a').write(sys.argv[1])")
    runner.start("active", f"{wait} 1", 0)
    for name, word in (("inactive", "2"), ("active", "3"), ("inactive", "4")):
        assert runner.start(name, f"{wait} {word}", 0) == []
    assert [done.name for done in outcomes(runner, 3)] == ["active", "active", "inactive"]
    assert log.read_text() == "134"


def test_output_is_bounded(runner: CommandRunner, tmp_path: Path) -> None:
    runner.start("active", script(tmp_path, "print('x' * 1_000_000)"), 0)
    (done,) = outcomes(runner, 1)
    assert done.trouble == ""
    assert done.output == "x" * OUTPUT_BYTES + " [more was cut off]"


STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pid = os.fork()
os.write(1, b"%d " % pid)
time.sleep(3600)
"""


def test_too_long_is_stopped_with_all_its_children(runner: CommandRunner, tmp_path: Path) -> None:
    """F14: it ignores SIGTERM and has forked."""
    runner._limit_ns = 10
    runner.start("active", script(tmp_path, STUBBORN), 0)
    running = runner._running
    assert running is not None
    group = running.process.pid
    deadline = time.monotonic() + PATIENCE_S
    while len(running.output.split()) < 2:
        assert time.monotonic() < deadline
        select.select(runner.filenos(), [], [], 1)
        assert runner.read(0) == []
    assert runner.due_ns() == 10
    assert runner.read(10) == []  # SIGTERM
    assert runner.read(11) == []
    due = runner.due_ns()
    assert due is not None
    runner.read(due)  # SIGKILL
    (done,) = outcomes(runner, 1, due)
    assert done.trouble == "it ran longer than 1e-08 s and was stopped"
    child = max(int(word) for word in done.output.split())
    while _alive(group) or _alive(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_service_left_in_the_background_lives_on(runner: CommandRunner, tmp_path: Path) -> None:
    text = "import os, time\npid = os.fork()\nprint(pid, flush=True) if pid else time.sleep(3600)"
    runner.start("active", script(tmp_path, text), 0)
    (done,) = outcomes(runner, 1)
    child = int(done.output)
    assert _alive(child)
    os.kill(child, 9)
