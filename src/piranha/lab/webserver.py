"""A real server's programs: a web server that answers every request with its own name, and a UDP service that does so.

`/stream` is a download that does not end: numbered blocks at a steady pace, as `traffic.py` expects them.

HTTP/1.0 and 1.1 with keep-alive, IPv4 and IPv6, nothing logged. `python -m piranha.lab.webserver --name web1 --port 80`
runs it. Every wait and every size has a bound; a client that says nonsense is answered 400 and closed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import socket
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from piranha.lab.traffic import block

IDLE_TIMEOUT_S = 30.0
MAX_HEAD_BYTES = 16 * 1024
MAX_BODY_BYTES = 1024 * 1024
MAX_OPEN_CONNECTIONS = 10_000
STREAM = "/stream"
STREAM_BLOCKS = 16
STREAM_INTERVAL_S = 0.05
MAX_STREAM_S = 600.0


class BadRequestError(Exception):
    """The bytes are no request that this server understands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The part of a request that decides the answer."""

    method: str
    path: str
    keep_alive: bool
    body_bytes: int


def parse_head(head: bytes) -> Request:
    """Read a request's head up to and including the empty line. Raises BadRequestError."""
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[0].isalpha() or words[2] not in ("HTTP/1.0", "HTTP/1.1"):
        raise BadRequestError("not a request line of HTTP/1.0 or HTTP/1.1")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        if not line:
            break
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BadRequestError("a header line without a name")
        headers[name.lower()] = value.strip()
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdecimal()) or int(length) > MAX_BODY_BYTES or "transfer-encoding" in headers:
        raise BadRequestError("a body that this server does not take")
    connection = headers.get("connection", "").lower()
    keep_alive = connection == "keep-alive" if words[2] == "HTTP/1.0" else connection != "close"
    return Request(method=words[0], path=words[1], keep_alive=keep_alive, body_bytes=int(length))


def answer(name: str, request: Request) -> bytes:
    """The whole answer to a good request: the server's name and a newline."""
    body = f"{name}\n".encode()
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nServer: {name}\r\n"
        f"Connection: {'keep-alive' if request.keep_alive else 'close'}\r\n\r\n"
    )
    return head.encode() + (b"" if request.method == "HEAD" else body)


BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class WebServer:
    """Serves one connection after another of any number of clients."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._open >= MAX_OPEN_CONNECTIONS:
            writer.close()
            return
        self._open += 1
        try:
            with suppress(TimeoutError, ConnectionError, asyncio.IncompleteReadError):
                await self._converse(reader, writer)
        finally:
            self._open -= 1
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                async with asyncio.timeout(IDLE_TIMEOUT_S):
                    request = parse_head(await reader.readuntil(b"\r\n\r\n"))
                    await reader.readexactly(request.body_bytes)
            except (BadRequestError, asyncio.LimitOverrunError):
                writer.write(BAD_REQUEST)
                break
            if request.path == STREAM and request.method == "GET":
                await self._stream(writer)
                return
            writer.write(answer(self._name, request))
            async with asyncio.timeout(IDLE_TIMEOUT_S):
                await writer.drain()
            if not request.keep_alive:
                break
        async with asyncio.timeout(IDLE_TIMEOUT_S):
            await writer.drain()

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        """Blocks until the client has enough, or has taken nothing for too long."""
        writer.write(f"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nServer: {self._name}\r\n\r\n".encode())
        for turn in range(round(MAX_STREAM_S / STREAM_INTERVAL_S)):
            first = turn * STREAM_BLOCKS
            writer.write(b"".join(block(number) for number in range(first, first + STREAM_BLOCKS)))
            async with asyncio.timeout(IDLE_TIMEOUT_S):
                await writer.drain()
            await asyncio.sleep(STREAM_INTERVAL_S)


class Echo(asyncio.DatagramProtocol):
    """Answers every datagram with the server's name and what it was sent."""

    def __init__(self, name: str) -> None:
        self._name = name.encode()
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self._transport is not None:
            self._transport.sendto(self._name + b" " + data, addr)


def local_addresses() -> list[str]:
    """Every address of this namespace; one socket each, so that a UDP answer leaves from the address that was asked."""
    listing = subprocess.run(["ip", "-j", "addr", "show"], capture_output=True, check=True, timeout=10).stdout
    return [
        info["local"]
        for device in json.loads(listing)
        for info in device.get("addr_info", [])
        if info.get("scope") != "link"
    ]


async def run(name: str, port: int, udp_port: int | None) -> None:
    """Serve until SIGTERM or SIGINT. Raises OSError where the ports are taken."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    web = WebServer(name)
    server = await asyncio.start_server(
        web.serve, host=["0.0.0.0", "::"], port=port, backlog=4096, limit=MAX_HEAD_BYTES, reuse_address=True
    )
    transports = []
    if udp_port is not None:
        for address in local_addresses():
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            transport, _ = await loop.create_datagram_endpoint(
                lambda: Echo(name), local_addr=(address, udp_port), family=family
            )
            transports.append(transport)
    await stop.wait()
    server.close()
    for transport in transports:
        transport.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="what the server calls itself")
    parser.add_argument("--port", type=int, default=80, help="TCP port of the web server")
    parser.add_argument("--udp-port", type=int, help="UDP port of the echo service; without it there is none")
    arguments = parser.parse_args()
    asyncio.run(run(arguments.name, arguments.port, arguments.udp_port))


if __name__ == "__main__":
    main()
