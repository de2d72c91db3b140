"""What replication keeps on the disk: the lineage, and the conflict copies' texts.

A change goes in this order: the copies, `next.json`, the configuration, `head.json`. Killed in between, the next start finds the old
text and drops what was prepared, or the new text and completes it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from pathlib import Path
from typing import Any

from piranha.base.atomic import replace_file
from piranha.base.errors import PiranhaError
from piranha.config.store import ConfigurationStore, digest_of, read_text, write_atomically
from piranha.replication.agreement import Take
from piranha.replication.generation import MAX_TEXTS, Lineage, OfferError

logger = logging.getLogger(__name__)

_MAX_BYTES = 1 << 20


class Vault:
    """`state`/replication, and the `lvs.cf` that goes with it. Every method may block on the disk."""

    def __init__(self, config: Path, state: Path, store: ConfigurationStore) -> None:
        self._config = config
        self._folder = state / "replication"
        self._copies = self._folder / "copies"
        self._head = self._folder / "head.json"
        self._next = self._folder / "next.json"
        self._store = store

    def recover(self) -> Lineage | None:
        """End what a kill interrupted -> the lineage; None where there is none, or where it is damaged."""
        with contextlib.suppress(PiranhaError):
            prepared = _read(self._next)
            if prepared is not None and digest_of(read_text(self._config)) == prepared.head.digest:
                self._commit()
        self._next.unlink(missing_ok=True)
        try:
            return _read(self._head)
        except PiranhaError as error:
            # Without a history the next contact is a conflict at worst, which loses nothing.
            logger.warning('the history of the configuration is damaged and begins anew error="%s"', error)
            return None

    def copies(self, lineage: Lineage) -> dict[str, str]:
        """The texts of the lineage's open conflicts, by digest, as far as they are there and sound."""
        found = {}
        for copy in lineage.head.copies:
            with contextlib.suppress(PiranhaError):
                text = read_text(self._copies / f"{copy.digest}.cf")
                if digest_of(text) == copy.digest:
                    found[copy.digest] = text
        return found

    def former(self) -> tuple[str, ...]:
        """The digests of the texts that the file had, the latest first."""
        digests = []
        for version in self._store.versions()[:MAX_TEXTS]:
            with contextlib.suppress(PiranhaError):
                digests.append(digest_of(version.read()))
        return tuple(digests)

    def on_disk(self) -> str:
        """The file's text now. Raises PiranhaError."""
        return read_text(self._config)

    def store(self, take: Take, *, over: tuple[str, ...]) -> None:
        """Store a `Take`. `over` are the digests that the file may have when it is replaced.

        Raises `RefusedTextError`, `ChangedMeanwhileError` or another PiranhaError; everything is then as it was.
        """
        try:
            self._copies.mkdir(mode=0o700, parents=True, exist_ok=True)
            for digest, text in take.copies.items():
                path = self._copies / f"{digest}.cf"
                if not path.exists():
                    write_atomically(path, text)
            if take.writes:
                try:
                    self._store.adopt(take.text, over=over, prepare=lambda: self._prepare(take.lineage))
                except BaseException:
                    self._next.unlink(missing_ok=True)
                    raise
            else:
                self._prepare(take.lineage)
            self._commit()
        except OSError as error:
            raise PiranhaError(
                f"cannot write {error.filename or self._folder} ({error.strerror})", mend="make room on the disk"
            ) from error
        self._drop_copies_but({copy.digest for copy in take.lineage.head.copies})

    def _prepare(self, lineage: Lineage) -> None:
        encoded = json.dumps(lineage.to_json(), separators=(",", ":")).encode()
        replace_file(self._next, encoded, new_mode=0o600)

    def _commit(self) -> None:
        self._next.replace(self._head)
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _drop_copies_but(self, digests: set[str]) -> None:
        for path in self._copies.glob("*.cf"):
            if path.stem not in digests:
                path.unlink(missing_ok=True)


def _read(path: Path) -> Lineage | None:
    """Raises PiranhaError for a file that is damaged; None for one that is not there."""
    try:
        with path.open("rb") as file:
            value: Any = json.loads(file.read(_MAX_BYTES))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise OfferError(f"{path} cannot be read ({error})") from None
    return Lineage.from_json(value)
