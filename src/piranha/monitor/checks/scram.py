"""The client's side of SCRAM-SHA-256 (RFC 5802, 7677), without channel binding."""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from hashlib import pbkdf2_hmac, sha256

from piranha.monitor.conversation import WrongAnswer

MAX_ITERATIONS = 100_000
"""A server that wants more would keep us busy for a tenth of a second with each check."""


class Scram:
    """One login. `first` is what we say first; `answer` what we say to the server's first; `confirm` ends it."""

    def __init__(self, password: bytes, nonce: bytes) -> None:
        self._password = password
        self._nonce = b64encode(nonce)
        self._bare = b"n=,r=" + self._nonce
        self._signature = b""

    @property
    def first(self) -> bytes:
        return b"n,," + self._bare

    def answer(self, challenge: bytes) -> bytes:
        fields = _fields(challenge)
        nonce = fields.get(b"r", b"")
        if not nonce.startswith(self._nonce):
            raise WrongAnswer("login: a challenge for somebody else")
        try:
            salt, rounds = b64decode(fields.get(b"s", b""), validate=True), int(fields.get(b"i", b""))
        except (Base64Error, ValueError) as error:
            raise WrongAnswer("login: a challenge that cannot be read") from error
        if not 1 <= rounds <= MAX_ITERATIONS:
            raise WrongAnswer(f"login: {rounds} iterations, this check does {MAX_ITERATIONS}")
        salted = pbkdf2_hmac("sha256", self._password, salt, rounds)
        without_proof = b"c=biws,r=" + nonce
        said = self._bare + b"," + challenge + b"," + without_proof
        key = _hmac(salted, b"Client Key")
        proof = bytes(a ^ b for a, b in zip(key, _hmac(sha256(key).digest(), said), strict=True))
        self._signature = b64encode(_hmac(_hmac(salted, b"Server Key"), said))
        return without_proof + b",p=" + b64encode(proof)

    def confirm(self, final: bytes) -> None:
        """Raises WrongAnswer for a server that does not know the password itself."""
        if not hmac.compare_digest(_fields(final).get(b"v", b""), self._signature) or not self._signature:
            raise WrongAnswer("login: the server does not prove that it knows the password")


def _fields(message: bytes) -> dict[bytes, bytes]:
    return {part[:1]: part[2:] for part in message.split(b",") if part[1:2] == b"="}


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, sha256).digest()
