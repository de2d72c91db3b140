"""The file that remembers edits by hand for a later life of lvsd; good for one boot and one network namespace."""

from __future__ import annotations

import json
from pathlib import Path

from piranha.base.errors import PiranhaError
from piranha.dataplane.handedits import HandEdits
from piranha.dataplane.wire import operation_to_json, operations_from_json

_FORMAT = 1


class EditsFile:
    """Edits kept in `path`, of the table that `identity` names (see `ipvs/ownership.py`)."""

    def __init__(self, path: Path, identity: str) -> None:
        self._path = path
        self._identity = identity

    def load(self) -> HandEdits:
        """What the file says of this table; a file that cannot be understood counts as empty. Raises PiranhaError."""
        try:
            content = json.loads(self._path.read_text())
            if content["format"] != _FORMAT or content["table"] != self._identity:
                return HandEdits()
            return HandEdits(operations_from_json(content["edits"]))
        except FileNotFoundError:
            return HandEdits()
        except OSError as error:
            raise PiranhaError(f"cannot read {self._path} ({error.strerror})", mend="run as root") from error
        except (ValueError, KeyError, TypeError, PiranhaError):
            return HandEdits()

    def save(self, edits: HandEdits) -> None:
        """Write them down; without any there is no file. Raises PiranhaError."""
        try:
            if not edits:
                self._path.unlink(missing_ok=True)
                return
            found = [operation_to_json(operation) for operation in edits.operations]
            content = {"format": _FORMAT, "table": self._identity, "edits": found}
            fresh = self._path.with_name(self._path.name + ".new")
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(json.dumps(content, separators=(",", ":")) + "\n")
            fresh.replace(self._path)
        except OSError as error:
            mend = f"make {self._path.parent} writable"
            raise PiranhaError(f"cannot write {self._path} ({error.strerror})", mend=mend) from error
