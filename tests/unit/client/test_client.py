"""The client against sockets that are missing, dead, slow, broken or strange."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from piranha.base.errors import ExitCode, UnreachableError
from piranha.client.http import Client


@contextmanager
def server(path: Path, answer: bytes | None) -> Iterator[None]:
    """Answers one request with `answer`, or never."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        done = threading.Event()

        def work() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(65536)
                if answer is None:
                    done.wait(5)
                else:
                    peer.sendall(answer)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def test_a_missing_socket_says_how_to_start_lvsd(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError) as error:
        Client(tmp_path / "none.sock").get("status")
    assert str(error.value) == "lvsd is not running: start it with `piranha lvsd`"
    assert error.value.exit_code is ExitCode.UNREACHABLE


def test_a_socket_that_nobody_listens_on_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with pytest.raises(UnreachableError, match="is not running"):
        Client(path).get("status")


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (None, r"did not answer within 0\.2 s"),
        (b"", "broke off"),
        (b"nonsense\r\n\r\n", "broke off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}", "broke off"),
        (b"HTTP/1.1 502 Bad\r\nContent-Length: 2\r\n\r\nno", r"no JSON \(HTTP 502\)"),
    ],
    ids=["silent", "closed", "no HTTP", "cut short", "no JSON"],
)
def test_a_broken_lvsd_is_one_sentence_in_bounded_time(tmp_path: Path, answer: bytes | None, complaint: str) -> None:
    path = tmp_path / "api.sock"
    with server(path, answer), pytest.raises(UnreachableError, match=complaint):
        Client(path, timeout_s=0.2).get("status")
