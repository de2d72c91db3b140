"""The RADIUS check: an Access-Request that must be accepted; without a login, a Status-Server (RFC 2865, 5997)."""

from __future__ import annotations

import hmac
import struct
from hashlib import md5

from piranha.model.check import Probe
from piranha.model.check_block import CheckBlock
from piranha.monitor.conversation import Conversation, Found, WrongAnswer
from piranha.monitor.outcome import CheckImpossibleError

_ACCESS_REQUEST, _ACCESS_ACCEPT, _ACCOUNTING_RESPONSE, _STATUS_SERVER = 1, 2, 5, 12
_WORDS = {3: "rejects the login", 11: "wants more than a login"}
_USER_NAME, _USER_PASSWORD, _NAS_IDENTIFIER, _MESSAGE_AUTHENTICATOR = 1, 2, 32, 80
_HEADER_BYTES = 20
_MAX_PASSWORD_BYTES = 128
_MAX_NAME_BYTES = 253


def converse(probe: Probe, token: bytes) -> Conversation:
    """Raises CheckImpossibleError for a login that the protocol cannot carry."""
    options = probe.options
    assert options is not None
    secret = (options.secret or "").encode("utf-8", "surrogateescape")
    return _talk(request(options, secret, token), secret)


def request(options: CheckBlock, secret: bytes, token: bytes) -> bytes:
    number, authenticator = token[0], token[16:32]
    attributes = _attribute(_NAS_IDENTIFIER, b"piranha")
    code = _STATUS_SERVER
    if options.login is not None:
        code = _ACCESS_REQUEST
        login = options.login.encode("utf-8", "surrogateescape")
        password = (options.password or "").encode("utf-8", "surrogateescape")
        if len(password) > _MAX_PASSWORD_BYTES or len(login) > _MAX_NAME_BYTES:
            raise CheckImpossibleError("RADIUS carries no login or password of such a length")
        attributes += _attribute(_USER_NAME, login)
        attributes += _attribute(_USER_PASSWORD, _hidden(password, secret, authenticator))
    blank = attributes + _attribute(_MESSAGE_AUTHENTICATOR, bytes(16))
    head = struct.pack("!BBH", code, number, _HEADER_BYTES + len(blank)) + authenticator
    signature = hmac.new(secret, head + blank, md5).digest()
    return head + attributes + _attribute(_MESSAGE_AUTHENTICATOR, signature)


def _talk(asked: bytes, secret: bytes) -> Conversation:
    number, authenticator = asked[1], asked[4:_HEADER_BYTES]
    data = yield asked
    while len(data) >= _HEADER_BYTES and data[1] != number:
        data = yield b""
    if len(data) < _HEADER_BYTES:
        raise WrongAnswer("no RADIUS packet")
    (length,) = struct.unpack_from("!H", data, 2)
    if not _HEADER_BYTES <= length <= len(data):
        raise WrongAnswer("a RADIUS packet of a wrong length")
    signed = md5(data[:4] + authenticator + data[_HEADER_BYTES:length] + secret, usedforsecurity=False).digest()
    if not hmac.compare_digest(signed, data[4:_HEADER_BYTES]):
        raise WrongAnswer("an answer that is not signed with our secret")
    code = data[0]
    if code == _ACCESS_ACCEPT or (code == _ACCOUNTING_RESPONSE and asked[0] == _STATUS_SERVER):
        return Found("accepted")
    raise WrongAnswer(_WORDS.get(code, f"answers with code {code}"))


def _attribute(kind: int, value: bytes) -> bytes:
    return bytes((kind, len(value) + 2)) + value


def _hidden(password: bytes, secret: bytes, authenticator: bytes) -> bytes:
    """RFC 2865 section 5.2."""
    padded = password.ljust(max(-(-len(password) // 16), 1) * 16, b"\0")
    hidden, last = b"", authenticator
    for at in range(0, len(padded), 16):
        mask = md5(secret + last, usedforsecurity=False).digest()
        last = bytes(a ^ b for a, b in zip(padded[at : at + 16], mask, strict=True))
        hidden += last
    return hidden
