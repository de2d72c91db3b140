"""How the demonstration looks: a screen that is drawn anew for a terminal, a plain log for everything else."""

from __future__ import annotations

import sys
from collections import deque
from typing import TextIO

import click

from piranha.lab.story import (
    TITLES,
    Act,
    Answered,
    Command,
    Event,
    Finished,
    OpenDownloads,
    PowerOff,
    PowerOn,
    StartServer,
    StopServer,
    Story,
)

_COLOURS = ("green", "cyan", "yellow", "magenta", "blue", "bright_green", "bright_cyan", "bright_yellow")
_STRIP = 60
_BAR = 40
_LOG_INTERVAL_S = 5.0


def colour(servers: tuple[str, ...], server: str | None) -> str:
    """Each server keeps its colour; red is for requests without an answer."""
    if server is None or server not in servers:
        return "red"
    return _COLOURS[servers.index(server) % len(_COLOURS)]


def symbol(servers: tuple[str, ...], server: str | None) -> str:
    """One character an answer: the server's number, or `x`."""
    if server is None:
        return "x"
    return str((servers.index(server) + 1) % 10) if server in servers else "?"


def act_line(finished: Finished) -> str:
    """One line about an act that is over."""
    noticed = f", noticed after {finished.noticed_s:.1f} s" if finished.noticed_s is not None else ""
    verdict = "true" if finished.came_true else "DID NOT COME TRUE"
    return f"{TITLES[finished.act]}: {verdict} ({finished.took_s:.1f} s{noticed}; {finished.why})"


def deed(command: Command) -> str:
    """What is about to be done."""
    match command:
        case StopServer(server):
            return f"stopping {server}"
        case StartServer(server):
            return f"starting {server}"
        case OpenDownloads():
            return "opening downloads"
        case PowerOff(director):
            return f"cutting the power of {director}"
        case PowerOn(director):
            return f"booting {director}"
        case _:
            return f"switching to {command.director}"


def render(story: Story, recent: list[str | None], head: list[str], now: float) -> list[str]:
    """The screen as styled lines."""
    lines = [click.style("Piranha lab", bold=True), *head, ""]
    top = max([*story.counts.values(), story.failures, 1])
    rows: list[tuple[str, str | None, int]] = [(s, s, story.counts[s]) for s in story.servers]
    if story.failures:
        rows.append(("no answer", None, story.failures))
    for label, server, count in rows:
        bar = "█" * max(1 if count else 0, round(_BAR * count / top))
        lines.append(f"  {label:<10}{click.style(f'{bar:<{_BAR}}', fg=colour(story.servers, server))} {count:>6}")
    strip = "".join(click.style(symbol(story.servers, s), fg=colour(story.servers, s), bold=s is None) for s in recent)
    lines += ["", f"  who answered  {strip}"]
    if story.failures:
        lines.append(f"  last failure  {story.last_failure}")
    if look := story.look:
        active = " and ".join(look.active) or "nobody"
        downloads = f"   downloads {look.downloads} open, {len(look.broken)} broken" if story.downloads_are_open else ""
        gap = f"   without service {look.gap_ms:.0f} ms" if story.downloads_are_open else ""
        lines.append(f"  active        {active}{downloads}{gap}")
    lines.append("")
    done = {finished.act: finished for finished in story.finished}
    for act in story.acts:
        title = TITLES[act]
        if finished := done.get(act):
            mark = click.style("✓", fg="green") if finished.came_true else click.style("✗", fg="red")
            noticed = f", noticed after {finished.noticed_s:.1f} s" if finished.noticed_s is not None else ""
            lines.append(f"  {mark} {title} ({finished.took_s:.1f} s{noticed})")
            if act in (Act.TAKEOVER, Act.COMEBACK, Act.SWITCH):
                lines.append(click.style(f"      {finished.why.partition(';')[0]}", dim=True))
        elif act is story.act:
            lines.append(
                f"  {click.style('▶', fg='yellow')} {title} {click.style(f'{story.in_act_s(now):.0f} s', dim=True)}"
            )
        else:
            lines.append(click.style(f"    {title}", dim=True))
    if story.act is Act.DONE:
        lines += ["", "  the story is over; requests go on until Ctrl-C"]
    return lines


class TerminalView:
    """Draws on the terminal's other screen, so that what was there before comes back; `close` prints how it ended."""

    def __init__(self, head: list[str], out: TextIO | None = None) -> None:
        self._head = head
        self._out = out or sys.stdout
        self._recent: deque[str | None] = deque(maxlen=_STRIP)
        self._open = False

    def show(self, story: Story, event: Event, now: float) -> None:
        self._recent.append(event.server if isinstance(event, Answered) else None)
        if not self._open:
            self._out.write("\x1b[?1049h\x1b[?25l")
            self._open = True
        lines = render(story, list(self._recent), self._head, now)
        self._out.write("\x1b[H" + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J")
        self._out.flush()

    def announce(self, command: Command) -> None:
        self._out.write(f"\n  {deed(command)} ...")
        self._out.flush()

    def close(self) -> None:
        if self._open:
            self._out.write("\x1b[?25h\x1b[?1049l")
            self._out.flush()
            self._open = False


class LogView:
    """Writes a line for every change and one every few seconds, without colour."""

    def __init__(self, head: list[str], out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._strip: list[str] = []
        self._told = 0
        self._logged_at: float | None = None
        for line in head:
            self._line(line)

    def show(self, story: Story, event: Event, now: float) -> None:
        server = event.server if isinstance(event, Answered) else None
        self._strip.append(symbol(story.servers, server))
        if self._logged_at is None:
            self._logged_at = now
            self._line(f"first answer: {server or f'none ({story.last_failure})'}")
        if now - self._logged_at >= _LOG_INTERVAL_S or len(story.finished) > self._told:
            self._logged_at = now
            counts = "  ".join(f"{s} {story.counts[s]}" for s in story.servers)
            self._line(f"{counts}  no answer {story.failures}   {''.join(self._strip)[-_STRIP:]}")
            self._strip.clear()
        for finished in story.finished[self._told :]:
            self._line(act_line(finished))
        self._told = len(story.finished)

    def announce(self, command: Command) -> None:
        self._line(deed(command))

    def close(self) -> None:
        self._out.flush()

    def _line(self, text: str) -> None:
        self._out.write(text + "\n")
        self._out.flush()
