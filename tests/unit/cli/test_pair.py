"""Two directors pair over loopback; each has folders of its own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from piranha.base.errors import PiranhaError
from piranha.base.paths import Paths
from piranha.cli import pair
from piranha.cli.main import run
from piranha.cluster.keys import read_pair_keys
from piranha.cluster.pairing import Outcome, draw_code

CODE = draw_code()


def director(folder: Path) -> Paths:
    return Paths(config=folder / "lvs.cf", run=folder / "run", state=folder / "state", etc=folder / "etc")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


class Waiting:
    """`wait_for_joiner` in a thread, ready when it listens."""

    def __init__(self, paths: Paths, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("piranha.cluster.pairing.draw_code", lambda: CODE)
        self.outcome: Outcome | None = None
        self.error: PiranhaError | None = None
        listening = threading.Event()
        listen: Callable[[int], socket.socket] = pair._listener

        def listener(asked: int) -> socket.socket:
            made = listen(asked)
            listening.set()
            return made

        monkeypatch.setattr(pair, "_listener", listener)

        def work() -> None:
            try:
                self.outcome = pair.wait_for_joiner(paths, port, 30)
            except PiranhaError as error:
                self.error = error

        self.thread = threading.Thread(target=work)
        self.thread.start()
        assert listening.wait(10)

    def end(self) -> None:
        self.thread.join(30)
        assert not self.thread.is_alive()


def test_two_directors_pair_and_change_their_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other, port = director(tmp_path / "a"), director(tmp_path / "b"), free_port()
    for turn in (1, 2):
        waiting = Waiting(one, port, monkeypatch)
        outcome = pair.join(other, "127.0.0.1", port, CODE.lower())
        waiting.end()
        assert waiting.outcome is not None
        assert outcome.key_id == turn
        ours, theirs = read_pair_keys(one.etc), read_pair_keys(other.etc)
        assert ours.keys == theirs.keys
        assert sorted(ours.keys) == list(range(1, turn + 1))
        assert ours.peer.node != theirs.peer.node


def test_three_wrong_codes_end_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other, port = director(tmp_path / "a"), director(tmp_path / "b"), free_port()
    waiting = Waiting(one, port, monkeypatch)
    with socket.create_connection(("127.0.0.1", port)) as stranger:
        stranger.sendall(b"GET / HTTP/1.0\r\n\r\n")
    wrong = next(code for code in iter(draw_code, "") if code != CODE)
    for _ in range(3):
        with pytest.raises(PiranhaError, match="refused the code"):
            pair.join(other, "127.0.0.1", port, wrong)
    waiting.end()
    assert waiting.error is not None
    assert "3 wrong codes" in str(waiting.error)
    assert not (one.etc / "pair.key").exists()
    assert not (other.etc / "pair.key").exists()


def test_a_typing_error_is_found_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(PiranhaError, match="16 letters"):
        pair.join(director(tmp_path), "127.0.0.1", 1, "ABC")


def test_nobody_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(PiranhaError, match="run `piranha pair` there first"):
        pair.join(director(tmp_path), "127.0.0.1", free_port(), CODE)


def test_who_is_paired_is_shown_without_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other, port = director(tmp_path / "a"), director(tmp_path / "b"), free_port()
    waiting = Waiting(one, port, monkeypatch)
    pair.join(other, "127.0.0.1", port, CODE)
    waiting.end()
    capsys.readouterr()
    monkeypatch.setenv("PIRANHA_ETC_DIR", str(one.etc))
    monkeypatch.setenv("PIRANHA_STATE_DIR", str(one.state))
    assert run(["pair", "--show"]) == 0
    shown = capsys.readouterr().out
    assert socket.gethostname()[:32] in shown
    for key in read_pair_keys(one.etc).keys.values():
        assert key.hex() not in shown
