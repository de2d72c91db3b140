"""The http and https checks against small servers: healthy, dead, slow and lying."""

import asyncio
import hashlib
import ssl
import time
from pathlib import Path

import pytest
from tests.unit.monitor.certificates import Authority
from tests.unit.monitor.scripted import Serve, check, serving

from piranha.monitor.outcome import CheckImpossibleError, Outcome


class Web:
    """Answers each request with `replies[path]`; keeps the heads it was sent."""

    def __init__(self, replies: dict[str, bytes] | None = None, *, pause_s: float = 0.0) -> None:
        self.replies = replies or {}
        self.pause_s = pause_s
        self.heads: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        await asyncio.sleep(self.pause_s)
        reply = self.replies.get(head.split(" ")[1], b"HTTP/1.1 404 Not Found\r\n\r\n")
        writer.write(reply)
        await writer.drain()


async def ask(directives: str, reply: bytes, *, within: str = "3s") -> Outcome:
    async with serving(Web({"/": reply}).serve) as port:
        return await check("http", directives, port=port, within=within)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhe\r\n\r\n3;x=y\r\nllo\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("directives", "reply", "ok", "reason"),
    [
        ("", OK, True, "status 200"),
        ("", b"HTTP/1.0 204 No Content\r\n\r\n", True, "status 204"),
        ("", b"HTTP/1.1 503 Out of Order\r\n\r\n", False, "status 503 Out of Order"),
        ("status = [ 200 401-403 ]", b"HTTP/1.1 403 No\r\n\r\n", True, "status 403"),
        ("status = 200", b"HTTP/1.1 201 Created\r\n\r\n", False, "status 201 Created"),
        ("", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", True, "status 200"),
        ("", b"SSH-2.0-OpenSSH_9\r\n", False, "no HTTP reply: 'SSH-2.0-OpenSSH_9'"),
        ("", b"HTTP/1.1 2000 OK\r\n\r\n", False, "no HTTP reply: 'HTTP/1.1 2000 OK'"),
        ("", b"", False, "closed without an answer"),
        ("", b"HTTP/1.1 200 OK\r\nA: b\r\n", False, "closed in the middle of an answer that begins with 'A: b\\r\\n'"),
        ("expect = hello", OK, True, "status 200"),
        ("expect = ell", OK, True, "status 200"),
        ("expect = bye", OK, False, "the expected text is not in the first 5 bytes of the body"),
        ("reject = hello", OK, False, "the rejected text is in the first 5 bytes of the body"),
        ("reject = bye", OK, True, "status 200"),
        ('expect = "^he[l]+o$"\nuse_regex = 1', OK, True, "status 200"),
        ('expect = "^l"\nuse_regex = 1', OK, False, "the expected text is not in the first 5 bytes of the body"),
        (r'expect = "he\r\nllo"', CHUNKED, True, "status 200"),
        ("expect = x", CHUNKED[:-9], False, "closed with 2 bytes of the body missing"),
        (
            "expect = x",
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
            False,
            "closed with 4 bytes of the body missing",
        ),
        ("expect = x", b"HTTP/1.1 200 OK\r\nContent-Length: -9\r\n\r\nhello", False, "a content length of '-9'"),
        (f"digest = {hashlib.md5(b'hello').hexdigest()}", OK, True, "status 200"),
        (f"digest = {hashlib.sha256(b'hello').hexdigest()}", OK, True, "status 200"),
        (f"digest = {'0' * 32}", OK, False, f"the body's digest is {hashlib.md5(b'hello').hexdigest()}"),
    ],
)
async def test_replies(directives: str, reply: bytes, ok: bool, reason: str) -> None:
    outcome = await ask(directives, reply)
    assert (outcome.ok, outcome.reason, outcome.answered) == (ok, reason, True)


async def test_what_is_asked() -> None:
    web = Web({"/health": OK})
    directives = (
        'path = /health\nmethod = POST\nhost = www.example.com\nheader = "X-Probe: 1"\nheader = "accept: text/plain"\n'
    )
    directives += "http_version = 1.0\nlogin = me\npassword = secret"
    async with serving(web.serve) as port:
        assert (await check("http", directives, port=port)).ok
        assert (await check("http", "path = /health", port=port)).ok
    head = web.heads[0].split("\r\n")
    assert head[0] == "POST /health HTTP/1.0"
    assert {"Host: www.example.com", "X-Probe: 1", "accept: text/plain", "Authorization: Basic bWU6c2VjcmV0"} <= set(
        head
    )
    assert not any(line.startswith("Accept:") for line in head)
    assert web.heads[1].split("\r\n")[:2] == ["GET /health HTTP/1.1", f"Host: 127.0.0.1:{port}"]


async def test_redirections_are_followed_on_the_same_server() -> None:
    web = Web(
        {
            "/": b"HTTP/1.1 302 Found\r\nLocation: login?x=1\r\n\r\n",
            "/login?x=1": b"HTTP/1.1 301 Moved\r\nLocation: http://other.example.com/end\r\n\r\n",
            "/end": OK,
            "/tls": b"HTTP/1.1 302 Found\r\nLocation: https://other.example.com/\r\n\r\n",
        }
    )
    async with serving(web.serve) as port:
        assert (await check("http", "redirects = 2\nexpect = hello", port=port)).reason == "status 200"
        assert "Host: other.example.com" in web.heads[-1]
        assert (await check("http", "redirects = 1", port=port)).reason == "status 301 Moved"
        assert (await check("http", "", port=port)).reason == "status 302 Found"
        assert "cannot follow" in (await check("http", "path = /tls\nredirects = 5", port=port)).reason


def endless(part: bytes, *, first: bytes = b"", pause_s: float = 0.0) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while True:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return serve


@pytest.mark.parametrize(
    ("first", "part", "pause_s", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X: " + b"y" * 1_000_000, 0, "headers of more than 65536 bytes"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 300 + b"\r\n", 0, "more than 200 headers"),
        (b"HTTP/1.1 200 OK\r\n", b"X: " + b"y" * 1000 + b"\r\n", 0, "headers of more than 65536 bytes"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"z" * 10_000, 0, "the expected text is not in the first 65536 bytes"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"z", 0.05, "READ timed out"),
        (b"", b"H", 0.05, "READ timed out"),
        (b"", b"\x00\xff\n", 0, "no HTTP reply"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0, "more than 10 interim replies"),
    ],
)
async def test_hostile_servers_end_at_the_deadline_or_before(
    first: bytes, part: bytes, pause_s: float, reason: str
) -> None:
    async with serving(endless(part, first=first, pause_s=pause_s)) as port:
        began = time.monotonic()
        outcome = await check("http", "expect = never", port=port, within="500ms")
        assert time.monotonic() - began < 3
    assert not outcome.ok
    assert reason in outcome.reason


async def test_an_endless_body_under_a_digest_is_bounded() -> None:
    async with serving(endless(b"z" * 100_000, first=b"HTTP/1.1 200 OK\r\n\r\n")) as port:
        outcome = await check("http", f"digest = {'0' * 32}", port=port, within="20s")
    assert outcome.reason == "an answer of more than 8 MiB"


async def test_a_slow_server_and_a_dead_one() -> None:
    async with serving(Web({"/": OK}, pause_s=5).serve) as port:
        slow = await check("http", "", port=port, within="200ms")
    assert (slow.ok, slow.answered) == (False, False)
    dead = await check("http", "", port=port)
    assert (dead.reason, dead.answered) == ("connection refused", True)


async def test_a_pattern_that_is_none_teaches_nothing() -> None:
    with pytest.raises(CheckImpossibleError, match="not a usable regular expression"):
        await check("http", 'expect = "("\nuse_regex = 1', port=1)


async def test_https_with_and_without_verification(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = authority.context("www.example.com")
    ca = f"ca = {authority.path}\n"
    async with serving(Web({"/": OK}).serve, ssl=server) as port:
        assert (await check("https", "expect = hello", port=port)).reason == "status 200"
        assert (await check("https", ca + "host = www.example.com", port=port)).ok
        assert (await check("https", ca + "sni = www.example.com\nhost = x.org", port=port)).ok
        wrong = await check("https", ca + "host = other.example.com", port=port)
        assert "certificate not accepted" in wrong.reason
        assert "certificate not accepted" in (await check("https", "verify = 1", port=port)).reason
        assert (await check("tls", ca + "sni = www.example.com", port=port)).reason == "connected"
        with pytest.raises(CheckImpossibleError, match="cannot use the certificates"):
            await check("https", f"ca = {tmp_path}/none.pem", port=port)
    async with serving(endless(b"220 welcome\r\n", pause_s=1)) as port:
        assert (await check("https", "", port=port)).reason.startswith("TLS: ")


async def test_https_with_our_own_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = authority.context("www.example.com")
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(authority.path)
    certificate, key = authority.issue("director")
    async with serving(Web({"/": OK}).serve, ssl=server) as port:
        assert (await check("https", f"certificate = {certificate}\nkey = {key}", port=port)).ok
        assert not (await check("https", "", port=port)).ok
