"""`piranha config` as a person and a program use it: text, exit codes, streams."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from piranha.cli.main import run
from piranha.config.names import FixedNames
from piranha.config.parser import parse

FIXTURES = Path(__file__).parents[2] / "fixtures"
LISTING, FILLED = str(FIXTURES / "listing1.cf"), str(FIXTURES / "listing1-filled.cf")


@dataclass(frozen=True, slots=True)
class Answer:
    code: int
    out: str
    err: str


class Caller:
    """Runs a command in this process, with standard input where it is given."""

    def __init__(self, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capture, self._patch = capfd, monkeypatch

    def __call__(self, *arguments: str, given: bytes | None = None) -> Answer:
        if given is not None:
            self._patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        code = run(["config", *arguments])
        sys.stdout.flush()
        return Answer(code, *self._capture.readouterr())


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Caller:
    return Caller(capfd, monkeypatch)


def test_check_prints_as_compilers_do(call: Caller) -> None:
    answer = call("check", "-", given=b"keepalive = 6\ndeadtime = x9\nvirtual a {\n\tschduler = rr\n}\n")
    assert answer.code == 1
    assert "<stdin>:2:12: error: `deadtime` takes a time" in answer.out
    assert "  deadtime = x9\n             ^~\n  = write for example `deadtime = 18`\n" in answer.out
    assert "<stdin>:4:2: error: unknown directive `schduler`\n" in answer.out
    assert "   schduler = rr\n   ^~~~~~~~\n  = did you mean `scheduler`?\n" in answer.out
    assert answer.err == "<stdin> is not usable: 2 errors, 2 warnings\n"
    assert "\x1b" not in answer.out, "no colour into a pipe"


def test_check_exit_codes(call: Caller, tmp_path: Path) -> None:
    assert call("check", LISTING).code == 1
    assert call("check", FILLED).code == 0
    assert call("check", "--strict", FILLED).code == 0
    assert call("check", "--nonsense").code == 2
    assert call("check", "a", "b").code == 2
    missing = call("check", str(tmp_path / "none.cf"))
    assert (missing.code, missing.out) == (1, "")
    assert "cannot read" in missing.err


def test_strict_uses_the_original_s_words(call: Caller) -> None:
    answer = call("check", "--strict", "-", given=b"keepalive = 6 # why\n")
    assert answer.code == 1
    assert "<stdin>:1:15: error: unexpected arguments: " in answer.out
    assert call("check", "-", given=b"keepalive = 6 # why\n").code == 0


def test_check_json(call: Caller) -> None:
    answer = call("check", "--json", LISTING)
    document = json.loads(answer.out)
    assert (answer.code, document["usable"], document["errors"], document["warnings"]) == (1, False, 7, 1)
    assert document["problems"][0] == {
        "severity": "error",
        "file": LISTING,
        "line": 2,
        "column": 10,
        "text": "primary =",
        "message": "`primary` has no value",
        "suggestion": "write `primary = 192.0.2.1`, or remove the line. Public address of the primary director",
        "kind": "missing arguments",
    }


def test_the_configured_file_is_the_default(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIRANHA_CONFIG", FILLED)
    answer = call("check")
    assert (answer.code, answer.err) == (0, f"{FILLED} is usable: 1 warning\n")


def test_a_huge_file_is_refused_at_once(call: Caller, tmp_path: Path) -> None:
    path = tmp_path / "huge.cf"
    with path.open("wb") as file:
        file.truncate(100 * 1024 * 1024)
    answer = call("check", str(path))
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == f"piranha: {path} is longer than 4 MiB: is this an lvs.cf?\n"


def test_nothing_that_a_terminal_would_obey_is_printed(call: Caller) -> None:
    content = b"x\x1b]0;owned\x07 = 1\nkeepalive = \xff\xe2\x80\xae\nprimary = " + b"z" * 5000 + b"\n"
    answer = call("check", "-", given=content)
    assert answer.code == 1
    assert all(letter == "\n" or letter.isprintable() for letter in answer.out)
    assert r"x\x1b]0;owned\x07" in answer.out
    assert r"\xff\u202e" in answer.out
    assert max(len(line) for line in answer.out.split("\n")) < 400, "a long value is shown in part"


def test_show_prints_every_value_and_reads_back(call: Caller) -> None:
    answer = call("show", FILLED)
    assert answer.code == 0
    assert "dataplane = auto\n" in answer.out
    assert "         port = 80\n" in answer.out
    names = FixedNames()
    assert parse(answer.out, names=names).configuration == parse(Path(FILLED).read_text(), names=names).configuration


def test_show_json(call: Caller) -> None:
    document = json.loads(call("show", "--json", FILLED).out)
    assert (document["serial_no"], document["network"], document["keepalive_s"]) == (40, "direct", 6)
    virtual = document["virtuals"][0]
    assert (virtual["protocol"], virtual["address"]) == ("tcp", {"address": "10.0.0.100", "device": "eth0:0"})
    assert [server["address"] for server in virtual["servers"]] == ["10.0.0.11", "10.0.0.12"]


def test_show_and_fmt_explain_a_file_with_errors(call: Caller) -> None:
    for command in ("show", "fmt"):
        answer = call(command, LISTING)
        assert answer.code == 1
        assert ":2:10: error: `primary` has no value" in answer.out


UNTIDY, TIDY = b"keepalive=6 # why\r\nvirtual a{\n}\n", b"# why\nkeepalive = 6\nvirtual a {\n}\n"


def test_fmt_prints_checks_and_compares(call: Caller, tmp_path: Path) -> None:
    path = tmp_path / "lvs.cf"
    path.write_bytes(UNTIDY)
    assert call("fmt", str(path)).out.encode() == TIDY
    check = call("fmt", "--check", str(path))
    assert (check.code, check.out) == (1, "")
    difference = call("fmt", "--diff", str(path))
    assert difference.code == 1
    assert f"--- {path}\n+++ {path} (formatted)\n" in difference.out
    assert "+keepalive = 6\n" in difference.out
    assert path.read_bytes() == UNTIDY


def test_fmt_in_place(call: Caller, tmp_path: Path) -> None:
    path = tmp_path / "lvs.cf"
    path.write_bytes(UNTIDY)
    assert call("fmt", "--in-place", str(path)).code == 0
    assert path.read_bytes() == TIDY
    inode = path.stat().st_ino
    assert call("fmt", "--in-place", str(path)).code == 0
    assert path.stat().st_ino == inode, "a formatted file is not written again"
    assert call("fmt", "--check", str(path)).code == call("fmt", "--diff", str(path)).code == 0
    assert call("fmt", "--in-place", "--diff", str(path)).code == 2
    assert call("fmt", "--in-place", "-", given=b"").code == 2


def test_bytes_that_are_no_text_come_out_as_they_were(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = tmp_path / "lvs.cf"
    path.write_bytes(b"# gr\xfcn\nkeepalive = 6\n")
    assert run(["config", "fmt", str(path)]) == 0
    sys.stdout.flush()
    assert capfdbinary.readouterr().out == path.read_bytes()
