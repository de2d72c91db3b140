"""A web server for the bench of checks: answers every connection on one port of every address, as cheaply as Python can.

Run as a program it prints its port, and goes when its standard input closes.
"""

from __future__ import annotations

import contextlib
import select
import socket
import sys

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


def main() -> None:
    listener = socket.create_server(("0.0.0.0", 0), backlog=4096)
    listener.setblocking(False)
    print(listener.getsockname()[1], flush=True)
    epoll = select.epoll()
    epoll.register(listener.fileno(), select.EPOLLIN)
    epoll.register(sys.stdin.fileno(), select.EPOLLIN)
    open_: dict[int, socket.socket] = {}
    while True:
        for fd, _ in epoll.poll():
            if fd == sys.stdin.fileno():
                return
            if fd == listener.fileno():
                with contextlib.suppress(OSError):
                    for _ in range(64):
                        sock = listener.accept()[0]
                        sock.setblocking(False)
                        open_[sock.fileno()] = sock
                        epoll.register(sock.fileno(), select.EPOLLIN)
                continue
            sock = open_.pop(fd)
            with contextlib.suppress(OSError):
                if sock.recv(4096):
                    sock.send(_ANSWER)
            sock.close()


if __name__ == "__main__":
    main()
