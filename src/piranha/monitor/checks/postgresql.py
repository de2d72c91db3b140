"""The PostgreSQL check: it answers; a login and a query that gives a row, where asked for (protocol version 3.0)."""

from __future__ import annotations

import struct
from collections.abc import Generator
from hashlib import md5

from piranha.model.check import Probe
from piranha.model.check_block import CheckBlock
from piranha.monitor.checks.lines import readable
from piranha.monitor.checks.scram import Scram
from piranha.monitor.checks.tls import secured
from piranha.monitor.conversation import Conversation, Found, Inbox, Reconnect, WrongAnswer, shown

MAX_MESSAGE_BYTES = 65_536
_MAX_MESSAGES = 500

_VERSION = 196_608
_ASK_TLS = struct.pack("!II", 8, 80_877_103)
_TERMINATE = b"X\0\0\0\4"
_OK, _CLEARTEXT, _MD5, _SASL, _SASL_CONTINUE, _SASL_FINAL = 0, 3, 5, 10, 11, 12
_SCRAM = b"SCRAM-SHA-256"

_Message = Generator[bytes | Reconnect, bytes, tuple[bytes, bytes]]


def converse(probe: Probe, token: bytes) -> Conversation:
    """Without a login it is only asked whether it speaks TLS, which every server answers."""
    options = probe.options
    assert options is not None
    inbox = Inbox()
    if options.tls or options.login is None:
        answer = yield from inbox.exactly(1, _ASK_TLS)
        if answer not in (b"S", b"N"):
            raise WrongAnswer(f"no PostgreSQL answer: {shown(answer)}")
        if options.tls:
            if answer == b"N":
                raise WrongAnswer("does not speak TLS")
            if inbox.pending:
                raise WrongAnswer("spoke on before TLS began")
            return (yield from secured(probe, _logged_in(options, Inbox(), token)))
        return Found("answered")
    return (yield from _logged_in(options, inbox, token))


def _logged_in(options: CheckBlock, inbox: Inbox, token: bytes) -> Conversation:
    if options.login is None:
        return Found("speaks TLS")
        yield b""
    login, password = _bytes(options.login), _bytes(options.password)
    database = _bytes(options.database or options.login)
    words = b"user\0" + login + b"\0database\0" + database + b"\0application_name\0piranha\0\0"
    send = struct.pack("!II", len(words) + 8, _VERSION) + words
    scram = Scram(password, token[:18])
    for _ in range(_MAX_MESSAGES):
        kind, body = yield from _message(inbox, send)
        send = b""
        if kind == b"R":
            send = _answer(body, login, password, scram)
        elif kind == b"Z":
            return (yield from _queried(options, inbox))
    raise WrongAnswer("login: more messages than there can be")


def _answer(body: bytes, login: bytes, password: bytes, scram: Scram) -> bytes:
    if len(body) < 4:
        raise WrongAnswer("login: a question that cannot be read")
    (what,), rest = struct.unpack_from("!I", body), body[4:]
    if what == _OK:
        return b""
    if what == _CLEARTEXT:
        return _framed(b"p", password + b"\0")
    if what == _MD5:
        inner = md5(password + login, usedforsecurity=False).hexdigest().encode()
        return _framed(b"p", b"md5" + md5(inner + rest[:4], usedforsecurity=False).hexdigest().encode() + b"\0")
    if what == _SASL and _SCRAM in rest.split(b"\0"):
        first = scram.first
        return _framed(b"p", _SCRAM + b"\0" + struct.pack("!I", len(first)) + first)
    if what == _SASL_CONTINUE:
        return _framed(b"p", scram.answer(rest))
    if what == _SASL_FINAL:
        scram.confirm(rest)
        return b""
    raise WrongAnswer(f"login: wants a kind that this check does not have ({what})")


def _queried(options: CheckBlock, inbox: Inbox) -> Conversation:
    if options.query is None:
        return Found("logged in", _TERMINATE)
    send = _framed(b"Q", _bytes(options.query).replace(b"\0", b"") + b"\0")
    for _ in range(_MAX_MESSAGES):
        kind, _ = yield from _message(inbox, send)
        send = b""
        if kind == b"D":
            return Found("the query gives rows", _TERMINATE)
        if kind == b"Z":
            raise WrongAnswer("query: gives no rows")
    raise WrongAnswer("query: more messages than there can be")


def _message(inbox: Inbox, send: bytes) -> _Message:
    """Send, then read one message. Raises WrongAnswer for an error's."""
    head = yield from inbox.exactly(5, send)
    (length,) = struct.unpack_from("!I", head, 1)
    if not 4 <= length <= MAX_MESSAGE_BYTES:
        raise WrongAnswer(f"no PostgreSQL message: {shown(head)}")
    body = yield from inbox.exactly(length - 4)
    if head[:1] == b"E":
        raise WrongAnswer(_error(body))
    return head[:1], body


def _error(body: bytes) -> str:
    fields = {field[:1]: field[1:] for field in body.split(b"\0")}
    return f"error {readable(fields.get(b'C', b''))} {readable(fields.get(b'M', b''))}".rstrip()


def _framed(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def _bytes(text: str | None) -> bytes:
    return (text or "").encode("utf-8", "surrogateescape")
