"""The bench of takeovers: what it counts and what it prints."""

from __future__ import annotations

import socket
import threading

import pytest
from bench.failover.__main__ import CONTENDERS, _print
from bench.failover.crowd import ask
from bench.failover.faults import FAULTS, Figures


def answer(link: socket.socket, name: bytes) -> None:
    link.recv(1000)
    link.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + name + b"\n")


def test_the_crowd_is_told_by_whom_each_connection_was_answered() -> None:
    pairs = [socket.socketpair() for _ in range(3)]
    names = [b"web1", b"web2"]
    threads = [threading.Thread(target=answer, args=(pair[1], name)) for pair, name in zip(pairs, names, strict=False)]
    for thread in threads:
        thread.start()
    pairs[2][1].close()  # the third one is dead
    for pair in pairs:
        pair[0].setblocking(False)
    assert ask([pair[0] for pair in pairs]) == [b"web1", b"web2", b""]
    for thread in threads:
        thread.join()
    for here, there in pairs:
        here.close()
        there.close()


@pytest.mark.parametrize(("gap_ms", "verdict"), [(250.0, "<= 300 met"), (301.0, "<= 300 NOT MET")])
def test_a_goal_is_met_by_the_worst_run(gap_ms: float, verdict: str, capsys: pytest.CaptureFixture[str]) -> None:
    figures = Figures(gaps_ms=[100.0, gap_ms], duals_ms=[0, 0], lost=[50, 120], moved=2)
    _print("pulse, fast", FAULTS[0], figures)
    assert verdict in capsys.readouterr().out


def test_a_fault_that_shall_move_nothing_and_does_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    (still,) = [fault for fault in FAULTS if not fault.moves]
    _print("keepalived, 1 s", still, Figures(gaps_ms=[0.0], duals_ms=[900.0], lost=[0], moved=1))
    assert "1 of 1 (!)" in capsys.readouterr().out


def test_every_goal_is_of_a_pair_that_is_measured() -> None:
    profiles = {name.removeprefix("pulse, ") for name in CONTENDERS}
    assert all(set(fault.goals) <= profiles for fault in FAULTS)
