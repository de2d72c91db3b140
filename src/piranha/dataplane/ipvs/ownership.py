"""Which services in the kernel are ours. IPVS's services carry no mark of their owner, so a small file remembers them.

The file is good for one boot and one network namespace: a table that came after either is not the one that was written
about. A key is written down before its service is made, so that a kill in between cannot lose it; what the kernel does
not have is forgotten when the table is read.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from piranha.base.errors import PiranhaError
from piranha.model.address import parse_address
from piranha.model.service import Protocol, ServiceKey

_FORMAT = 1
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/thread-self/ns/net")


def table_identity() -> str:
    """Names the table of this thread: boot and network namespace."""
    try:
        return f"{_BOOT_ID.read_text().strip()}/{_NAMESPACE.stat().st_ino}"
    except OSError as error:
        raise PiranhaError(f"cannot tell which table this is ({error.filename}: {error.strerror})") from error


class Ownership:
    """The keys of our services in the order they were made, kept in `path`."""

    def __init__(self, path: Path, identity: str) -> None:
        """Takes up what the file says of this table; a file that cannot be understood counts as empty."""
        self._path = path
        self._identity = identity
        self._keys: dict[ServiceKey, None] = dict.fromkeys(_load(path, identity))
        self._written: tuple[ServiceKey, ...] | None = tuple(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    @property
    def keys(self) -> tuple[ServiceKey, ...]:
        return tuple(self._keys)

    def intend(self, keys: Iterable[ServiceKey]) -> None:
        """Write down keys whose services are about to be made. Raises PiranhaError; then make none."""
        self._write((*self._keys, *(key for key in keys if key not in self._keys)))

    def add(self, key: ServiceKey) -> None:
        self._keys[key] = None

    def discard(self, key: ServiceKey) -> None:
        self._keys.pop(key, None)

    def keep_only(self, present: Collection[ServiceKey]) -> None:
        """Forget what is not in `present`: somebody else removed it."""
        for key in [key for key in self._keys if key not in present]:
            del self._keys[key]

    def save(self) -> None:
        """Write the file where it does not say so already. Raises PiranhaError."""
        keys = tuple(self._keys)
        if keys != self._written:
            self._write(keys)

    def _write(self, keys: tuple[ServiceKey, ...]) -> None:
        content = {"format": _FORMAT, "table": self._identity, "services": [_as_json(key) for key in keys]}
        fresh = self._path.with_name(self._path.name + ".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(json.dumps(content, separators=(",", ":")) + "\n")
            fresh.replace(self._path)
        except OSError as error:
            mend = f"make {self._path.parent} writable: it remembers which services of the kernel are Piranha's"
            raise PiranhaError(f"cannot write {self._path} ({error.strerror})", mend=mend) from error
        self._written = keys


def _load(path: Path, identity: str) -> list[ServiceKey]:
    try:
        content = json.loads(path.read_text())
        if content["format"] != _FORMAT or content["table"] != identity:
            return []
        return [_from_json(item) for item in content["services"]]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise PiranhaError(f"cannot read {path} ({error.strerror})", mend="run as root") from error
    except (ValueError, KeyError, TypeError):
        return []


def _as_json(key: ServiceKey) -> list[Any]:
    return [int(key.protocol), str(key.address), key.port, key.mark]


def _from_json(item: list[Any]) -> ServiceKey:
    protocol, address, port, mark = item
    return ServiceKey(protocol=Protocol(protocol), address=parse_address(address), port=int(port), mark=int(mark))
