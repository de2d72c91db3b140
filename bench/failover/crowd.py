"""Many open connections through the VIP. Runs in the client's namespace, and speaks the lines of `piranha.lab.traffic`.

The first report comes when all are open and each has had one answer. A later `report` asks once more over each: `alive` are those that
the same server answered.
"""

from __future__ import annotations

import json
import resource
import select
import socket
import sys
import time

AT_ONCE = 256
ANSWER_S = 20.0
_REQUEST = b"GET / HTTP/1.1\r\nHost: crowd\r\n\r\n"


def ask(links: list[socket.socket]) -> list[bytes]:
    """One request over each, so many at a time; the servers' names, empty where there was no answer in time."""
    names = [b""] * len(links)
    for first in range(0, len(links), AT_ONCE):
        waiting: dict[int, int] = {}
        poller = select.epoll()
        for number in range(first, min(first + AT_ONCE, len(links))):
            try:
                links[number].send(_REQUEST)
            except OSError:
                continue
            waiting[links[number].fileno()] = number
            poller.register(links[number].fileno(), select.EPOLLIN)
        deadline_at = time.monotonic() + ANSWER_S
        while waiting and time.monotonic() < deadline_at:
            for descriptor, _ in poller.poll(1.0):
                number = waiting.pop(descriptor)
                poller.unregister(descriptor)
                try:
                    names[number] = links[number].recv(4096).partition(b"\r\n\r\n")[2].strip()
                except OSError:
                    continue
        poller.close()
    return names


def main() -> None:
    vip, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    links = [socket.create_connection((vip, port), 20) for _ in range(count)]
    for link in links:
        link.setblocking(False)
    before = ask(links)
    print(json.dumps({"open": len(links), "answered": sum(map(bool, before))}), flush=True)
    for line in sys.stdin:
        if line.strip() == "report":
            after = ask(links)
            alive = sum(bool(name) and name == first for name, first in zip(after, before, strict=True))
            print(json.dumps({"alive": alive}), flush=True)


if __name__ == "__main__":
    main()
