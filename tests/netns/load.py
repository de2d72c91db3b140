"""Clients and servers of the traffic tests, small enough for tens of thousands of connections on two cores.

`python -m tests.netns.load server …` answers every TCP connection with one line and closes it; `client …` opens
connections, a bounded number at a time, and prints what became of them as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import selectors
import socket
import sys
import time
from collections import Counter
from dataclasses import dataclass, field


async def serve(name: bytes, port: int) -> None:
    """One line for each connection, then close; the name for each datagram."""

    class Line(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.write(name + b"\n")
            self.transport.close()

    loop = asyncio.get_running_loop()
    for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        server = socket.socket(family)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        server.bind((host, port))
        server.listen(4096)
        await loop.create_server(Line, sock=server)
    print("ready", flush=True)
    await asyncio.Event().wait()


@dataclass
class Attempt:
    """One connection under way."""

    number: int
    since: float
    sent: bool = False
    got: bytes = b""


@dataclass
class Result:
    answered: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0


class Client:
    """Opens `count` connections, `at_once` at a time, from `sources` in turn; each has `timeout_s`."""

    def __init__(self, target: tuple[str, int], sources: list[str], count: int, at_once: int, timeout_s: float) -> None:
        self.target, self.sources, self.count = target, sources, count
        self.at_once, self.timeout_s = at_once, timeout_s
        self.family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
        self.selector = selectors.DefaultSelector()
        self.live: dict[socket.socket, Attempt] = {}
        self.result = Result()
        self.next = 0

    def run(self, until: float | None = None) -> Result:
        checked = time.monotonic()
        while self.live or self._more(until):
            while len(self.live) < self.at_once and self._more(until):
                self._open()
            for key, _ in self.selector.select(0.05):
                self._step(key.fileobj)  # type: ignore[arg-type]
            now = time.monotonic()
            if now - checked > 0.2:
                checked = now
                for sock in [s for s, a in self.live.items() if now - a.since > self.timeout_s]:
                    self._end(sock, "timeout")
        return self.result

    def _more(self, until: float | None) -> bool:
        return self.next < self.count and (until is None or time.monotonic() < until)

    def _open(self) -> None:
        number, self.next = self.next, self.next + 1
        sock = socket.socket(self.family)
        sock.setblocking(False)
        # A fixed source port for each connection: none is used twice, so nothing waits in TIME_WAIT for another.
        source = self.sources[number % len(self.sources)]
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((source, 10000 + number // len(self.sources) % 50000))
        error = sock.connect_ex(self.target)
        self.live[sock] = Attempt(number, time.monotonic())
        if error not in (0, 115):
            self._end(sock, f"connect {error}")
            return
        self.selector.register(sock, selectors.EVENT_WRITE)

    def _step(self, sock: socket.socket) -> None:
        attempt = self.live.get(sock)
        if attempt is None:
            return
        try:
            if not attempt.sent:
                sock.send(b"?\n")
                attempt.sent = True
                self.selector.modify(sock, selectors.EVENT_READ)
                return
            data = sock.recv(256)
        except OSError as error:
            self._end(sock, f"error {error.errno}")
            return
        attempt.got += data
        if not data:
            self._end(sock, "" if attempt.got.endswith(b"\n") else "short answer")

    def _end(self, sock: socket.socket, failure: str) -> None:
        attempt = self.live.pop(sock)
        if sock in self.selector.get_map():
            self.selector.unregister(sock)
        sock.close()
        self.result.slowest_s = max(self.result.slowest_s, time.monotonic() - attempt.since)
        if failure:
            self.result.failed[failure] += 1
        else:
            self.result.answered[attempt.got.decode().strip()] += 1


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=("server", "client"))
    parser.add_argument("--name", default="server")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--target")
    parser.add_argument("--sources", default="")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=100)
    parser.add_argument("--timeout", type=float, default=10)
    parser.add_argument("--seconds", type=float)
    given = parser.parse_args()
    if given.role == "server":
        asyncio.run(serve(given.name.encode(), given.port))
        return
    client = Client((given.target, given.port), given.sources.split(","), given.count, given.at_once, given.timeout)
    result = client.run(time.monotonic() + given.seconds if given.seconds else None)
    json.dump(
        {"answered": result.answered, "failed": result.failed, "slowest_s": result.slowest_s, "opened": client.next},
        sys.stdout,
    )


if __name__ == "__main__":
    main()
