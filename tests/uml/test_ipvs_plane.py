"""The IPVS plane against the kernel's own IPVS: one guest runs `inside_ipvs_plane.py` as a whole."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.uml.guest import PROJECT, Guest, why_not

INSIDE = Path(__file__).with_name("inside_ipvs_plane.py")
TIMEOUT_S = 300
FEWEST_TESTS = 80


def test_the_plane_agrees_with_the_kernel_and_ipvsadm(monkeypatch: pytest.MonkeyPatch) -> None:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    monkeypatch.chdir(PROJECT)
    monkeypatch.setenv("PYTHONPATH", f"{PROJECT / 'src'}:{PROJECT}")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--color=no", str(INSIDE)]
    done = Guest().run(command, timeout_s=TIMEOUT_S)
    said = done.stdout.decode(errors="replace")
    assert done.returncode == 0, f"{said}\n{done.stderr.decode(errors='replace')[-2000:]}\n{done.console[-1000:]}"
    passed = re.search(r"^(\d+) passed in", said, re.MULTILINE)  # nothing skipped, nothing else
    assert passed, said
    assert int(passed[1]) >= FEWEST_TESTS
