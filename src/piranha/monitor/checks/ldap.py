"""The LDAP check: a bind, anonymous or with a login; with `base`, that entry must be there (RFC 4511)."""

from __future__ import annotations

from collections.abc import Generator

from piranha.model.check import Probe
from piranha.monitor.checks.lines import perhaps_secured, readable
from piranha.monitor.conversation import Conversation, Found, Inbox, Reconnect, WrongAnswer, shown

MAX_MESSAGE_BYTES = 65_536
_MAX_MESSAGES = 100

_SEQUENCE, _INTEGER, _OCTETS, _ENUM, _BOOLEAN = 0x30, 0x02, 0x04, 0x0A, 0x01
_BIND, _BOUND, _SEARCH, _ENTRY, _DONE, _REFERENCE = 0x60, 0x61, 0x63, 0x64, 0x65, 0x73
_SIMPLE, _PRESENT = 0x80, 0x87
_UNBIND = bytes.fromhex("30050201034200")
_RESULTS = {1: "operations error", 32: "no such object", 48: "inappropriate authentication", 49: "invalid credentials"}

_Parts = Generator[bytes | Reconnect, bytes, tuple[int, bytes]]


def converse(probe: Probe, token: bytes) -> Conversation:
    return perhaps_secured(probe, _talk(probe))


def _talk(probe: Probe) -> Conversation:
    options = probe.options
    assert options is not None
    inbox = Inbox()
    login, password = _bytes(options.login), _bytes(options.password)
    bind = _tlv(_BIND, _tlv(_INTEGER, b"\3") + _tlv(_OCTETS, login) + _tlv(_SIMPLE, password))
    kind, content = yield from _message(inbox, 1, bind)
    if kind != _BOUND:
        raise WrongAnswer("no answer to the bind")
    _must_succeed("bind", content)
    if options.base is None:
        return Found("bound", _UNBIND)
    found = False
    send = _search(_bytes(options.base))
    for _ in range(_MAX_MESSAGES):
        kind, content = yield from _message(inbox, 2, send)
        send = b""
        if kind == _ENTRY:
            found = True
        elif kind == _DONE:
            _must_succeed("search", content)
            if found:
                return Found("found the entry", _UNBIND)
            raise WrongAnswer("the entry is not there")
        elif kind != _REFERENCE:
            raise WrongAnswer("no answer to the search")
    raise WrongAnswer("a search without an end")


def _search(base: bytes) -> bytes:
    """The entry itself, any kind of it, none of its attributes."""
    numbers = _tlv(_ENUM, b"\0") + _tlv(_ENUM, b"\0") + _tlv(_INTEGER, b"\1") + _tlv(_INTEGER, b"\0")
    attributes = _tlv(_SEQUENCE, _tlv(_OCTETS, b"1.1"))
    rest = _tlv(_BOOLEAN, b"\0") + _tlv(_PRESENT, b"objectClass") + attributes
    return _tlv(_SEARCH, _tlv(_OCTETS, base) + numbers + rest)


def _message(inbox: Inbox, number: int, send: bytes) -> _Parts:
    """Send one operation, where there is one, and read one message: what it is, and its content."""
    request = _tlv(_SEQUENCE, _tlv(_INTEGER, bytes((number,))) + send) if send else b""
    head = yield from inbox.exactly(2, request)
    if head[0] != _SEQUENCE:
        raise WrongAnswer(f"no LDAP message: {shown(head)}")
    length = head[1]
    if length & 0x80:
        width = length & 0x7F
        if not 1 <= width <= 4:
            raise WrongAnswer("a length that LDAP does not have")
        length = int.from_bytes((yield from inbox.exactly(width)), "big")
    if length > MAX_MESSAGE_BYTES:
        raise WrongAnswer(f"a message of more than {MAX_MESSAGE_BYTES} bytes")
    body = yield from inbox.exactly(length)
    kind, answered, rest = _take(body)
    if kind != _INTEGER or int.from_bytes(answered, "big") != number:
        raise WrongAnswer("an LDAP message that answers something else")
    kind, content, _ = _take(rest)
    return kind, content


def _must_succeed(what: str, content: bytes) -> None:
    kind, code, rest = _take(content)
    if kind != _ENUM:
        raise WrongAnswer(f"{what}: a result without a code")
    number = int.from_bytes(code[:4], "big")
    if number:
        _, _, rest = _take(rest)
        _, text, _ = _take(rest)
        raise WrongAnswer(f"{what}: {_RESULTS.get(number, f'result {number}')} {readable(text)}".rstrip())


def _take(data: bytes) -> tuple[int, bytes, bytes]:
    """The first element: tag, content, and what follows it."""
    if len(data) < 2:
        raise WrongAnswer("an LDAP message that ends too early")
    length, at = data[1], 2
    if length & 0x80:
        width = length & 0x7F
        length, at = int.from_bytes(data[2 : 2 + width], "big"), 2 + width
    if len(data) < at + length:
        raise WrongAnswer("an LDAP message that ends too early")
    return data[0], data[at : at + length], data[at + length :]


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    width = (size.bit_length() + 7) // 8
    return bytes((tag, 0x80 | width)) + size.to_bytes(width, "big") + content


def _bytes(text: str | None) -> bytes:
    return (text or "").encode("utf-8", "surrogateescape")
