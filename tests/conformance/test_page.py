"""The page of compatibility says what the suite says; `make check` sees when it does not."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "generate_compatibility.py"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_compatibility", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_page_that_tells_something_else_is_noticed(tool: ModuleType) -> None:
    page = tool.TARGET.read_text()
    before = tool.stale(page)
    rows = page.splitlines(keepends=True)
    (first,) = (line for line in rows if line.startswith("| rr |"))
    for changed in (first.replace("cyclic", "at random"), first.replace("| rr |", "| gone |"), ""):
        found = tool.stale(page.replace(first, changed))
        assert "scenario rr has no row of its words" in found
    assert "there is no scenario gone any more" in tool.stale(page.replace("| rr |", "| gone |"))
    unexplained = page.replace(first, first.replace("| same |", "| differs, unexplained |"))
    assert set(tool.stale(unexplained)) - set(before) == {"scenario rr differs, and nobody says why"}
    assert any("recorded from Linux" in line for line in tool.stale(page.replace("(Linux ", "(Linux 1")))
