"""The lab's web server: what it understands and what it answers."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piranha.lab.webserver import MAX_BODY_BYTES, MAX_HEAD_BYTES, BadRequestError, WebServer, answer, parse_head


@pytest.mark.parametrize(
    ("head", "keep_alive"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nHost: x\r\nconnection: CLOSE\r\n\r\n", False),
    ],
)
def test_keep_alive_follows_the_version_and_the_header(head: bytes, keep_alive: bool) -> None:
    assert parse_head(head).keep_alive is keep_alive


@pytest.mark.parametrize(
    "head",
    [
        b"\r\n\r\n", b"GET /\r\n\r\n", b"GET / HTTP/2.0\r\n\r\n", b"G3T / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1),
    ],
)  # fmt: skip
def test_nonsense_is_refused(head: bytes) -> None:
    with pytest.raises(BadRequestError):
        parse_head(head)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    with contextlib.suppress(BadRequestError):
        parse_head(data + b"\r\n\r\n")


def test_the_answer_is_the_name() -> None:
    text = answer("web1", parse_head(b"GET / HTTP/1.1\r\n\r\n"))
    head, _, body = text.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Length: 5" in head
    assert body == b"web1\n"
    assert answer("web1", parse_head(b"HEAD / HTTP/1.1\r\n\r\n")).endswith(b"\r\n\r\n")


async def converse(*requests: bytes, end: bool = False) -> bytes:
    """Send everything to a web server on the loopback, and read until it closes or `end`ed input is answered."""
    web = WebServer("web1")
    server = await asyncio.start_server(web.serve, "127.0.0.1", 0, limit=MAX_HEAD_BYTES)
    async with server, asyncio.timeout(5):
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for request in requests:
            writer.write(request)
        if end:
            writer.write_eof()
        data = await reader.read()
        writer.close()
        return data


async def test_a_kept_connection_serves_pipelined_requests_and_bodies() -> None:
    data = await converse(
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
        b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
    )
    assert data.count(b"HTTP/1.1 200 OK") == 3
    assert data.count(b"web1\n") == 3


async def test_a_bad_request_and_a_huge_head_are_answered_400_and_closed() -> None:
    assert (await converse(b"nonsense\r\n\r\n")).startswith(b"HTTP/1.1 400")
    assert (await converse(b"GET / HTTP/1.1\r\nX: " + b"x" * 2 * MAX_HEAD_BYTES)).startswith(b"HTTP/1.1 400")


async def test_a_client_that_hangs_up_early_is_let_go() -> None:
    assert await converse(b"GET / HT", end=True) == b""
