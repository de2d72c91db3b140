"""Is it up yet: questions to the lab's programs, each bounded in time, none of which disturbs them."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

from piranha.lab import namespace as netns
from piranha.model.address import IPAddress

MAX_ANSWER_BYTES = 64 * 1024
POLL_INTERVAL_S = 0.05


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Ask again and again until the condition holds or the time is over; whether it came to hold."""
    deadline_at = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline_at:
            return False
        time.sleep(POLL_INTERVAL_S)
    return True


def http_get(connection: socket.socket, path: str, timeout_s: float) -> tuple[int, bytes]:
    """One HTTP/1.0 request on a connected socket, which it closes: status and body.

    Raises OSError (TimeoutError among them) and ValueError for an answer that is not HTTP.
    """
    deadline_at = time.monotonic() + timeout_s
    with connection:
        connection.settimeout(timeout_s)
        connection.sendall(f"GET {path} HTTP/1.0\r\nHost: lab\r\n\r\n".encode())
        answer = b""
        while len(answer) < MAX_ANSWER_BYTES:
            left_s = deadline_at - time.monotonic()
            if left_s <= 0:
                raise TimeoutError("no whole answer in time")
            connection.settimeout(left_s)
            part = connection.recv(16384)
            if not part:
                break
            answer += part
    if not answer:
        raise ConnectionError("closed without an answer")
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(b"\r\n", 1)[0].split(b" ")
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise ValueError("the answer is not HTTP")
    return int(words[1]), body


def connect_from(namespace: str, address: IPAddress, port: int, timeout_s: float) -> socket.socket:
    """A TCP connection that begins in the namespace. Raises OSError."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with netns.entered(namespace):
        connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout_s)
        connection.connect((str(address), port))
    except BaseException:
        connection.close()
        raise
    return connection


def ask_name(namespace: str, address: IPAddress, port: int, timeout_s: float) -> str:
    """Which web server answers at the address, asked from the namespace. Raises OSError, ValueError."""
    started_at = time.monotonic()
    connection = connect_from(namespace, address, port, timeout_s)
    left_s = max(0.01, timeout_s - (time.monotonic() - started_at))
    status, body = http_get(connection, "/", left_s)
    if status != 200:
        raise ValueError(f"status {status}")
    return body.decode("ascii", "replace").strip()


def web_server_answers(namespace: str, name: str, address: IPAddress, port: int) -> bool:
    try:
        return ask_name(namespace, address, port, 1.0) == name
    except (OSError, ValueError):
        return False


def lvsd_answers(api_socket: Path) -> bool:
    """Whether lvsd's API says 200 to a question for its status."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(2.0)
        connection.connect(str(api_socket))
        return http_get(connection, "/api/v1/status", 2.0)[0] == 200
    except (OSError, ValueError):
        connection.close()
        return False
