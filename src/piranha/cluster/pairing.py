"""Pairing: two directors make a key that nobody else knows, by a code that one shows and a person types at the other.

    host   -> joiner   Hello (version, node, name, certificate, X25519 public key)
    joiner -> host     Hello, and the confirmation that it knows the code
    host   -> joiner   the host's confirmation; the joiner now stores the key
    joiner -> host     Stored; the host now stores it too

The key comes by HKDF from the X25519 secret and the code over everything both have said, so it is none of the two alone: who reads
along lacks the secret, who stands between lacks the code. The code has 75 random bits and is good for one pairing, a few
tries and some minutes; so trying codes out, on the line or from a recording, leads nowhere. Messages are one line of JSON each. No I/O.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from piranha.base.errors import PiranhaError
from piranha.cluster.heartbeat import NAME_BYTES, NODE_BYTES
from piranha.cluster.identity import fingerprint
from piranha.cluster.keys import MAX_KEY_ID, Peer
from piranha.cluster.seal import KEY_BYTES

VERSION = 1
MAX_LINE_BYTES = 16 * 1024
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CODE_SYMBOLS = 16
_MISREAD = str.maketrans("OILU", "011V")
_LABEL = b"piranha pairing 1"
_AGAIN = "start `piranha pair` on both directors again"


class PairingError(PiranhaError):
    """The pairing cannot go on; nothing was stored."""


class WrongCodeError(PairingError):
    """The other side does not know our code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """What a director says of itself, in clear. `key_id` is the number that the host gives to the new key."""

    node: bytes
    name: str
    certificate: str
    public_key: bytes
    key_id: int = 1

    def encode(self) -> bytes:
        return _line(
            {
                "piranha": VERSION,
                "node": self.node.hex(),
                "name": self.name,
                "certificate": self.certificate,
                "public_key": self.public_key.hex(),
                "key_id": self.key_id,
            }
        )

    @staticmethod
    def decode(line: bytes) -> Hello:
        """Raises PairingError."""
        value = _object(line)
        try:
            if value["piranha"] != VERSION:
                raise PairingError(
                    f"the other director pairs in version {value['piranha']!r}, this one in {VERSION}",
                    mend="install the same Piranha on both",
                )
            hello = Hello(
                node=bytes.fromhex(value["node"]),
                name=str(value["name"]),
                certificate=str(value["certificate"]),
                public_key=bytes.fromhex(value["public_key"]),
                key_id=int(value["key_id"]),
            )
        except (KeyError, ValueError, TypeError) as error:
            raise PairingError(f"the other side sent a damaged greeting ({error})", mend=_AGAIN) from None
        if len(hello.node) != NODE_BYTES or len(hello.public_key) != 32 or len(hello.name.encode()) > NAME_BYTES:
            raise PairingError("the other side sent a greeting of wrong lengths", mend=_AGAIN)
        if not 0 < hello.key_id <= MAX_KEY_ID or not hello.name.isprintable():
            raise PairingError("the other side sent a greeting with impossible values", mend=_AGAIN)
        fingerprint(hello.certificate)
        return hello


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What both directors store."""

    key_id: int
    key: bytes
    peer: Peer


class Host:
    """The side that shows the code. One try: a new object, with the same code, for the next."""

    def __init__(self, code: str, *, node: bytes, name: str, certificate: str, key_id: int) -> None:
        self._code = plain_code(code)
        self._secret = X25519PrivateKey.generate()
        self._hello = Hello(
            node=node, name=name, certificate=certificate, public_key=_public(self._secret), key_id=key_id
        )
        self._outcome: Outcome | None = None

    def greeting(self) -> bytes:
        return self._hello.encode()

    def answer(self, line: bytes) -> bytes:
        """The joiner's greeting and confirmation -> ours. Raises `WrongCodeError`, PairingError."""
        value = _object(line)
        hello = Hello.decode(_line(value.get("hello") if isinstance(value.get("hello"), dict) else {}))
        agreed = _Agreed.of(self._code, self._secret, hello.public_key, host=self._hello, joiner=hello)
        _compare(agreed.joiner_proof, value.get("proof"))
        self._outcome = _outcome(self._hello, hello, self._hello.key_id, agreed.key)
        return _line({"proof": agreed.host_proof.hex()})

    def finish(self, line: bytes) -> Outcome:
        """The joiner's last word -> what to store. Raises PairingError."""
        if self._outcome is None or _object(line).get("stored") is not True:
            raise PairingError("the other director did not store the key", mend=_AGAIN)
        return self._outcome


class Joiner:
    """The side where the code is typed."""

    def __init__(self, code: str, *, node: bytes, name: str, certificate: str) -> None:
        self._code = plain_code(code)
        self._secret = X25519PrivateKey.generate()
        self._hello = Hello(node=node, name=name, certificate=certificate, public_key=_public(self._secret))
        self._host: Hello | None = None
        self._agreed: _Agreed | None = None

    def answer(self, line: bytes) -> bytes:
        """The host's greeting -> ours and the confirmation. Raises PairingError."""
        self._host = Hello.decode(line)
        self._agreed = _Agreed.of(self._code, self._secret, self._host.public_key, host=self._host, joiner=self._hello)
        return _line({"hello": json.loads(self._hello.encode()), "proof": self._agreed.joiner_proof.hex()})

    def finish(self, line: bytes) -> Outcome:
        """The host's confirmation -> what to store; say `stored()` when it is. Raises `WrongCodeError`."""
        if self._host is None or self._agreed is None:
            raise PairingError("the host has not greeted yet", mend=_AGAIN)
        value = _object(line)
        if "refused" in value:
            raise WrongCodeError("the other director refused the code", mend="type the code that it shows now")
        _compare(self._agreed.host_proof, value.get("proof"))
        return _outcome(self._hello, self._host, self._host.key_id, self._agreed.key)

    @staticmethod
    def stored() -> bytes:
        return _line({"stored": True})


def refusal() -> bytes:
    """What the host answers to a wrong code."""
    return _line({"refused": "code"})


def draw_code() -> str:
    """A one-time code of 15 random symbols and one that checks them, in groups of four."""
    symbols = "".join(secrets.choice(_ALPHABET) for _ in range(_CODE_SYMBOLS - 1))
    symbols += _check_symbol(symbols)
    return "-".join(symbols[at : at + 4] for at in range(0, _CODE_SYMBOLS, 4))


def plain_code(typed: str) -> str:
    """A typed code as it was drawn: case, blanks and dashes do not matter, O is 0, I and L are 1, U is V.

    Raises PairingError with what is wrong with it.
    """
    code = "".join(typed.upper().split()).replace("-", "").translate(_MISREAD)
    strange = sorted({symbol for symbol in code if symbol not in _ALPHABET})
    if strange:
        raise PairingError(f"a code has no {' '.join(strange)}", mend="type the 16 letters and digits that are shown")
    if len(code) != _CODE_SYMBOLS:
        raise PairingError(f"a code has {_CODE_SYMBOLS} letters and digits, this one {len(code)}", mend="type it again")
    if _check_symbol(code[:-1]) != code[-1]:
        raise PairingError("the code has a typing error: its last letter does not fit the others", mend="type it again")
    return code


@dataclass(frozen=True, slots=True, kw_only=True)
class _Agreed:
    key: bytes
    host_proof: bytes
    joiner_proof: bytes

    @staticmethod
    def of(code: str, secret: X25519PrivateKey, public_key: bytes, *, host: Hello, joiner: Hello) -> _Agreed:
        try:
            shared = secret.exchange(X25519PublicKey.from_public_bytes(public_key))
        except ValueError as error:
            raise PairingError(f"the other side sent an impossible public key ({error})", mend=_AGAIN) from None
        said = hashlib.sha256(_LABEL + host.encode() + joiner.encode()).digest()
        derived = HKDF(algorithm=SHA256(), length=3 * KEY_BYTES, salt=code.encode(), info=said).derive(shared)
        return _Agreed(
            key=derived[:KEY_BYTES],
            host_proof=hmac.digest(derived[KEY_BYTES : 2 * KEY_BYTES], b"host" + said, "sha256"),
            joiner_proof=hmac.digest(derived[2 * KEY_BYTES :], b"joiner" + said, "sha256"),
        )


def _outcome(ours: Hello, theirs: Hello, key_id: int, key: bytes) -> Outcome:
    if theirs.node == ours.node:
        raise PairingError(
            "both directors have the same node id: one is a copy of the other",
            mend="remove node-id from the state folder of the copy, then pair again",
        )
    return Outcome(
        key_id=key_id, key=key, peer=Peer(node=theirs.node, name=theirs.name, certificate=theirs.certificate)
    )


def _compare(proof: bytes, given: object) -> None:
    if not isinstance(given, str) or not hmac.compare_digest(proof.hex(), given):
        raise WrongCodeError("the two directors were not given the same code", mend="type the code that is shown now")


def _public(secret: X25519PrivateKey) -> bytes:
    return secret.public_key().public_bytes_raw()


def _check_symbol(symbols: str) -> str:
    """A symbol that finds one symbol typed wrong and two neighbours exchanged, but for 0 and Z in each other's place."""
    total = 0
    for symbol in symbols:
        total = (total + _ALPHABET.index(symbol) + 1) * 3 % 31
    return _ALPHABET[total]


def _line(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def _object(line: bytes) -> dict[str, Any]:
    try:
        if len(line) > MAX_LINE_BYTES:
            raise ValueError("too long")
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise PairingError(f"the other side does not pair ({error})", mend=_AGAIN) from None
    if not isinstance(value, dict):
        raise PairingError("the other side does not pair", mend=_AGAIN)
    return value
