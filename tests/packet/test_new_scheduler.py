"""A new scheduler is two files: those of `docs/extend/scheduler.md` are put into a copy of the tree, built, and tested."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / "docs" / "extend" / "scheduler.md"
COPIED = ("bpf", "src", "tools", "tests/__init__.py", "tests/packet/__init__.py", "tests/packet/bench.py",
          "tests/packet/conftest.py", "pyproject.toml")  # fmt: skip
NAME = "oldest"


def blocks() -> list[str]:
    """The page's three files: kernel half, user-space half, test."""
    found: list[str] = re.findall(r"^```(?:c|python)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return found


def run(*command: str, at: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(at / "src")}
    done = subprocess.run(command, cwd=at, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_scheduler_of_the_page_works_without_a_change_of_the_core(tmp_path: Path) -> None:
    for name in COPIED:
        source, target = PROJECT / name, tmp_path / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.o", ".mypy_cache"))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    kernel_half, user_half, test = blocks()
    (tmp_path / "bpf" / "sched" / f"{NAME}.h").write_text(kernel_half)
    (tmp_path / "src/piranha/dataplane/ebpf/schedulers" / f"{NAME}.py").write_text(user_half)
    (tmp_path / "tests" / "packet" / f"test_{NAME}.py").write_text(test)

    run(sys.executable, "tools/build_bpf.py", at=tmp_path)
    report = run(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"tests/packet/test_{NAME}.py", at=tmp_path)
    assert "2 passed" in report, report  # one for each hook
