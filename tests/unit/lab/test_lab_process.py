"""Processes that are found again by id and start time."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from piranha.lab.process import ProcessBook, Tracked, end, python_environment, start_ticks


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def tracked(process: subprocess.Popen[bytes]) -> Tracked:
    ticks = start_ticks(process.pid)
    assert ticks is not None
    return Tracked(pid=process.pid, start_ticks=ticks)


def test_a_running_process_has_a_start_time_and_a_dead_one_none(sleeper: subprocess.Popen[bytes]) -> None:
    found = tracked(sleeper)
    assert found.is_running()
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert not found.is_running()  # a zombie is not running


def test_a_process_is_ended(sleeper: subprocess.Popen[bytes]) -> None:
    found = tracked(sleeper)
    assert end(found)
    assert not found.is_running()
    assert end(found) is False


def test_a_foreign_process_with_a_reused_id_is_left_alone(sleeper: subprocess.Popen[bytes]) -> None:
    other = Tracked(pid=sleeper.pid, start_ticks=tracked(sleeper).start_ticks - 1)
    assert end(other) is False
    assert sleeper.poll() is None


def test_one_that_ignores_sigterm_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("piranha.lab.process.TERM_TIMEOUT_S", 0.2)
    process = subprocess.Popen(
        ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    assert end(tracked(process))
    process.stdout.close()


def test_the_book_forgets_what_does_not_run_and_survives_rubbish(tmp_path: Path) -> None:
    book = ProcessBook(tmp_path)
    assert book.find("web1") is None
    (tmp_path / "web1.json").write_text("{half a rec")
    assert book.find("web1") is None
    (tmp_path / "web1.json").write_text('{"pid": 1, "start_ticks": -5}')
    assert book.find("web1") is None
    assert book.names() == ["web1"]
    assert book.stop("web1") is False
    assert book.names() == []


def test_children_find_this_very_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "src:/somewhere")
    first, *others = python_environment()["PYTHONPATH"].split(":")
    assert (Path(first) / "piranha" / "__init__.py").exists()
    assert others == ["/somewhere"]
