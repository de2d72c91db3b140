"""`piranha top`: the director on the whole screen, once a second."""

from __future__ import annotations

import click

from piranha.base.errors import PiranhaError, UsageError
from piranha.cli.options import reaching
from piranha.cli.top_view import Style, View, keyed, screen
from piranha.client.http import Client


@click.command("top")
@click.option(
    "-d", "--delay", type=click.FloatRange(0.2, 60), default=1.0, show_default=True, help="Seconds between two looks."
)
@reaching
def top_command(client: Client, delay: float) -> None:
    """Roles, services and their rates, live. `q` leaves, `?` says which keys there are."""
    import curses
    import sys

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("piranha top needs a terminal", mend="`piranha status --json` is for programs")
    document = client.get("status")
    try:
        curses.wrapper(lambda window: _run(window, client, delay, document))
    except curses.error as error:
        raise PiranhaError(f"this terminal cannot show it ({error})", mend="set TERM") from None


def _run(window: object, client: Client, delay_s: float, document: object) -> None:
    import curses
    import time

    assert isinstance(window, curses.window)
    styles = _styles()
    curses.curs_set(0)
    view, age_s, asked_at, trouble = View(), 0.0, time.monotonic(), ""
    while not view.is_over:
        height, width = window.getmaxyx()
        window.erase()
        for at, (text, style) in enumerate(screen(document, view, width, height, age_s=age_s, trouble=trouble)):
            # The last cell of the last line cannot be written without scrolling.
            window.insnstr(at, 0, text, width, styles[style])
        window.refresh()
        window.timeout(max(1, round(1000 * min(delay_s, max(0.0, asked_at + delay_s - time.monotonic())))))
        key = window.getch()
        while key != -1:
            view = keyed(view, key)
            window.timeout(0)
            key = window.getch()
        if time.monotonic() - asked_at >= delay_s:
            try:
                document, trouble = client.get("status"), ""
                age_s = 0.0
            except PiranhaError as error:
                age_s += time.monotonic() - asked_at
                trouble = str(error)
            asked_at = time.monotonic()


def _styles() -> dict[Style, int]:
    import curses

    plain = {Style.PLAIN: 0, Style.DIM: curses.A_DIM, Style.HEAD: curses.A_REVERSE}
    if not curses.has_colors():
        return {**plain, Style.GOOD: 0, Style.WARN: curses.A_BOLD, Style.BAD: curses.A_BOLD | curses.A_STANDOUT}
    curses.use_default_colors()
    for number, colour in enumerate((curses.COLOR_GREEN, curses.COLOR_YELLOW, curses.COLOR_RED), 1):
        curses.init_pair(number, colour, -1)
    return {
        **plain,
        Style.GOOD: curses.color_pair(1),
        Style.WARN: curses.color_pair(2),
        Style.BAD: curses.color_pair(3) | curses.A_BOLD,
    }
