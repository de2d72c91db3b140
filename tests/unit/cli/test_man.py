"""Manual pages: one for every command, from the same text as `--help`, and nothing in them that roff obeys by accident."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from piranha.cli.main import COMMANDS

TOOL: dict[str, Any] = runpy.run_path(str(Path(__file__).parents[3] / "tools" / "generate_man.py"))
REQUESTS = {"TH", "SH", "PP", "TP", "B"}


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    made: dict[str, str] = TOOL["pages"]()
    return made


def test_every_command_has_a_page(pages: dict[str, str]) -> None:
    assert {f"piranha-{name}.1" for name in COMMANDS} | {"piranha.1", "piranha-config-apply.1"} <= pages.keys()
    page = pages["piranha-config-apply.1"]
    assert "\\-\\-dry\\-run" in page
    assert "Only say what it would change." in page


def test_lines_are_requests_of_man_or_text(pages: dict[str, str]) -> None:
    for name, page in pages.items():
        for line in page.splitlines():
            request = re.match(r"[.'](\w*)", line)
            assert request is None or request[1] in REQUESTS, f"{name}: {line}"


def test_text_that_looks_like_roff_is_text() -> None:
    assert TOOL["_roff"](".TH \\fB -x") == "\\&.TH \\efB \\-x"
