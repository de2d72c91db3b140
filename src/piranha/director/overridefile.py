"""The operators' words on disk: one JSON document with a digest, kept across restarts and fit to be carried to a peer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Protocol

from piranha.base.atomic import replace_file
from piranha.base.errors import PiranhaError
from piranha.model.override import MOST_WEIGHT, Act, Override, Overrides

FORMAT = 1
MAX_BYTES = 16 << 20
_MODE = 0o600
_SPARE = ".unreadable"


class OverrideStore(Protocol):
    """Words that outlive this process (`OverrideFile` is one)."""

    def load(self) -> Overrides:
        """Raises PiranhaError."""
        ...

    def save(self, overrides: Overrides) -> None:
        """Raises PiranhaError."""
        ...


class MemoryOverrides:
    """A store that is forgotten with the process."""

    def load(self) -> Overrides:
        return Overrides()

    def save(self, overrides: Overrides) -> None:
        """There is no place to."""


class OverrideFile:
    """The document at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Overrides:
        """What is there. A document that is none is put aside, and told: servers taken out by hand come back then."""
        try:
            with self._path.open("rb") as file:
                text = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return Overrides()
        except OSError as error:
            raise PiranhaError(f"cannot read {self._path} ({error.strerror})", mend="run as root") from error
        try:
            return overrides_of(json.loads(text))
        except (ValueError, RecursionError, PiranhaError) as error:
            spare = self._path.with_name(self._path.name + _SPARE)
            try:
                self._path.replace(spare)
            except OSError:
                spare = self._path
            raise PiranhaError(
                f"the states of servers in {spare} cannot be understood ({error})",
                mend="set them again with `piranha server`",
            ) from error

    def save(self, overrides: Overrides) -> None:
        """Raises PiranhaError when the disk refuses; the old document then stands."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            text = json.dumps(document_of(overrides), indent=1) + "\n"
            replace_file(self._path, text.encode(), new_mode=_MODE)
        except OSError as error:
            mend = f"make {self._path.parent} writable"
            raise PiranhaError(f"cannot write {self._path} ({error.strerror or error})", mend=mend) from error


def document_of(overrides: Overrides) -> dict[str, Any]:
    """The whole as JSON-shaped data. `digest` is over the entries alone: equal words have equal digests."""
    entries = [_entry(one) for one in overrides.entries]
    return {"format": FORMAT, "digest": _digest(entries), "entries": entries}


def overrides_of(document: object) -> Overrides:
    """The other way round. Raises PiranhaError naming the first thing that is wrong."""
    if not isinstance(document, Mapping) or document.get("format") != FORMAT:
        raise PiranhaError(f"it is no document of format {FORMAT}")
    entries = document.get("entries")
    if not isinstance(entries, list):
        raise PiranhaError("it has no list of entries")
    if document.get("digest") != _digest(entries):
        raise PiranhaError("its digest is not that of its entries")
    found: list[Override] = []
    for number, entry in enumerate(entries, 1):
        try:
            found.append(_override(entry))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise PiranhaError(f"entry {number} is none: {error!r}") from None
    return Overrides(tuple(found))


def _digest(entries: list[Any]) -> str:
    return hashlib.sha256(json.dumps(entries, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _entry(one: Override) -> dict[str, Any]:
    return {
        "service": one.service,
        "server": str(one.server),
        "act": one.act.value,
        "weight": one.weight,
        "who": one.who,
        "why": one.why,
        "at": one.at,
        "until": one.until,
        "drained": one.drained,
    }


def _override(entry: Mapping[str, Any]) -> Override:
    until, weight = entry["until"], entry["weight"]
    if not isinstance(weight, int) or not 0 <= weight <= MOST_WEIGHT:
        raise ValueError(f"weight {weight}")
    return Override(
        act=Act(entry["act"]),
        server=ip_address(entry["server"]),
        service=str(entry["service"]),
        weight=weight,
        who=str(entry["who"]),
        why=str(entry["why"]),
        at=float(entry["at"]),
        until=None if until is None else float(until),
        drained=bool(entry["drained"]),
    )
