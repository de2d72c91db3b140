"""How the demonstration looks."""

from __future__ import annotations

import io

import click

from piranha.lab.screen import LogView, TerminalView, render, symbol
from piranha.lab.story import Answered, Failed, StopServer, Story

SERVERS = ("web1", "web2")


def story_with(*events: Answered | Failed) -> Story:
    story = Story(SERVERS, in_turn=True, now=0.0)
    for n, event in enumerate(events):
        story.receive(event, n * 0.2)
    return story


def plain(lines: list[str]) -> str:
    return click.unstyle("\n".join(lines))


def test_the_screen_shows_who_answered_how_often_and_what_failed() -> None:
    story = story_with(Answered("web1"), Answered("web2"), Answered("web1"), Failed("connection refused"))
    text = plain(render(story, ["web1", "web2", "web1", None], ["head"], 1.0))
    assert "121x" in text
    assert "connection refused" in text
    counts = {line.split()[0]: line.split()[-1] for line in text.splitlines() if line.startswith("  web")}
    assert counts == {"web1": "2", "web2": "1"}


def test_the_screen_fits_a_terminal() -> None:
    story = story_with(*[Answered(SERVERS[n % 2]) for n in range(500)])
    lines = render(story, ["web1"] * 60, ["head"], 100.0)
    assert len(lines) <= 24
    assert max(len(click.unstyle(line)) for line in lines) <= 100


def test_each_answer_is_one_character() -> None:
    many = tuple(f"web{n}" for n in range(1, 15))
    assert all(len(symbol(many, s)) == 1 for s in (*many, None, "stranger"))


def test_a_log_has_no_colour_and_one_line_for_each_act() -> None:
    out = io.StringIO()
    view = LogView(["head"], out)
    story = Story(SERVERS, in_turn=True, now=0.0)
    for n in range(10):
        event = Answered(SERVERS[n % 2])
        commands = story.receive(event, n * 0.2)
        view.show(story, event, n * 0.2)
    view.announce(commands[0])
    text = out.getvalue()
    assert "\x1b" not in text
    assert text.count("requests are balanced over the web servers: true") == 1
    assert text.splitlines()[-1] == "stopping web1"


def test_a_terminal_is_left_as_it_was_found() -> None:
    out = io.StringIO()
    view = TerminalView(["head"], out)
    view.show(story_with(Answered("web1")), Answered("web1"), 0.0)
    view.announce(StopServer("web1"))
    view.close()
    view.close()
    text = out.getvalue()
    assert text.count("\x1b[?1049h") == text.count("\x1b[?1049l") == 1
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1
