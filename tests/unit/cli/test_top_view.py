"""The screen of `piranha top`: fits whatever the terminal is, and keys do what the help says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.director_world import LISTING, World

from piranha.cli.top_view import Style, View, chosen, keyed, screen

DOWN, ESCAPE, ENTER, BACKSPACE = 258, 27, 10, 127


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The real document of a director with three services."""
    block = LISTING[LISTING.index("virtual") :]
    text = LISTING + "".join(
        block.replace("virtual HTTP", f"virtual {name}").replace("port = 80", f"port = {port}")
        for name, port in (("mail", 25), ("dns", 53))
    )
    world = World(tmp_path_factory.mktemp("top"), text)
    world.director.start()
    document: Any = world.director.status()
    document["services"][1]["connections_per_s"] = 12_345.0
    document["services"][2]["state"] = "up"
    return document


def press(view: View, *keys: str | int) -> View:
    for key in keys:
        for one in [key] if isinstance(key, int) else map(ord, key):
            view = keyed(view, one)
    return view


def names(document: Any, view: View) -> list[str]:
    return [service["name"] for service in chosen(document["services"], view)]


def test_sorting_filtering_and_problems(document: Any) -> None:
    assert names(document, View()) == ["HTTP", "mail", "dns"]
    assert names(document, press(View(), "s")) == ["HTTP", "dns", "mail"]
    assert names(document, press(View(), "ssss"))[0] == "mail", "the busiest first"
    assert names(document, press(View(), "r")) == ["dns", "mail", "HTTP"]
    assert names(document, press(View(), "/MA", ENTER)) == ["mail"]
    assert names(document, press(View(), "/:25")) == ["mail"]
    assert names(document, press(View(), "/xyq", BACKSPACE, ESCAPE)) == ["HTTP", "mail", "dns"]
    assert names(document, press(View(), "p")) == ["HTTP", "mail"]
    assert press(View(), "s", "S") == View()


def test_letters_belong_to_the_filter_while_it_is_typed() -> None:
    view = press(View(), "/q")
    assert (view.is_over, view.filter) == (False, "q")
    assert press(view, ENTER, "q").is_over
    assert press(View(), "/" + "x" * 500).filter == "x" * 60


def test_help_is_always_there(document: Any) -> None:
    view = press(View(), "/web", ENTER, "?")
    assert any("leave" in text for text, _ in screen(document, view, 80, 24))
    assert press(view, "?").filter == "web"


def test_old_news_are_called_old(document: Any) -> None:
    lines = screen(document, View(), 80, 24, age_s=5, trouble="lvsd is not running")
    assert lines[0] == ("no news for 5s: lvsd is not running", Style.BAD)


def test_names_do_nothing_to_the_terminal(document: Any) -> None:
    evil = {**document, "services": [{**document["services"][0], "name": "\x1b[2Jx"}], "problems": ["\x1b]0;x\x07"]}
    assert not any("\x1b" in text or "\x07" in text for text, _ in screen(evil, View(), 200, 50))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.one_of(st.sampled_from("qsSrp/?"), st.sampled_from((DOWN, ESCAPE, 338, 262, 410, 13)), st.text(max_size=3))
    ),
    st.integers(1, 200),
    st.integers(1, 60),
)
def test_any_keys_and_any_terminal(document: Any, keys: list[str | int], width: int, height: int) -> None:
    view = press(View(), *keys)
    lines = screen(document, view, width, height)
    assert len(lines) <= height
    assert all(len(text) <= width for text, _ in lines)


def test_it_runs_in_a_terminal_and_leaves_it(tmp_path: Path) -> None:
    import asyncio
    import os
    import pty
    import select
    import subprocess
    import sys

    async def play() -> tuple[int, bytes]:
        async with World(tmp_path).running() as world:
            return await asyncio.to_thread(run, str(world.socket))

    def run(socket: str) -> tuple[int, bytes]:
        ours, theirs = pty.openpty()
        environment = {
            **os.environ,
            "TERM": "xterm-256color",
            "COLUMNS": "120",
            "LINES": "30",
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "piranha", "top", "--socket", socket],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
            start_new_session=True,
        )
        os.close(theirs)
        shown = b""
        while b"ADDRESS" not in shown:
            assert select.select([ours], [], [], 20)[0], shown
            shown += os.read(ours, 65536)
        os.write(ours, b"q")
        try:
            while chunk := os.read(ours, 65536):
                shown += chunk
        except OSError:
            pass
        os.close(ours)
        return process.wait(20), shown

    status, shown = asyncio.run(play())
    assert status == 0
    assert b"HTTP" in shown
    assert b"\x1b[?1049l" in shown, "the screen from before is back"
