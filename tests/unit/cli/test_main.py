"""The group: exit codes, one line of error, lazy imports."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

import piranha
from piranha.base.errors import PiranhaError, UnreachableError, UsageError
from piranha.cli import main as main_module
from piranha.cli.main import COMMANDS, run


def command_that(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    @click.command("status")
    def failing() -> None:
        raise error

    monkeypatch.setattr(main_module.LazyGroup, "get_command", lambda self, ctx, name: failing)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (PiranhaError("it broke", mend="mend it"), 1, "piranha: it broke: mend it\n"),
        (UsageError("not so"), 2, "piranha: not so\n"),
        (UnreachableError("nobody there"), 3, "piranha: nobody there\n"),
        (KeyboardInterrupt(), 130, "piranha: interrupted\n"),
        (click.ClickException("refused"), 1, "Error: refused\n"),
    ],
)
def test_errors_are_one_line_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, said: str
) -> None:
    command_that(monkeypatch, error)
    assert run(["status"]) == code
    out, err = capsys.readouterr()
    assert (out, err.removeprefix("\n")) == ("", said)


@pytest.mark.parametrize("words", [["nonsense"], ["status", "--nonsense"], ["connections", "--port", "0"], []])
def test_wrong_words_are_exit_code_two(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) == 2
    assert "Usage: piranha" in capsys.readouterr().err


def test_help_lists_every_command_and_imports_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    out = capsys.readouterr().out
    for name, (_, line) in COMMANDS.items():
        assert name in out
        assert line.split(".")[0][:30] in out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_exists_and_helps(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = COMMANDS[name][0].partition(":")[0]
    pytest.importorskip(module, reason=f"{module} is not there yet")
    assert run([name, "--help"]) == 0
    assert f"Usage: piranha {name}" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["version"]) == 0
    assert capsys.readouterr().out == f"{piranha.__version__}\n"


def test_a_reading_command_loads_nothing_heavy() -> None:
    """`piranha status` has 150 ms; numpy, the director or the parser alone would take them."""
    program = (
        "import sys; from piranha.cli.main import run; run(['status', '--socket', '/nowhere'])\n"
        "print(*[m for m in sys.modules if m.split('.')[0] in ('numpy', 'uvicorn', 'starlette', 'asyncio', 'pyroute2')"
        " or m.startswith(('piranha.director', 'piranha.config', 'piranha.dataplane'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout.strip() == ""


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    program = f"{sys.executable} -m piranha connections --help | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", program], env=environment(), capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stderr == ""
    assert done.stdout.strip() == "0"


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
