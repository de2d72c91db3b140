"""The MySQL and MariaDB check: greeting; a login and a query that gives a row, where asked for (protocol version 10).

Without a login the server counts a handshake that was broken off (`max_connect_errors`): give the check an account.
"""

from __future__ import annotations

import struct
from collections.abc import Generator
from hashlib import sha1, sha256
from typing import NamedTuple

from piranha.model.check import Probe
from piranha.model.check_block import CheckBlock
from piranha.monitor.checks.lines import readable
from piranha.monitor.checks.tls import secured
from piranha.monitor.conversation import Conversation, Found, Inbox, Reconnect, WrongAnswer

MAX_PACKET_BYTES = 65_536
_MAX_STEPS = 10

_PROTOCOL_41, _SSL, _TRANSACTIONS, _SECURE = 0x200, 0x800, 0x2000, 0x8000
_LONG_PASSWORD, _WITH_DATABASE, _PLUGIN_AUTH = 0x1, 0x8, 0x80000
_UTF8 = 33
_OK, _MORE, _EOF, _ERROR = 0x00, 0x01, 0xFE, 0xFF
_NATIVE, _CACHING = b"mysql_native_password", b"caching_sha2_password"
_QUIT = b"\x01\x00\x00\x00\x01"

_Packet = Generator[bytes | Reconnect, bytes, tuple[int, bytes]]


class _Greeting(NamedTuple):
    version: str
    capabilities: int
    nonce: bytes
    plugin: bytes


def converse(probe: Probe, token: bytes) -> Conversation:
    options = probe.options
    assert options is not None
    inbox = Inbox()
    number, payload = yield from _packet(inbox)
    greeting = _greeting(payload)
    if options.login is None and not options.tls:
        return Found(f"greeted by {greeting.version}")
    if not options.tls:
        return (yield from _logged_in(options, greeting, inbox, number + 1))
    if not greeting.capabilities & _SSL:
        raise WrongAnswer("does not speak TLS")
    if inbox.pending:
        raise WrongAnswer("spoke on before TLS began")
    # The request for TLS is a login's first half, sent in the clear; the handshake's first bytes may follow it.
    asked = _framed(number + 1, _head(_capabilities(options) | _SSL))
    inside = secured(probe, _logged_in(options, greeting, Inbox(), number + 2))
    return (yield from _preceded(asked, inside))


def _preceded(words: bytes, talk: Conversation) -> Conversation:
    first = next(talk)
    assert isinstance(first, bytes)
    data = yield words + first
    while True:
        try:
            more = talk.send(data)
        except StopIteration as end:
            found: Found = end.value
            return found
        data = yield more


def _logged_in(options: CheckBlock, greeting: _Greeting, inbox: Inbox, number: int) -> Conversation:
    if options.login is None:
        return Found(f"greeted by {greeting.version}")
        yield b""
    password, plugin, nonce = _bytes(options.password), greeting.plugin, greeting.nonce
    send = _framed(number, _login(options, _scrambled(plugin, password, nonce), plugin))
    for _ in range(_MAX_STEPS):
        number, payload = yield from _packet(inbox, send)
        send, first = b"", payload[:1]
        if first == bytes((_OK,)):
            return (yield from _queried(options, inbox))
        if first == bytes((_EOF,)):
            plugin, _, nonce = payload[1:].partition(b"\0")
            nonce = nonce.removesuffix(b"\0")
            send = _framed(number + 1, _scrambled(plugin, password, nonce))
        elif first == bytes((_MORE,)):
            step = payload[1:]
            if step == b"\x04":
                # The whole password is wanted, which only an encrypted way may carry.
                send = _framed(number + 1, password + b"\0" if options.tls else b"\x02")
            elif step != b"\x03":
                send = _framed(number + 1, _sealed(step, password, nonce))
        else:
            raise WrongAnswer("login: an answer that is none")
    raise WrongAnswer("login: more steps than there can be")


def _queried(options: CheckBlock, inbox: Inbox) -> Conversation:
    if options.query is None:
        return Found("logged in", _QUIT)
    _, payload = yield from _packet(inbox, _framed(0, b"\x03" + _bytes(options.query)))
    if payload[:1] == bytes((_OK,)):
        raise WrongAnswer("query: gives no rows")
    columns = payload[0]
    if columns > 250:
        raise WrongAnswer("query: too many columns")
    for _ in range(columns + 1):
        yield from _packet(inbox)
    _, payload = yield from _packet(inbox)
    if payload[:1] == bytes((_EOF,)) and len(payload) < 9:
        raise WrongAnswer("query: gives no rows")
    return Found("the query gives rows", _QUIT)


def _packet(inbox: Inbox, send: bytes = b"") -> _Packet:
    """Send, then read one packet: its number and its content, never empty. Raises WrongAnswer for an error's."""
    head = yield from inbox.exactly(4, send)
    length = int.from_bytes(head[:3], "little")
    if not 1 <= length <= MAX_PACKET_BYTES:
        raise WrongAnswer("no MySQL packet, or one that is too long")
    payload = yield from inbox.exactly(length)
    if payload[0] == _ERROR:
        text = payload[3:]
        raise WrongAnswer(f"error {int.from_bytes(payload[1:3], 'little')} {readable(text)}".rstrip())
    return head[3], payload


def _greeting(payload: bytes) -> _Greeting:
    version, _, rest = payload[1:].partition(b"\0")
    if payload[0] != 10 or len(rest) < 31:
        raise WrongAnswer("no MySQL greeting")
    low, high = struct.unpack_from("<H", rest, 13)[0], struct.unpack_from("<H", rest, 18)[0]
    capabilities = low | high << 16
    size = max(13, rest[20] - 8)
    nonce = rest[4:12] + rest[31 : 31 + size].removesuffix(b"\0")
    plugin = rest[31 + size :].partition(b"\0")[0] if capabilities & _PLUGIN_AUTH else _NATIVE
    return _Greeting(readable(version), capabilities, nonce, plugin)


def _capabilities(options: CheckBlock) -> int:
    base = _LONG_PASSWORD | _PROTOCOL_41 | _TRANSACTIONS | _SECURE | _PLUGIN_AUTH
    return base | (_WITH_DATABASE if options.database else 0) | (_SSL if options.tls else 0)


def _head(capabilities: int) -> bytes:
    return struct.pack("<IIB23x", capabilities, 1 << 24, _UTF8)


def _login(options: CheckBlock, answer: bytes, plugin: bytes) -> bytes:
    database = _bytes(options.database) + b"\0" if options.database else b""
    login = _bytes(options.login).replace(b"\0", b"") + b"\0" + bytes((len(answer),)) + answer
    return _head(_capabilities(options)) + login + database + plugin + b"\0"


def _scrambled(plugin: bytes, password: bytes, nonce: bytes) -> bytes:
    if not password:
        return b""
    if plugin == _NATIVE:
        once = sha1(password, usedforsecurity=False).digest()
        twice = sha1(nonce + sha1(once, usedforsecurity=False).digest(), usedforsecurity=False).digest()
        return _xor(once, twice)
    if plugin == _CACHING:
        once = sha256(password).digest()
        return _xor(once, sha256(sha256(once).digest() + nonce).digest())
    raise WrongAnswer(f"wants a kind of login that this check does not have: {readable(plugin)}")


def _sealed(pem: bytes, password: bytes, nonce: bytes) -> bytes:
    """The password, encrypted for the server's own key (caching_sha2_password without TLS)."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import padding
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.hashes import SHA1
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(pem)
        if not isinstance(key, RSAPublicKey) or not nonce:
            raise WrongAnswer("login: a public key that is none")
        plain = password + b"\0"
        masked = _xor(plain, (nonce * (len(plain) // len(nonce) + 1))[: len(plain)])
        return key.encrypt(masked, padding.OAEP(mgf=padding.MGF1(SHA1()), algorithm=SHA1(), label=None))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise WrongAnswer("login: a public key that is none") from error


def _framed(number: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes((number & 0xFF,)) + payload


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def _bytes(text: str | None) -> bytes:
    return (text or "").encode("utf-8", "surrogateescape")
