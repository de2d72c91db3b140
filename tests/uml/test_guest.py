"""The guest itself: what a command leaves, and that nothing else is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.uml.guest import TIMED_OUT, Guest, why_not


@pytest.fixture(autouse=True)
def _guest() -> None:
    if reason := why_not():
        pytest.skip(reason)


def test_a_command_has_ipvs_its_output_its_status_and_one_folder_to_write(tmp_path: Path) -> None:
    shared, other = tmp_path / "shared", tmp_path / "other"
    shared.mkdir()
    other.mkdir()
    script = f"""
        cat
        echo complaint >&2
        ipvsadm -A -t 10.9.0.1:80 -s mh && ipvsadm -Sn >{shared}/table
        echo lost >{other}/file
        exit 7
    """
    done = Guest().run(["bash", "-c", script], timeout_s=60, rw=[shared], stdin=bytes(range(256)))
    assert (done.returncode, done.stdout, done.stderr) == (7, bytes(range(256)), b"complaint\n")
    assert (shared / "table").read_text() == "-A -t 10.9.0.1:80 -s mh\n"
    assert not list(other.iterdir())


def test_a_guest_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    done = Guest().run(["bash", "-c", f"echo begun >{tmp_path}/mark; sleep 600"], timeout_s=15, rw=[tmp_path])
    assert done.returncode == TIMED_OUT
    assert (tmp_path / "mark").read_text() == "begun\n"
