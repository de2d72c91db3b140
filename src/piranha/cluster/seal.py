"""The heartbeat's seal: authentic, unrepeated, fresh. ChaCha20-Poly1305 of `cryptography`; nothing home-made.

Every pulse draws a boot nonce when it starts; its sealing key comes from the pair's key by HKDF over its node id and that nonce, so
a message's sequence number is a nonce that never repeats under one key. The header in clear is authenticated too.

A message may be authentic and yet be none that counts: a replay of this boot falls to the window, and one of an earlier time, or
delayed on its way, to its echo: it names the latest message of ours that its sender had heard. What the sender knew
longer ago than the dead time is no sign of life (`Freshness`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from piranha.cluster.heartbeat import HEADER_BYTES, MAX_SEQUENCE, Contents, Echo, Header, HeartbeatError

KEY_BYTES = 32
WINDOW = 1024
_KNOWN_BOOTS = 8
_REMEMBERED_SENT = 4096
_LABEL = b"piranha heartbeat 1"
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class Rejection(StrEnum):
    """Why a message does not count; each is a counter."""

    MALFORMED = "malformed"
    UNKNOWN_KEY = "unknown_key"
    FORGED = "forged"
    REFLECTED = "reflected"
    REPLAYED = "replayed"


class RejectedError(Exception):
    """A message that was not accepted. A wrong key looks like a forgery: nobody can tell the two apart."""

    def __init__(self, reason: Rejection, text: str = "") -> None:
        super().__init__(text or reason.value)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An authentic message that was not seen before. `is_clone`: our own node id, but sent by another boot than ours."""

    header: Header
    contents: Contents
    is_clone: bool


class Sealer:
    """Makes the messages of one boot of one node."""

    def __init__(self, keys: Mapping[int, bytes], *, node: bytes, boot: bytes) -> None:
        self._node, self._boot = node, boot
        self._ciphers = {key_id: _cipher(key, node, boot) for key_id, key in keys.items()}
        self.sequence = 0

    def use_keys(self, keys: Mapping[int, bytes]) -> None:
        """Take other keys without a new boot; the sequence goes on, so no nonce repeats under a key that stays."""
        self._ciphers = {key_id: _cipher(key, self._node, self._boot) for key_id, key in keys.items()}

    def seal(self, contents: Contents, *, active: bool, key_id: int) -> bytes:
        """The next message; raises KeyError for a key that we do not have."""
        if self.sequence >= MAX_SEQUENCE:
            raise OverflowError("the sequence of this boot is used up")
        self.sequence += 1
        header = Header(active=active, key_id=key_id, node=self._node, boot=self._boot, sequence=self.sequence).encode()
        return header + self._ciphers[key_id].encrypt(_nonce(self.sequence), contents.encode(), header)


class Opener:
    """Opens the messages of others. Keeps one window a boot, of the `_KNOWN_BOOTS` boots heard last."""

    def __init__(self, keys: Mapping[int, bytes], *, node: bytes, boot: bytes) -> None:
        self._keys = dict(keys)
        self._node, self._boot = node, boot
        self._ciphers: OrderedDict[tuple[int, bytes, bytes], ChaCha20Poly1305] = OrderedDict()
        self._windows: OrderedDict[tuple[bytes, bytes], _Window] = OrderedDict()

    def use_keys(self, keys: Mapping[int, bytes]) -> None:
        """Take other keys; the windows stay."""
        self._keys = dict(keys)
        self._ciphers.clear()

    def open(self, message: bytes) -> Opened:
        """Raises `RejectedError`. Only an authentic message leaves a trace in here."""
        try:
            header = Header.decode(message)
        except HeartbeatError as error:
            raise RejectedError(Rejection.MALFORMED, str(error)) from None
        if header.node == self._node and header.boot == self._boot:
            raise RejectedError(Rejection.REFLECTED)
        cipher, known_as = self._cipher_of(header)
        try:
            fields = cipher.decrypt(_nonce(header.sequence), message[HEADER_BYTES:], message[:HEADER_BYTES])
        except InvalidTag:
            raise RejectedError(Rejection.FORGED) from None
        _keep(self._ciphers, known_as, cipher)
        window = self._windows.get((header.node, header.boot)) or _Window()
        if not window.accept(header.sequence):
            raise RejectedError(Rejection.REPLAYED)
        _keep(self._windows, (header.node, header.boot), window)
        try:
            contents = Contents.decode(fields)
        except HeartbeatError as error:
            raise RejectedError(Rejection.MALFORMED, str(error)) from None
        return Opened(header=header, contents=contents, is_clone=header.node == self._node)

    def _cipher_of(self, header: Header) -> tuple[ChaCha20Poly1305, tuple[int, bytes, bytes]]:
        key = self._keys.get(header.key_id)
        if key is None:
            raise RejectedError(Rejection.UNKNOWN_KEY, f"sealed with key {header.key_id}, which we do not have")
        known_as = (header.key_id, header.node, header.boot)
        return self._ciphers.get(known_as) or _cipher(key, header.node, header.boot), known_as


class Freshness:
    """Remembers when our own messages left, to say how old the other's latest word of us is."""

    def __init__(self, boot: bytes) -> None:
        self._boot = boot
        self._sent_at: OrderedDict[int, int] = OrderedDict()

    def note_sent(self, sequence: int, now: int) -> None:
        """`now` in nanoseconds. The first of several messages that leave together stands for all of them."""
        self._sent_at[sequence] = now
        if len(self._sent_at) > _REMEMBERED_SENT:
            self._sent_at.popitem(last=False)

    def age(self, echo: Echo | None, now: int) -> int | None:
        """Nanoseconds since the echoed message left us; None where it is none of ours, or forgotten."""
        if echo is None or echo.boot != self._boot:
            return None
        sent_at = self._sent_at.get(echo.sequence)
        return None if sent_at is None else now - sent_at


class _Window:
    """Which of the latest `WINDOW` sequence numbers were seen; older ones count as seen."""

    __slots__ = ("_highest", "_seen")

    def __init__(self) -> None:
        self._highest = 0
        self._seen = 0

    def accept(self, sequence: int) -> bool:
        if sequence > self._highest:
            ahead = sequence - self._highest
            self._seen = ((self._seen << ahead) | 1) & (2**WINDOW - 1) if ahead < WINDOW else 1
            self._highest = sequence
            return True
        behind = self._highest - sequence
        if behind >= WINDOW or self._seen >> behind & 1:
            return False
        self._seen |= 1 << behind
        return True


def sending_key(ours: Mapping[int, bytes], peer_newest: int) -> int:
    """The key to seal with: our newest one that the peer has too; while it has said nothing, our oldest.

    So that a new key is used as soon as both have it, and never before.
    """
    shared = [key_id for key_id in ours if key_id <= peer_newest]
    return max(shared) if shared else min(ours)


def _cipher(key: bytes, node: bytes, boot: bytes) -> ChaCha20Poly1305:
    derived = HKDFExpand(algorithm=SHA256(), length=KEY_BYTES, info=_LABEL + node + boot).derive(key)
    return ChaCha20Poly1305(derived)


def _nonce(sequence: int) -> bytes:
    return sequence.to_bytes(12, "big")


def _keep(cache: OrderedDict[_Key, _Value], key: _Key, value: _Value) -> None:
    cache[key] = value
    cache.move_to_end(key)
    while len(cache) > _KNOWN_BOOTS:
        cache.popitem(last=False)
