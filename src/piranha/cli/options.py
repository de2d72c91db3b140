"""Options that many commands share."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from piranha.base.paths import Paths
from piranha.cli.output import set_colour

F = TypeVar("F", bound=Callable[..., Any])


def reaching(command: F) -> F:
    """`--socket`, `--run-dir` and `--no-color`; the command gets a `client`."""

    @click.option("--socket", "socket_path", type=click.Path(path_type=Path), help="API socket of lvsd.")
    @click.option("--run-dir", type=click.Path(path_type=Path), help="Run directory of lvsd (PIRANHA_RUN_DIR).")
    @click.option("--no-color", is_flag=True, help="Plain text; NO_COLOR does the same.")
    @functools.wraps(command)
    def wrapped(socket_path: Path | None, run_dir: Path | None, no_color: bool, **others: Any) -> Any:
        # Commands that work on the data plane directly do not wait for an HTTP client.
        from piranha.client.http import Client

        set_colour(no_colour=no_color)
        set_run_dir(run_dir)
        return command(client=Client(socket_path or Paths.from_environment().api_socket), **others)

    return wrapped  # type: ignore[return-value]


def json_option(command: F) -> F:
    """`--json`: the API's document instead of a text for people."""
    return click.option("--json", "as_json", is_flag=True, help="The API's document as JSON.")(command)


def set_run_dir(run_dir: Path | None) -> None:
    """Have everything in this process, and its children, find `run_dir`."""
    if run_dir is not None:
        os.environ["PIRANHA_RUN_DIR"] = str(run_dir)
