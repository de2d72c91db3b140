"""Configuration files on disk: bounded reading, atomic writing, and the versions before.

A write goes to a temporary file in the same folder, is flushed to the disk, and takes the old file's place in one step.
Whoever reads meanwhile has the old file or the new one, never a part.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from piranha.base.atomic import replace_file
from piranha.base.errors import PiranhaError
from piranha.base.lock import FileLock
from piranha.config.edit import raise_serial_no, serial_no_of
from piranha.config.names import Names
from piranha.config.parser import MAX_BYTES, Parsed
from piranha.config.problem import Problem
from piranha.config.semantics import check_text
from piranha.config.syntax import split

NEW_FILE_MODE = 0o640
KEPT_VERSIONS = 50
REPLICATION = "replication"
"""Who made a version that came from the other director."""
_LOCK_WAIT_S = 2.0
_ENCODING, _BYTES_THAT_ARE_NO_TEXT = "utf-8", "surrogateescape"


class RefusedTextError(PiranhaError):
    """A text with errors is not stored. `problems` has all of them."""

    def __init__(self, path: Path, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        first = self.problems[0]
        super().__init__(f"{path} is not changed: line {first.line}: {first.message}", mend=first.suggestion)


class ChangedMeanwhileError(PiranhaError):
    """The file is not the one that the change was made on."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} was changed by somebody else meanwhile", mend="read it again and repeat the change")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A file as it was read: its text, what that says, and the digest that a later `save` is compared with."""

    path: Path
    text: str
    parsed: Parsed
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A text that was in the file. Numbers grow with every change; `changed_at` is seconds since 1970.

    `who` is empty where nobody said it: the file was edited by other programs.
    """

    number: int
    path: Path
    changed_at: float
    who: str = ""
    comment: str = ""

    def read(self) -> str:
        return read_text(self.path)


class ConfigurationStore:
    """The one writer of an `lvs.cf`; keeps the last `kept_versions` texts, the present one among them, in `state`/history."""

    def __init__(
        self, path: Path, state: Path, *, kept_versions: int = KEPT_VERSIONS, names: Names | None = None
    ) -> None:
        self._path = path
        self._history = state / "history"
        self._lock_path = state / "config.lock"
        self._kept_versions = kept_versions
        self._names = names

    def load(self) -> Stored:
        """The file with all its problems. Raises PiranhaError when it cannot be read; never for what it says."""
        text = read_text(self._path)
        parsed = check_text(text, file=str(self._path), names=self._names)
        return Stored(path=self._path, text=text, parsed=parsed, digest=digest_of(text))

    def save(
        self,
        text: str,
        *,
        expected_digest: str | None = None,
        who: str = "",
        comment: str = "",
        raise_serial: bool = True,
    ) -> Stored:
        """Store a text as a new version, with a `serial_no` above its own and the file's; the text before is one too.

        A text that says the same as the file, byte by byte, changes nothing. Raises `RefusedTextError` when the
        text has errors, `ChangedMeanwhileError` when the file's digest is not the expected one, PiranhaError when the
        disk refuses or another process is writing. Without `raise_serial` the bytes are stored as they are.
        """
        parsed = check_text(text, file=str(self._path), names=self._names)
        if not parsed.is_usable:
            raise RefusedTextError(self._path, parsed.errors)
        with FileLock(self._lock_path):
            before = read_text(self._path) if self._path.exists() else None
            if expected_digest is not None and (before is None or digest_of(before) != expected_digest):
                raise ChangedMeanwhileError(self._path)
            if before == text:
                return self.load()
            raised = text
            if raise_serial:
                above = 0 if before is None else serial_no_of(split(before))
                raised = raise_serial_no(split(text), above=above).text
            if before is not None:
                self._keep(before, "", "")
            write_atomically(self._path, raised)
            self._keep(raised, who, comment)
        return self.load()

    def note(self, text: str, *, who: str = "", comment: str = "") -> None:
        """Make a text that came into the file by other hands a version, unless it is the latest one already."""
        with FileLock(self._lock_path):
            self._keep(text, who, comment)

    def adopt(self, text: str, *, over: Container[str], prepare: Callable[[], None], comment: str = "") -> None:
        """Store a text as it is, with its own `serial_no`, as a new version of replication; the text before is one too.

        `over` are the digests that the file may have; a file that is gone has any. `prepare` is called when nothing
        but the disk can prevent the change any more. Raises as `save` does; waits a little for another writer.
        """
        parsed = check_text(text, file=str(self._path), names=self._names)
        if not parsed.is_usable:
            raise RefusedTextError(self._path, parsed.errors)
        with FileLock(self._lock_path, wait_s=_LOCK_WAIT_S):
            before = read_text(self._path) if self._path.exists() else None
            if before is not None and digest_of(before) not in over:
                raise ChangedMeanwhileError(self._path)
            prepare()
            if before != text:
                if before is not None:
                    self._keep(before, "", "")
                write_atomically(self._path, text)
                self._keep(text, REPLICATION, comment)

    def versions(self) -> list[Version]:
        """The texts that the file had, the latest first."""
        notes = self._notes()
        found = []
        for path in self._history.glob("lvs.cf.*"):
            number = path.name.rpartition(".")[2]
            if number.isdigit():
                note = notes.get(str(int(number)), {})
                found.append(
                    Version(
                        number=int(number),
                        path=path,
                        changed_at=path.stat().st_mtime,
                        who=str(note.get("who", "")),
                        comment=str(note.get("comment", "")),
                    )
                )
        return sorted(found, key=lambda version: -version.number)

    def version(self, number: int) -> Version:
        """One of them. Raises PiranhaError when it is not kept (any more)."""
        versions = self.versions()
        for version in versions:
            if version.number == number:
                return version
        kept = f"versions {versions[-1].number} to {versions[0].number} are kept" if versions else "none is kept yet"
        raise PiranhaError(f"there is no version {number}", mend=kept)

    def _keep(self, text: str, who: str, comment: str) -> None:
        self._history.mkdir(mode=0o700, parents=True, exist_ok=True)
        versions = self.versions()
        if versions and digest_of(versions[0].read()) == digest_of(text):
            return
        number = versions[0].number + 1 if versions else 1
        kept = versions[: self._kept_versions - 1]
        notes = {str(v.number): {"who": v.who, "comment": v.comment} for v in kept}
        notes[str(number)] = {"who": who, "comment": comment}
        # The note is first: a version never stands there with the note of another.
        write_atomically(self._history / "notes.json", json.dumps(notes, indent=1))
        write_atomically(self._history / f"lvs.cf.{number:08}", text)
        for version in versions[self._kept_versions - 1 :]:
            version.path.unlink(missing_ok=True)

    def _notes(self) -> dict[str, dict[str, str]]:
        """Who made which version and why; of no use to anything but people, so a broken file is an empty one."""
        try:
            notes = json.loads((self._history / "notes.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return notes if isinstance(notes, dict) and all(isinstance(note, dict) for note in notes.values()) else {}


def digest_of(text: str) -> str:
    """A text's fingerprint: equal for equal bytes alone."""
    return hashlib.sha256(text.encode(_ENCODING, _BYTES_THAT_ARE_NO_TEXT)).hexdigest()


def read_text(path: Path) -> str:
    """The text of a file, bytes that are not UTF-8 as surrogates.

    Raises PiranhaError when it cannot be read, or is longer than a configuration may be: then only the beginning was
    read, or nothing where the length is known.
    """
    try:
        with path.open("rb") as file:
            return text_from(file, str(path), size=os.fstat(file.fileno()).st_size)
    except OSError as error:
        raise PiranhaError(f"cannot read {path} ({error.strerror})", mend="name a readable lvs.cf") from error


def text_from(file: BinaryIO, name: str, *, size: int = 0) -> str:
    """The text of an open file, no more than `MAX_BYTES` of it; raises PiranhaError when there is more."""
    content = b"" if size > MAX_BYTES else file.read(MAX_BYTES + 1)
    if size > MAX_BYTES or len(content) > MAX_BYTES:
        raise PiranhaError(f"{name} is longer than {MAX_BYTES // 1024 // 1024} MiB", mend="is this an lvs.cf?")
    return content.decode(_ENCODING, _BYTES_THAT_ARE_NO_TEXT)


def write_atomically(path: Path, text: str) -> None:
    """Replace a file's text in one step; mode, owner and extended attributes stay. A symbolic link keeps pointing.

    Raises PiranhaError when the disk refuses; the old file is then untouched.
    """
    try:
        replace_file(path, text.encode(_ENCODING, _BYTES_THAT_ARE_NO_TEXT), new_mode=NEW_FILE_MODE)
    except OSError as error:
        raise PiranhaError(f"cannot write {path} ({error.strerror})", mend="the file is as it was") from error
