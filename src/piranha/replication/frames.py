"""The pair link's messages: type, length, body. JSON, but a text of a configuration, which is its bytes.

Both sides greet with HELLO; then each tells its head (OFFER) and asks for texts by digest (WANT). A text names itself: its digest is
that of its bytes. Kinds that we do not know are skipped, and fields that we do not know are ignored, so that a newer director may say more.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from piranha.base.errors import PiranhaError
from piranha.cluster.keys import MAX_KEY_ID
from piranha.cluster.seal import KEY_BYTES
from piranha.config.parser import MAX_BYTES

VERSION = 1
HEAD = struct.Struct("!BI")
MAX_JSON_BYTES = 256 * 1024
MAX_REASONS = 20
_MAX_REASON = 500
_MOST_KEYS = 16
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NODE = re.compile(r"[0-9a-f]{16}")


class FrameError(PiranhaError):
    """The other side said something that it may not say."""


class Kind(IntEnum):
    HELLO = 1
    OFFER = 2
    WANT = 3
    TEXT = 4
    MISSING = 5  # a text that was asked for is not here
    REFUSAL = 6
    BEAT = 7
    KEY = 8  # a new key of the heartbeats
    KEY_TAKEN = 9
    KEY_REFUSED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """Who speaks. `version` is the highest that it speaks."""

    node: str
    name: str
    version: int = VERSION
    software: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key that the sender wants to use; `ids` are those of the keys that it has."""

    key_id: int
    key: bytes
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyAnswer:
    """`ids` are those of the keys that the answerer had before."""

    refused: bool
    ids: tuple[int, ...]
    reason: str


def limit_of(kind: int) -> int:
    """The longest body that a frame of this kind may have."""
    return MAX_BYTES if kind == Kind.TEXT else MAX_JSON_BYTES


def pack(kind: Kind, body: Mapping[str, Any] | bytes = b"") -> bytes:
    encoded = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()
    return HEAD.pack(kind, len(encoded)) + encoded


def unpack(body: bytes) -> dict[str, Any]:
    """The object of a JSON frame. Raises `FrameError`."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise FrameError("a message of the other director is not JSON") from None
    if not isinstance(value, dict):
        raise FrameError("a message of the other director is not an object")
    return value


def hello_frame(hello: Hello) -> bytes:
    fields = {"version": hello.version, "node": hello.node, "name": hello.name, "software": hello.software}
    return pack(Kind.HELLO, fields)


def read_hello(body: bytes) -> Hello:
    """Raises `FrameError`."""
    fields = unpack(body)
    version, node = fields.get("version"), fields.get("node")
    if not isinstance(version, int) or version < 1:
        raise FrameError("the other director's greeting has no version")
    if not isinstance(node, str) or not _NODE.fullmatch(node):
        raise FrameError("the other director's greeting has no node id")
    return Hello(
        node=node, name=_line(fields.get("name"), 64), version=version, software=_line(fields.get("software"), 64)
    )


def read_digest(body: bytes) -> str:
    """Of WANT and MISSING. Raises `FrameError`."""
    digest = unpack(body).get("digest")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise FrameError("the other director names no digest")
    return digest


def refusal_frame(digest: str, reasons: tuple[str, ...]) -> bytes:
    return pack(Kind.REFUSAL, {"digest": digest, "reasons": [reason[:_MAX_REASON] for reason in reasons[:MAX_REASONS]]})


def read_refusal(body: bytes) -> tuple[str, tuple[str, ...]]:
    """Digest and reasons, fit to be shown. Raises `FrameError`."""
    reasons = unpack(body).get("reasons")
    if not isinstance(reasons, list) or len(reasons) > MAX_REASONS:
        raise FrameError("the other director's refusal has no reasons")
    return read_digest(body), tuple(_line(reason, _MAX_REASON) for reason in reasons)


def key_frame(new: NewKey) -> bytes:
    return pack(Kind.KEY, {"id": new.key_id, "key": new.key.hex(), "ids": list(new.ids)})


def read_key(body: bytes) -> NewKey:
    """Raises `FrameError`, which never has the key in it."""
    fields = unpack(body)
    try:
        key = bytes.fromhex(fields["key"])
    except (KeyError, TypeError, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise FrameError("the other director's new key is none")
    return NewKey(key_id=_key_id(fields.get("id")), key=key, ids=_key_ids(fields.get("ids")))


def read_key_answer(kind: Kind, body: bytes) -> KeyAnswer:
    """Raises `FrameError`."""
    fields = unpack(body)
    refused = kind == Kind.KEY_REFUSED
    return KeyAnswer(
        refused=refused, ids=_key_ids(fields.get("ids")), reason=_line(fields.get("reason", ""), _MAX_REASON)
    )


def _key_ids(value: object) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) > _MOST_KEYS:
        raise FrameError("the other director names no keys")
    return tuple(_key_id(key_id) for key_id in value)


def _key_id(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= MAX_KEY_ID:
        raise FrameError("the other director names a key with an impossible number")
    return value


def _line(value: object, most: int) -> str:
    """A text of the other side as it may be shown: short, on one line, nothing that moves a cursor."""
    if not isinstance(value, str):
        raise FrameError("a message of the other director lacks a text")
    return "".join(letter if letter.isprintable() else "?" for letter in value[:most])
