"""Messages to the service manager."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from piranha.base.notify import Notifier


@pytest.fixture
def manager(tmp_path: Path) -> socket.socket:
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(str(tmp_path / "notify"))
    receiver.settimeout(1)
    return receiver


def test_states_are_sent(manager: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "15000000"})
    assert notifier.watchdog_s == 15
    notifier.ready("switching")
    notifier.reloading()
    notifier.alive()
    notifier.stopping()
    assert manager.recv(999) == b"READY=1\nSTATUS=switching"
    assert manager.recv(999).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
    assert manager.recv(999) == b"WATCHDOG=1"
    assert manager.recv(999) == b"STOPPING=1"


def test_the_abstract_namespace_is_understood() -> None:
    name = f"piranha-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind("\0" + name)
        receiver.settimeout(1)
        Notifier({"NOTIFY_SOCKET": "@" + name}).ready()
        assert receiver.recv(999) == b"READY=1"


def test_another_process_watchdog_is_not_ours() -> None:
    assert Notifier({"WATCHDOG_USEC": "15000000", "WATCHDOG_PID": "1"}).watchdog_s == 0


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": "/nowhere/at/all"}])
def test_nobody_to_tell_is_no_error(environment: dict[str, str]) -> None:
    Notifier(environment).ready()
