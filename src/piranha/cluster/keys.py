"""The pair's key file, `/etc/piranha/pair.key`: the keys of the heartbeats and who the other director is.

`piranha pair` writes it. Two keys at most are in it: the one in use and, during a change of keys, the next. Nobody but root may be
able to read it; a file that others can read is refused, because what it protects is then protected no more.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from piranha.base.atomic import replace_file
from piranha.base.errors import ExitCode, PiranhaError
from piranha.cluster.heartbeat import NODE_BYTES
from piranha.cluster.seal import KEY_BYTES

MAX_KEYS = 2
MAX_KEY_ID = 0xFFFF
FILE_NAME = "pair.key"
NODE_FILE_NAME = "node-id"
_VERSION = 1
_MAX_BYTES = 64 * 1024
_PAIR_AGAIN = "make it anew: `piranha pair` on one director, `piranha pair ADDRESS` on the other"


class KeyFileError(PiranhaError):
    """The key file is missing, open to others, or damaged: without it the pair must not start."""

    exit_code = ExitCode.CONFIGURATION


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The other director, as it presented itself at pairing. `certificate` is PEM; its key is the only one believed."""

    node: bytes
    name: str
    certificate: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PairKeys:
    """Key by its id, 1 to `MAX_KEY_ID`, and the peer."""

    keys: dict[int, bytes]
    peer: Peer

    @property
    def newest(self) -> int:
        return max(self.keys)

    def with_key(self, key_id: int, key: bytes) -> PairKeys:
        """With one more key; of more than two the oldest goes. Raises ValueError for an id that is not newer."""
        if key_id <= self.newest or key_id > MAX_KEY_ID or len(key) != KEY_BYTES:
            raise ValueError(f"key {key_id} is not newer than {self.newest}, or not a key")
        keys = {**self.keys, key_id: key}
        kept = sorted(keys)[-MAX_KEYS:]
        return PairKeys(keys={kept_id: keys[kept_id] for kept_id in kept}, peer=self.peer)


def read_pair_keys(folder: Path) -> PairKeys:
    """The keys in `folder`. Raises `KeyFileError` with the mend."""
    path = folder / FILE_NAME
    content = _read_private(path)
    try:
        value = json.loads(content)
        peer = value["peer"]
        pair = PairKeys(
            keys={int(key["id"]): bytes.fromhex(key["key"]) for key in value["keys"]},
            peer=Peer(node=bytes.fromhex(peer["node"]), name=str(peer["name"]), certificate=str(peer["certificate"])),
        )
        sound = (
            value["version"] == _VERSION
            and 1 <= len(pair.keys) <= MAX_KEYS
            and all(0 < key_id <= MAX_KEY_ID and len(key) == KEY_BYTES for key_id, key in pair.keys.items())
            and len(pair.peer.node) == NODE_BYTES
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise KeyFileError(f"{path} is damaged ({error})", mend=_PAIR_AGAIN) from None
    if not sound:
        raise KeyFileError(f"{path} is not a key file of this version", mend=_PAIR_AGAIN)
    return pair


def write_pair_keys(folder: Path, pair: PairKeys) -> None:
    """Write the keys in one step, for root alone. Raises PiranhaError when the disk refuses."""
    value = {
        "version": _VERSION,
        "keys": [{"id": key_id, "key": key.hex()} for key_id, key in sorted(pair.keys.items())],
        "peer": {"node": pair.peer.node.hex(), "name": pair.peer.name, "certificate": pair.peer.certificate},
    }
    write_private(folder / FILE_NAME, json.dumps(value, indent=1).encode() + b"\n")


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, in a folder of the same kind. Raises PiranhaError."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(path, content, new_mode=0o600)
        path.chmod(0o600)
    except OSError as error:
        raise PiranhaError(f"cannot write {path} ({error.strerror})", mend="run as root") from error


def node_id(state: Path) -> bytes:
    """This director's id, drawn once and kept in `state`. Raises PiranhaError when it can be neither read nor made."""
    path = state / NODE_FILE_NAME
    try:
        if path.exists():
            node = bytes.fromhex(path.read_text().strip())
            if len(node) != NODE_BYTES:
                raise ValueError(f"{len(node)} bytes")
            return node
    except (OSError, ValueError) as error:
        raise PiranhaError(
            f"cannot read the node's id from {path} ({error})", mend="remove the file, then pair the directors anew"
        ) from error
    node = secrets.token_bytes(NODE_BYTES)
    write_private(path, node.hex().encode() + b"\n")
    return node


def _read_private(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise KeyFileError(f"the pair has no key: {path} is missing", mend=_PAIR_AGAIN) from None
    except OSError as error:
        raise KeyFileError(f"cannot read {path} ({error.strerror})", mend="run as root") from error
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise KeyFileError(f"{path} is not a file", mend=_PAIR_AGAIN)
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise KeyFileError(
                f"{path} can be read or written by others (mode {stat.S_IMODE(status.st_mode):04o})",
                mend=f"chmod 600 {path}, and pair anew if somebody may have read it",
            )
        if status.st_uid != os.geteuid():
            raise KeyFileError(f"{path} belongs to user {status.st_uid}", mend=f"chown {os.geteuid()} {path}")
        return file.read(_MAX_BYTES)
