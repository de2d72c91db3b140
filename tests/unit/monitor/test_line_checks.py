"""Checks of protocols of lines, against scripted servers: greeting, login, STARTTLS, refusals and nonsense."""

import asyncio
from pathlib import Path

import pytest
from tests.unit.monitor.certificates import Authority
from tests.unit.monitor.scripted import Serve, check, lines, serving

LOGIN = "login = me\npassword = secret"
SMTP = ("220-welcome\r\n220 mail\r\n", ("EHLO localhost", "250-mail\r\n250 AUTH PLAIN\r\n"))

CASES = [
    ("smtp", "", lines(*SMTP), "greeted"),
    ("smtp", LOGIN, lines(*SMTP, ("AUTH PLAIN AG1lAHNlY3JldA==", "235 in\r\n"), ("QUIT", "")), "logged in"),
    ("smtp", "helo = a.b", lines("220 x\r\n", ("EHLO a.b", "502 no\r\n"), ("HELO a.b", "250 x\r\n")), "greeted"),
    ("imap", "", lines("* OK ready\r\n"), "greeted"),
    ("imap", LOGIN, lines("* OK\r\n", ('b LOGIN "me" "secret"', "* CAPABILITY X\r\nb OK in\r\n")), "logged in"),
    ("pop3", "", lines("+OK ready\r\n"), "greeted"),
    ("pop3", LOGIN, lines("+OK\r\n", ("USER me", "+OK\r\n"), ("PASS secret", "+OK in\r\n")), "logged in"),
    ("ftp", "", lines("220 ftp\r\n"), "greeted"),
    ("ftp", LOGIN, lines("220 ftp\r\n", ("USER me", "331 go on\r\n"), ("PASS secret", "230 in\r\n")), "logged in"),
    ("nntp", "", lines("201 news\r\n"), "greeted"),
    (
        "nntp",
        LOGIN,
        lines("200\r\n", ("AUTHINFO USER me", "381\r\n"), ("AUTHINFO PASS secret", "281\r\n")),
        "logged in",
    ),
    ("redis", "", lines(("*1", ""), ("$4", ""), ("PING", "+PONG\r\n")), "PONG"),
    ("tcp", r'send = "hi\r\n"' + "\nexpect = ho", lines(("hi", "ho ho")), "answered as expected"),
]
REFUSALS = [
    ("smtp", "", "554 go away\r\n", "greeting: 554 go away"),
    ("smtp", "", "hello\r\n", "no numbered reply: 'hello'"),
    ("smtp", "", "220-" + "x\r\n220-" * 300, "a reply of more than 200 lines"),
    ("imap", "", "* BYE full\r\n", "no IMAP greeting"),
    ("pop3", "", "-ERR busy\r\n", "greeting: -ERR busy"),
    ("ftp", "", "421 too many\r\n", "greeting: 421 too many"),
    ("nntp", "", "400 closed\r\n", "greeting: 400 closed"),
    ("redis", "", "-LOADING dataset\r\n", "PING: LOADING dataset"),
    ("mysql", "", "\x10\x00\x00\x00\xff\x10\x04Too many connections"[:21], "error 1040"),
    ("ldap", "", "HTTP/1.1 400 Bad\r\n", "no LDAP message"),
    ("postgresql", "", "HTTP", "no PostgreSQL answer"),
    ("grpc", "", "HTTP/1.1 400 Bad Request\r\n", "no HTTP/2 frame"),
]


@pytest.mark.parametrize(("kind", "directives", "server", "reason"), CASES)
async def test_healthy(kind: str, directives: str, server: Serve, reason: str) -> None:
    async with serving(server) as port:
        outcome = await check(kind, directives, port=port)
    assert (outcome.ok, outcome.reason) == (True, reason)


def saying(text: str) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text.encode("latin-1"))
        await reader.read()

    return serve


@pytest.mark.parametrize(("kind", "directives", "text", "reason"), REFUSALS)
async def test_lying(kind: str, directives: str, text: str, reason: str) -> None:
    async with serving(saying(text)) as port:
        outcome = await check(kind, directives, port=port)
    assert (outcome.ok, outcome.answered) == (False, True)
    assert outcome.reason.startswith(reason)


STREAMS = ["smtp", "imap", "pop3", "ftp", "nntp", "redis", "ldap", "mysql", "postgresql", "grpc", "http", "tls"]


@pytest.mark.parametrize("kind", STREAMS)
async def test_silent_closing_and_dead(kind: str) -> None:
    async def close_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0)

    async with serving(saying("")) as port:
        silent = await check(kind, LOGIN if kind in ("mysql", "postgresql") else "", port=port, within="200ms")
    assert (silent.ok, silent.answered) == (False, False)
    assert "READ timed out" in silent.reason
    async with serving(close_at_once) as port:
        closed = await check(kind, "", port=port)
    assert (closed.ok, closed.answered) == (False, True)
    dead = await check(kind, "", port=port)
    assert (dead.ok, dead.reason) == (False, "connection refused")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("smtp", "535 no such login\r\n"),
        ("imap", "b NO no such login\r\n"),
        ("pop3", "-ERR no such login\r\n"),
        ("ftp", "530 no such login\r\n"),
    ],
)
async def test_a_login_that_fails_is_told_without_the_password(kind: str, text: str) -> None:
    before = {"smtp": SMTP, "imap": ("* OK\r\n",), "pop3": ("+OK\r\n",), "ftp": ("220 x\r\n",)}[kind]
    async with serving(lines(*before, ("", text))) as port:
        outcome = await check(kind, LOGIN, port=port)
    assert not outcome.ok
    assert "no such login" in outcome.reason
    assert "secret" not in outcome.reason


async def test_tls_from_the_first_byte_and_after_the_greeting(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = authority.context("mail.example.com")
    names = f"ca = {authority.path}\nsni = mail.example.com\n"

    async def upgrading(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail\r\n")
        for _ in range(2):
            line = await reader.readline()
            writer.write(b"250 mail\r\n" if line.startswith(b"EHLO") else b"220 go\r\n")
        await writer.start_tls(context)
        while line := await reader.readline():
            writer.write(b"250 mail\r\n" if line.startswith(b"EHLO") else b"221 bye\r\n")

    async with serving(lines("* OK ready\r\n"), ssl=context) as port:
        assert (await check("imap", names + "tls = 1", port=port)).reason == "greeted"
    async with serving(upgrading) as port:
        assert (await check("smtp", names + "starttls = 1", port=port)).reason == "greeted"


async def test_bytes_that_came_before_tls_are_not_taken_for_secured() -> None:
    async with serving(lines("+OK\r\n", ("STLS", "+OK go\r\n+OK injected\r\n"))) as port:
        outcome = await check("pop3", "starttls = 1", port=port)
    assert outcome.reason == "spoke on after it had agreed to TLS"
